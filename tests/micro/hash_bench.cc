// SPDX-License-Identifier: Apache-2.0
// The two hashes, on a record's size and on a block's.
#include "blockstore/base/hash.h"
#include "tests/micro/bench.h"
#include "tests/micro/log_lines.h"

namespace amberfs::micro {
namespace {

template <auto kHash>
Status hash(benchmark::State& state) {
  const Bytes text = log_lines(static_cast<std::size_t>(state.range(0)));
  const auto expected = kHash(text);
  auto got = expected;
  for (auto _ : state) {
    got = kHash(text);
    benchmark::DoNotOptimize(got);
  }
  TRY(require(got == expected, "equal bytes have two hashes"));
  count_bytes(state, text.size());
  return ok();
}

std::uint64_t unseeded_xxh3(ByteView bytes) {
  return xxh3(bytes);
}

BENCHMARK(checked<hash<sha256>>)->Name("hash/sha256")->Arg(4 * kKiB)->Arg(1 * kMiB);
BENCHMARK(checked<hash<unseeded_xxh3>>)->Name("hash/xxh3")->Arg(4 * kKiB)->Arg(1 * kMiB);

}  // namespace
}  // namespace amberfs::micro
