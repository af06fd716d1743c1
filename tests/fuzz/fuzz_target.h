// SPDX-License-Identifier: Apache-2.0
// What every fuzz target NAME_fuzz.cc defines, and what its drivers call: libFuzzer
// (cmake --preset fuzz), or replay_main.cc in the usual tests, which needs no clang.
// A target aborts when a promise does not hold; the sanitizers see the rest.
#pragma once

#include "blockstore/base/bytes.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <source_location>
#include <string>

// Any bytes; returns 0. Deterministic: the same bytes, the same run.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace amberfs::fuzz {

// Inputs made by the project's own encoders, so that they are never those of an older format. At
// least one.
void add_seeds(const std::function<void(Bytes)>& add);

// Writes each seed to a file of `directory`, for libFuzzer. False after an error, which it says.
[[nodiscard]] bool write_seeds(const std::string& directory);

// What is refused is logged, a thousand times a second: kept from the terminal.
void silence_log();

inline void require(bool condition,
                    const std::source_location& where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%u: this must hold\n", where.file_name(), where.line());
  std::abort();
}

[[nodiscard]] inline ByteView as_bytes(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace amberfs::fuzz
