// SPDX-License-Identifier: Apache-2.0
// What all micro-benchmarks share: bodies that return a Status, and a directory for those that
// need a disk.
// Use:    Status body(benchmark::State& state) { …; TRY(…); … }
//         BENCHMARK(checked<body>)->Name("subject/what");
// Errors: an error of a body skips its benchmark with the error's text, and the program ends
// with 1.
#pragma once

#include "blockstore/base/result.h"

#include <benchmark/benchmark.h>

#include <string>
#include <utility>

namespace amberfs::micro {

using Body = Status (*)(benchmark::State&);

void skip_with(benchmark::State& state, const Error& error);
// Whether any benchmark was skipped with an error since the program began.
[[nodiscard]] bool any_failed();

template <Body kBody>
void checked(benchmark::State& state) {
  if (const Status status = kBody(state); !status) skip_with(state, status.error());
}

// For a result that is not what it must be: a benchmark of wrong answers would be worth nothing.
[[nodiscard]] inline Status require(bool holds, const char* what) {
  return holds ? ok() : Status(fail(Errc::kCorrupt, 0, what));
}

inline void count_bytes(benchmark::State& state, std::size_t bytes_per_iteration) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes_per_iteration));
}
inline void count_items(benchmark::State& state, std::size_t items_per_iteration) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(items_per_iteration));
}

// A fresh directory below AMBERFS_BENCH_DIR, or where temporary files go; removed with everything
// in it. The numbers of what syncs are those of the disk it lies on: in a tmpfs they mean nothing.
class BenchDir {
 public:
  [[nodiscard]] static Result<BenchDir> make();
  BenchDir(BenchDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  BenchDir& operator=(BenchDir&&) = delete;
  ~BenchDir();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit BenchDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace amberfs::micro
