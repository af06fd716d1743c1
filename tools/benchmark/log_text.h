// SPDX-License-Identifier: Apache-2.0
// LogText: endless log lines that look like those of real services, made fast: a pool of generated
// lines, of which each block that is handed out carries numbers that never come twice. So nothing
// can be deduplicated that a real log would not repeat, and it compresses about as real logs do.
// Threads: one object per thread.  Deterministic: the same seed gives the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace amberfs::benchmark {

class LogText {
 public:
  explicit LogText(std::uint64_t seed, std::size_t pool_size_bytes = std::size_t{32} << 20);

  // The next `size` bytes, valid until the next call. They end in the middle of a line.
  std::string_view next(std::size_t size);

 private:
  void make_pool(std::size_t size_bytes);
  std::uint64_t random();

  std::uint64_t state_;
  std::uint64_t stamp_ = 0;
  std::size_t position_ = 0;
  std::string pool_;
  std::string block_;
};

}  // namespace amberfs::benchmark
