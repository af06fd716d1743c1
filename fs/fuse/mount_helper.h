// SPDX-License-Identifier: Apache-2.0
// MountHelper: a process that uses the mount on the server's behalf. A thread that waits for its
// own server cannot be killed, and a server with such a thread could not be replaced when it dies:
// it would keep the store's lock. So the server never calls its own mount; this process does. When
// the server is gone, what waits here is answered by the next one, and then the helper ends.
//
//   server ──control socket: "here is a new channel"──→ helper ──fork──→ a process for each channel
//          ──channel: one call after another, one open file at most───→
//
// Threads: every method from any thread; a channel is used by one thread at a time.
// Owns:    the sockets. The processes end when these are closed.
// Errors:  those of the call, as errno, with what was tried; kMountFailed when the helper is gone.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/mutex.h"
#include "blockstore/base/result.h"

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace amberfs {

class MountHelper {
 public:
  enum class Op : std::uint32_t {
    kOpen,       // path, number = flags of open(2), device: ENXIO when it is on another device
    kClose,      //
    kStat,       // → ino, size
    kSyncFs,     //
    kDataSync,   //
    kSyncRange,  // the whole file, by sync_file_range(2)
    kChmod,      // to the mode that it has
    kTruncate,   // number = size
    kSetTimes,   // times
    kRead,       // number = offset, size → bytes
    kStatFs,     // path
    kUnmount,    // path, number = flags of umount2(2)
  };
  struct Call {
    Op op = Op::kClose;
    std::int64_t number = 0;
    std::uint64_t size = 0;
    dev_t device = 0;
    timespec times[2] = {};
    std::string path;
  };
  struct Answer {
    std::uint64_t ino = 0;
    std::uint64_t size = 0;
    pid_t caller = 0;  // as requests of this channel name it
    Bytes bytes;
  };

  class Channel {
   public:
    ~Channel();
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    [[nodiscard]] Result<Answer> call(const Call& call);

   private:
    friend class MountHelper;
    explicit Channel(int fd) : fd_(fd) {}
    const int fd_;
  };

  // Forks. Best done before anything large is in memory.
  [[nodiscard]] static Result<std::unique_ptr<MountHelper>> start();
  ~MountHelper();
  MountHelper(const MountHelper&) = delete;
  MountHelper& operator=(const MountHelper&) = delete;

  // Give it back when its file is closed, so that it can be used again.
  [[nodiscard]] Result<std::shared_ptr<Channel>> channel();
  void give_back(std::shared_ptr<Channel> channel);
  // Calls under way return with an error, and so does every later one.
  void abandon();

 private:
  explicit MountHelper(int fd) : fd_(fd) {}

  const int fd_;
  Mutex mu_;
  bool abandoned_ GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<Channel>> idle_ GUARDED_BY(mu_);
  std::vector<std::weak_ptr<Channel>> all_ GUARDED_BY(mu_);
};

}  // namespace amberfs
