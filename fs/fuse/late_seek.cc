// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/late_seek.h"

#include "fs/fuse/through_mount.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>

namespace amberfs {

void reply_seek(fuse_req_t request, const Result<std::uint64_t>& offset) {
  if (offset) {
    fuse_reply_lseek(request, static_cast<off_t>(*offset));
  } else {
    fuse_reply_err(request, offset.error().to_errno());
  }
}

void LateSeek::start() {
  thread_ = std::thread([this] { run(); });
}

void LateSeek::stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LateSeek::answer_later(const SeekRequest& seek) {
  {
    MutexLock lock(mu_);
    waiting_.push_back(seek);
  }
  wake_.notify_all();
}

void LateSeek::run() {
  while (true) {
    SeekRequest seek;
    {
      MutexLock lock(mu_);
      while (waiting_.empty() && !stopping_) wake_.wait(mu_);
      if (waiting_.empty()) return;
      seek = waiting_.front();
      waiting_.pop_front();
    }
    answer(seek);
  }
}

// sync_file_range() and not fsync(): who seeks holds the inode's lock, which fsync() would take.
Status LateSeek::write_out(Ino ino) {
  TRY_ASSIGN(const ThroughMount file, ThroughMount::open(fs_, place_, ino, O_RDONLY));
  // Before 6.16 the kernel does not wait for the answers to its writes: the size tells.
  constexpr int kLooksMax = 100;
  for (int look = 0; look < kLooksMax; ++look) {
    TRY(file.sync_range());
    TRY_ASSIGN(const std::uint64_t size, file.size());
    TRY_ASSIGN(const Attr attr, fs_.getattr(ino));
    if (size <= attr.record.size_bytes) return ok();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return fail(posix_error(EINVAL));
}

void LateSeek::answer(const SeekRequest& seek) {
  if (!write_out(seek.ino)) {
    fuse_reply_err(seek.request, EINVAL);
    return;
  }
  reply_seek(seek.request, fs_.seek(seek.ino, seek.offset, seek.want_data));
}

}  // namespace amberfs
