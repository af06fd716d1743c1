// SPDX-License-Identifier: Apache-2.0
// Readers, putters, commits and verify beside collections: nobody notices.
#include "tests/blockstore/collect_support.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/seed.h"

#include <atomic>
#include <thread>

namespace amberfs {
namespace {

using testing::live_list;
using testing::log_text;
using testing::must;

class CollectThread : public testing::StoreFixture {};

constexpr std::uint64_t kKept = 60;
constexpr std::uint64_t kTexts = 400;

TEST_P(CollectThread, IsNoticedByNobody) {
  options.pack_size_bytes = 16 * kKiB;
  options.cache_size_bytes = 16 * kKiB;  // so that readers go to the packs
  reopen();
  const auto kept = publish_blocks(0, kKept, 1000);
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> reads = 0;
  Mutex commit_mu;                     // what excludes commits from begin_collect()
  std::map<BlockId, Bytes> published;  // by the committer
  std::vector<std::thread> threads;
  for (std::uint64_t r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      std::mt19937_64 random(testing::test_seed() + r);
      while (!stop) {
        auto it = kept.begin();
        std::advance(it, random() % kept.size());
        auto got = store->get(it->first);
        ASSERT_TRUE(got) << got.error().to_string();
        ASSERT_EQ(**got, it->second);
        store->prefetch(std::span(&it->first, 1));
        ++reads;
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      for (const Damage& damage : must(store->verify({}))) {
        ADD_FAILURE() << damage.file << " at " << damage.offset << ": " << damage.what;
      }
    }
  });
  // Each commit is a few blocks, new or known, and nothing of the commits before.
  threads.emplace_back([&] {
    std::mt19937_64 random(testing::test_seed() + 10);
    for (std::uint64_t number = 0; !stop; ++number) {
      MutexLock lock(commit_mu);
      std::map<BlockId, Bytes> blocks;
      for (int i = 0; i < 6; ++i) {
        Bytes text = log_text(1000 + random() % kTexts, 1200);
        const BlockId id = must(store->put(text, BlockKind::kData));
        blocks[id] = std::move(text);
      }
      must(store->publish("commit " + std::to_string(number)));
      published = blocks;
      for (const auto& [id, bytes] : blocks) ASSERT_EQ(*must(store->get(id)), bytes);
    }
  });
  std::uint64_t dropped = 0;
  for (int round = 0; round < 25; ++round) {
    std::map<BlockId, Bytes> live = kept;
    {
      MutexLock lock(commit_mu);
      must(store->begin_collect());
      live.insert(published.begin(), published.end());
    }
    dropped += must(store->collect(live_list(live), testing::small_groups())).blocks_dropped;
    store->end_collect();
    MutexLock lock(commit_mu);
    expect_all(published);
    expect_all(live);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(reads, 100U);
  EXPECT_GT(dropped, 20U);
  expect_all(kept);
  expect_all(published);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
  close();
  must(BlockStore::rebuild_index(*io, dir.path(), options));
  open();
  expect_all(kept);
  expect_all(published);
}

INSTANTIATE_TEST_SUITE_P(Forms, CollectThread, testing::both_forms(), testing::form_name);

}  // namespace
}  // namespace amberfs
