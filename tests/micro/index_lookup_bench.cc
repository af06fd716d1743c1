// SPDX-License-Identifier: Apache-2.0
// Index on LMDB with 100,000 blocks: lookups that hit and that miss, and the commit of 1,000 blocks
// more, which is durable when it returns. `form` 1: of an encrypted store.
#include "blockstore/index.h"
#include "tests/micro/bench.h"

namespace amberfs::micro {
namespace {

constexpr std::uint64_t kBlockCount = 100'000;
constexpr std::uint64_t kCommitCount = 1000;
constexpr std::uint64_t kMapSizeBytes = 256 * kMiB;

struct OpenIndex {
  BenchDir directory;
  std::unique_ptr<Index> index;
};

IndexEntry entry_of(std::uint64_t number) {
  return {BlockId{sha256({reinterpret_cast<const char*>(&number), sizeof number})},
          {.pack = static_cast<PackNumber>(1 + number / 10'000),
           .offset = 64 + number * 100,
           .stored_size = 44,
           .plain_size = 100,
           .codec = Codec::kZstd}};
}

IndexCommit commit_of(std::uint64_t first, std::uint64_t count) {
  IndexCommit change;
  change.entries.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) change.entries.push_back(entry_of(first + i));
  return change;
}

Result<OpenIndex> filled_index(const benchmark::State& state) {
  TRY_ASSIGN(BenchDir directory, BenchDir::make());
  std::shared_ptr<const StoreCipher> cipher;
  if (state.range(0) == 1) {
    TRY_ASSIGN(const SecretBytes key, SecretBytes::copy_of(Bytes(kKeySize, 'k')));
    TRY_ASSIGN(cipher, StoreCipher::make(key));
  }
  TRY_ASSIGN(auto index, create_lmdb_index(directory.path() + "/data.mdb", kMapSizeBytes, cipher));
  TRY(index->commit(commit_of(0, kBlockCount)));
  return OpenIndex{std::move(directory), std::move(index)};
}

// Ids are hashes, so that in the order of numbers they lie all over the index.
Status look_up(benchmark::State& state, std::uint64_t first, bool there) {
  TRY_ASSIGN(const OpenIndex open, filled_index(state));
  const std::vector<IndexEntry> wanted = commit_of(first, kBlockCount).entries;
  std::size_t at = 0;
  for (auto _ : state) {
    TRY_ASSIGN(const auto location, open.index->lookup(wanted[at].id));
    const bool right = there ? location == wanted[at].location : !location;
    if (!right) return require(false, "a lookup in the index gave a wrong answer");
    at = at + 1 < wanted.size() ? at + 1 : 0;
  }
  count_items(state, 1);
  return open.index->close();
}

Status look_up_hit(benchmark::State& state) {
  return look_up(state, 0, true);
}
Status look_up_miss(benchmark::State& state) {
  return look_up(state, kBlockCount, false);
}

Status commit(benchmark::State& state) {
  TRY_ASSIGN(const OpenIndex open, filled_index(state));
  std::uint64_t count = kBlockCount;
  for (auto _ : state) {
    state.PauseTiming();
    const IndexCommit change = commit_of(count, kCommitCount);
    state.ResumeTiming();
    TRY(open.index->commit(change));
    count += kCommitCount;
  }
  TRY_ASSIGN(const IndexTotals totals, open.index->totals());
  TRY(require(totals.block_count == count, "blocks that were committed are missing"));
  count_items(state, kCommitCount);
  return open.index->close();
}

BENCHMARK(checked<look_up_hit>)->Name("index_lookup/hit")->ArgName("form")->DenseRange(0, 1);
BENCHMARK(checked<look_up_miss>)->Name("index_lookup/miss")->ArgName("form")->DenseRange(0, 1);
BENCHMARK(checked<commit>)
    ->Name("index_lookup/commit_1000")
    ->ArgName("form")
    ->DenseRange(0, 1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace amberfs::micro
