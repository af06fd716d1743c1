// SPDX-License-Identifier: Apache-2.0
// System calls that end the program when they fail: a benchmark has nothing to report then.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

namespace amberfs::benchmark {

[[noreturn]] inline void die(const std::string& tried) {
  fmt::print(stderr, "{}: {}\n", tried, std::strerror(errno));
  std::exit(3);
}

template <typename Value>
Value checked(Value value, const std::string& tried) {
  if (value < 0) die(tried);
  return value;
}

inline void write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t done = ::write(fd, data, size);
    if (done <= 0) die("write");
    data += done;
    size -= static_cast<std::size_t>(done);
  }
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : fd_(checked(::open(path.c_str(), flags | O_CLOEXEC, 0644), "open " + path)) {}
  ~Descriptor() {
    if (::close(fd_) != 0) die("close");
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

class Stopwatch {
 public:
  [[nodiscard]] std::uint64_t nanoseconds() const {
    const auto passed = std::chrono::steady_clock::now() - start_;
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
  }
  [[nodiscard]] double seconds() const { return static_cast<double>(nanoseconds()) / 1e9; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace amberfs::benchmark
