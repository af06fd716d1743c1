// SPDX-License-Identifier: Apache-2.0
// A file of the live tree opened through its own mount, as any program would: the only way to ask
// the kernel what it holds of it.
// Threads: only threads that serve no request: each call here becomes requests to this server.
// Owns:    ThroughMount owns the descriptor, and with it keeps the mount busy: hold it briefly.
#pragma once

#include "blockstore/base/result.h"
#include "snapshot/record_format.h"

#include <sys/types.h>

#include <string>
#include <utility>

namespace amberfs {

class FileSystem;

// Where the file system is mounted, and the device number by which its files are told from those of
// whatever is at the same path once it is unmounted.
struct MountPlace {
  std::string path;
  dev_t device = 0;
};

class ThroughMount {
 public:
  // `flags` as for open(2). kNoSuchPath when the inode has no name (any more), kNotMounted.
  [[nodiscard]] static Result<ThroughMount> open(FileSystem& fs, const MountPlace& place, Ino ino,
                                                 int flags);
  // The root directory.
  [[nodiscard]] static Result<ThroughMount> open_root(const MountPlace& place);
  ThroughMount(ThroughMount&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ThroughMount& operator=(ThroughMount&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~ThroughMount();

  [[nodiscard]] int fd() const { return fd_; }

 private:
  explicit ThroughMount(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace amberfs
