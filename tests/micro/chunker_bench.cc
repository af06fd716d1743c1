// SPDX-License-Identifier: Apache-2.0
// Chunker: how fast cuts are found in log text, with the sizes that a store uses.
#include "blockstore/chunker.h"
#include "tests/micro/bench.h"
#include "tests/micro/log_lines.h"

namespace amberfs::micro {
namespace {

constexpr std::size_t kTextSizeBytes = 32 * kMiB;

std::size_t count_cuts(ByteView text) {
  Chunker chunker{ChunkerOptions{}};
  std::size_t cuts = 0;
  while (const auto length = chunker.find_cut(text)) {
    text.remove_prefix(*length);
    ++cuts;
  }
  return cuts;
}

Status find_cuts(benchmark::State& state) {
  const Bytes text = log_lines(kTextSizeBytes);
  std::size_t cuts = 0;
  for (auto _ : state) {
    cuts = count_cuts(text);
    benchmark::DoNotOptimize(cuts);
  }
  TRY(require(cuts >= kTextSizeBytes / ChunkerOptions{}.size_max, "cuts are missing"));
  state.counters["cuts"] = static_cast<double>(cuts);
  count_bytes(state, text.size());
  return ok();
}

BENCHMARK(checked<find_cuts>)->Name("chunker/find_cut")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace amberfs::micro
