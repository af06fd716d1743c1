// SPDX-License-Identifier: Apache-2.0
// SpaceGate: when there is little room, makes the kernel ask before it takes new data into its page
// cache: a cached write(2) never reaches the server, and its pages might find no place later.
//
//   opened from then on   direct_io: each write(2) is a request that is answered
//   open already          the kernel checks size and mode before each cached write(2), and asks for
//                         them (a GETATTR with the writer's handle) when it holds them for stale.
//                         So they are kept stale: the request is the writer's question, and ENOSPC
//                         as its answer is what write(2) returns. Nothing but a write asks so, as
//                         the kernel never takes the size for stale itself. The file's dirty pages
//                         are written out before the answer, so that one write(2) at most is on its
//                         way: the kernel's own limit lets each program pass it by some MiB.
//
// A reply that carries attributes would make them fresh: before it goes out they are made stale
// again, which makes the kernel drop what the reply says (it keeps the newest by a version of its
// own). The answer to a SETATTR is taken all the same: a thread makes up for it.
// Writes through a shared mapping cannot be asked about; the kernel's limit of dirty pages holds
// them (dirty_limit.h).
// Threads: handlers call from any thread; one thread of its own between start() and stop(), which
//          must come when nothing can wait for the mount any more.
// Owns:    which inodes have cached writers, and the questions not answered yet; borrows the rest.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/filesystem.h"
#include "fs/fuse/notifier.h"
#include "fs/fuse/through_mount.h"

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

namespace amberfs {

class SpaceGate {
 public:
  // Before Space::start().
  SpaceGate(Space& space, FileSystem& fs, const MountPlace& place);
  ~SpaceGate() { stop(); }
  void start(Notifier& notifier);
  void stop();

  // ---- for handlers
  // Whether a file opened for writing now gets direct_io.
  [[nodiscard]] bool opens_direct() { return space_.is_tight(); }
  void add_cached_writer(Ino ino);
  void remove_cached_writer(Ino ino);
  // The kernel asks because a program is about to write. `answer` is called with kNoSpace when
  // there is no room: now, or later by another thread.
  using Answer = std::function<void(const Status&)>;
  void ask_for_cached_write(Ino ino, Answer answer);
  // Attributes of `ino` are about to be sent.
  void before_attributes(Ino ino);

 private:
  struct Question {
    Ino ino = kNoIno;
    Answer answer;
  };
  [[nodiscard]] bool has_cached_writer(Ino ino);
  [[nodiscard]] std::optional<Question> next_question();
  void run();
  void answer(const Question& question);
  void write_out(Ino ino);
  void make_all_stale();

  Space& space_;
  FileSystem& fs_;
  const MountPlace& place_;
  std::atomic<Notifier*> notifier_{nullptr};
  Mutex mu_;
  CondVar wake_;
  std::unordered_map<Ino, std::uint32_t> writers_ GUARDED_BY(mu_);
  std::deque<Question> questions_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace amberfs
