// SPDX-License-Identifier: Apache-2.0
// Descriptor: an open file of the target directory, closed when it goes.
// Threads: one at a time.
// Owns:    the descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace amberfs::tools {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  // For those whom an error of close(2) concerns: its return value.
  [[nodiscard]] int close() {
    const int fd = std::exchange(fd_, -1);
    return fd >= 0 ? ::close(fd) : 0;
  }

 private:
  int fd_;
};

}  // namespace amberfs::tools
