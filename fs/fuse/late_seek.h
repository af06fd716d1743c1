// SPDX-License-Identifier: Apache-2.0
// LateSeek: answers SEEK_DATA and SEEK_HOLE of files that are open for writing. The kernel asks for
// them without writing out its dirty pages first, and what only it holds would look like a hole: cp
// would then copy zeros. So the pages are written out first, by a thread of its own, because a
// request thread must not use the mount.
// Flow:    fuse_data lseek → answer_later → (sync_file_range through the mount) → FileSystem::seek.
// Threads: answer_later() from any thread; one thread of its own between start() and stop().
// Owns:    requests not yet answered.
// Errors:  EINVAL to the program, which then reads instead of seeking, when the pages cannot be
//          written out (a file without a name).
#pragma once

#define FUSE_USE_VERSION 314
#include "blockstore/base/mutex.h"
#include "fs/filesystem.h"
#include "fs/fuse/through_mount.h"

#include <fuse_lowlevel.h>

#include <deque>
#include <thread>

namespace amberfs {

struct SeekRequest {
  fuse_req_t request = nullptr;
  Ino ino = kNoIno;
  std::uint64_t offset = 0;
  bool want_data = false;
};

class LateSeek {
 public:
  LateSeek(FileSystem& fs, const MountPlace& place) : fs_(fs), place_(place) {}
  ~LateSeek() { stop(); }
  void start();
  void answer_later(const SeekRequest& seek);
  // Answers what is left. The mount must be gone, so that nothing waits for it.
  void stop();

 private:
  void run();
  [[nodiscard]] Status write_out(Ino ino);
  void answer(const SeekRequest& seek);

  FileSystem& fs_;
  const MountPlace& place_;
  Mutex mu_;
  CondVar wake_;
  std::deque<SeekRequest> waiting_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

void reply_seek(fuse_req_t request, const Result<std::uint64_t>& offset);

}  // namespace amberfs
