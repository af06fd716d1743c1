// SPDX-License-Identifier: Apache-2.0
// Collecting: what is live stays as it is, in groups; what is dead goes, and its space with it.
#include "blockstore/index.h"
#include "blockstore/pack_reader.h"
#include "tests/blockstore/collect_support.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/seed.h"

#include <set>

namespace amberfs {
namespace {

using testing::collect;
using testing::live_list;
using testing::log_text;
using testing::must;
using testing::random_text;
using testing::small_groups;

class Collect : public testing::StoreFixture {
 protected:
  void expect_whole() {
    for (const Damage& damage : must(store->verify({.full = true, .progress = {}}))) {
      ADD_FAILURE() << damage.file << " at " << damage.offset << ": " << damage.what;
    }
  }
  void expect_gone(const std::map<BlockId, Bytes>& blocks) {
    for (const auto& [id, bytes] : blocks) EXPECT_FALSE(must(store->contains(id)));
  }
  void rebuild() {
    close();
    must(io->unlink(dir / "index/data.mdb"));
    must(BlockStore::rebuild_index(*io, dir.path(), options));
    open();
  }
  std::uint64_t bytes_on_disk() {
    std::uint64_t bytes = 0;
    for (const std::string& path : pack_paths()) bytes += bytes_of(path).size();
    return bytes;
  }
};

TEST_P(Collect, KeepsWhatIsLiveAndDropsTheRest) {
  const auto live = publish_blocks(0, 20);
  const auto dead = publish_blocks(100, 20);
  const std::uint64_t before = bytes_on_disk();
  const CompactReport report = must(collect(*store, live_list(live)));
  EXPECT_EQ(report.blocks_moved, 20U);
  EXPECT_EQ(report.blocks_dropped, 20U);
  EXPECT_EQ(report.packs_removed, 1U);
  EXPECT_TRUE(report.damage.empty());
  EXPECT_EQ(report.bytes_after, bytes_on_disk());
  EXPECT_LT(report.bytes_after * 2, before);
  for (int round = 0; round < 3; ++round) {
    expect_all(live);
    expect_gone(dead);
    expect_whole();
    EXPECT_EQ(must(store->head()), "head after 120");
    EXPECT_EQ(must(store->stats()).block_count, 20U);
    if (round == 0) reopen();
    if (round == 1) rebuild();
  }
  publish_blocks(100, 20);  // what was dropped can come again
  expect_all(dead);
  expect_whole();
}

TEST_P(Collect, DoesNothingTheSecondTime) {
  const auto live = publish_blocks(0, 20);
  must(collect(*store, live_list(live)));
  for (int round = 0; round < 4; ++round) {
    const auto paths = pack_paths();
    const std::uint64_t bytes = bytes_on_disk();
    const CompactReport report = must(collect(*store, live_list(live)));
    EXPECT_EQ(report.blocks_moved, 0U);
    EXPECT_EQ(report.packs_removed, 0U);
    EXPECT_EQ(pack_paths(), paths);
    EXPECT_EQ(bytes_on_disk(), bytes);
    reopen();
  }
}

TEST_P(Collect, LaysNeighboursSideBySide) {
  std::vector<BlockId> ids;
  for (std::uint64_t i = 0; i < 16; ++i) ids.push_back(put(log_text(i, 2000)));
  must(store->publish("head"));
  std::vector<BlockId> order;
  for (std::size_t i = 0; i < 16; ++i) order.push_back(ids[i * 5 % 16]);
  must(collect(*store, live_list(order)));
  close();
  auto index =
      must(open_lmdb_index(dir / "index/data.mdb", options.index_map_size_bytes, options.cipher));
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    const BlockLocation at = *must(index->lookup(order[i]));
    ASSERT_TRUE(at.in_group());
    if (i % 4 == 0) {
      EXPECT_GT(at.offset, last);
    } else {
      EXPECT_EQ(at.offset, last) << "four blocks of 2000 bytes fill a group of 8 KiB";
    }
    last = at.offset;
  }
}

TEST_P(Collect, KeepsNodesAndDataApart) {
  const BlockId data = put(log_text(1, 500));
  const BlockId node = put(log_text(2, 500), BlockKind::kNode);
  must(store->publish("head"));
  must(collect(*store, live_list(std::vector{node, data})));
  const auto stats = must(store->stats());
  EXPECT_EQ(stats.node_plain_bytes, 500U);
  EXPECT_EQ(stats.data_plain_bytes, 500U);
  close();
  auto index =
      must(open_lmdb_index(dir / "index/data.mdb", options.index_map_size_bytes, options.cipher));
  EXPECT_NE(must(index->lookup(data))->offset, must(index->lookup(node))->offset);
  EXPECT_EQ(must(index->lookup(node))->kind, BlockKind::kNode);
}

TEST_P(Collect, KeepsWhatPutFoundSinceItBegan) {
  const auto live = publish_blocks(0, 5);
  const auto dead = publish_blocks(100, 5);
  const Bytes wanted = log_text(102, 2000);
  const BlockId id = id_of(wanted);
  must(store->begin_collect());
  put(wanted);
  const BlockId fresh = put("stored since it began");
  auto options_with_late_put = small_groups();
  int calls = 0;
  const Bytes late_wanted = log_text(103, 2000);
  options_with_late_put.keep_going = [&] {
    if (++calls == 3) put(late_wanted);  // while blocks are copied: the dead ones are chosen
    return true;
  };
  must(store->collect(live_list(live), options_with_late_put));
  store->end_collect();
  must(store->publish("found"));
  expect_all(live);
  EXPECT_EQ(*must(store->get(id)), wanted);
  EXPECT_EQ(*must(store->get(id_of(late_wanted))), late_wanted);
  EXPECT_EQ(*must(store->get(fresh)), "stored since it began");
  expect_whole();
  rebuild();
  EXPECT_EQ(*must(store->get(id_of(late_wanted))), late_wanted);
  EXPECT_EQ(must(store->head()), "found");
  expect_whole();
}

TEST_P(Collect, NeverGivesRotAFreshChecksum) {
  options.zstd_level = 0;
  reopen();
  auto live = publish_blocks(0, 5);
  const std::string path = pack_paths().at(0);
  const Bytes victim = log_text(2, 2000);
  const std::size_t at = bytes_of(path).find(id_of(victim).view());  // in its frame's header
  ASSERT_NE(at, Bytes::npos);
  close();
  flip(path, at + 100);
  open();
  const CompactReport report = must(collect(*store, live_list(live)));
  ASSERT_EQ(report.damage.size(), 1U);
  EXPECT_EQ(report.damage[0].block, id_of(victim));
  EXPECT_EQ(report.damage[0].file, path);
  EXPECT_EQ(report.blocks_moved, 4U);
  EXPECT_EQ(report.packs_removed, 0U);
  EXPECT_EQ(store->get(id_of(victim)).error().code, Errc::kCorrupt);
  live.erase(id_of(victim));
  expect_all(live);
  // Stored anew, the pack of the rotten copy goes.
  live[put(victim)] = victim;
  must(store->publish("healed"));
  EXPECT_EQ(must(collect(*store, live_list(live))).damage.size(), 0U);
  EXPECT_FALSE(must(io->exists(path)));
  expect_all(live);
  expect_whole();
}

TEST_P(Collect, RefusesWhenALiveBlockIsMissing) {
  auto live = publish_blocks(0, 5);
  const auto dead = publish_blocks(100, 5);
  live[id_of("never stored")] = "never stored";
  const auto report = collect(*store, live_list(live));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kBlockMissing);
  expect_all(dead);
}

TEST_P(Collect, RewritesGroupsOnlyWhenEnoughOfThemIsDead) {
  auto live = publish_blocks(0, 40);
  must(collect(*store, live_list(live)));
  live.erase(live.begin());
  EXPECT_EQ(must(collect(*store, live_list(live))).blocks_moved, 0U);
  for (int i = 0; i < 6; ++i) live.erase(live.begin());
  const CompactReport report = must(collect(*store, live_list(live)));
  EXPECT_EQ(report.blocks_moved, live.size());
  EXPECT_EQ(report.blocks_dropped, 7U);
  expect_all(live);
  expect_whole();
}

TEST_P(Collect, PutsSmallPacksTogetherWhenThereAreMany) {
  std::map<BlockId, Bytes> live;
  auto compact = small_groups();
  compact.small_packs_max = 3;
  std::size_t most = 0;
  for (std::uint64_t run = 0; run < 9; ++run) {
    live.merge(publish_blocks(run * 100, 5));
    must(collect(*store, live_list(live), compact));
    most = std::max(most, pack_paths().size());
    expect_all(live);
    expect_whole();
  }
  EXPECT_EQ(most, 3U + 2);  // the run's own, and the open one
  compact.small_packs_max = 0;
  must(collect(*store, live_list(live), compact));
  EXPECT_EQ(pack_paths().size(), 2U);
  expect_all(live);
  rebuild();
  expect_all(live);
  expect_whole();
}

TEST_P(Collect, StopsWhenItIsTold) {
  const auto live = publish_blocks(0, 20);
  const auto dead = publish_blocks(100, 5);
  const auto paths = pack_paths();
  auto compact = small_groups();
  int calls = 0;
  compact.keep_going = [&] { return ++calls < 10; };
  const CompactReport report = must(collect(*store, live_list(live), compact));
  EXPECT_TRUE(report.stopped);
  EXPECT_EQ(report.blocks_moved, 0U);
  expect_all(live);
  expect_all(dead);
  expect_whole();
  reopen();
  expect_all(dead);
  EXPECT_LE(pack_paths().size(), paths.size() + 1);  // the fresh pack with the head
}

TEST_P(Collect, TakesSeveralStepsAndPacks) {
  options.pack_size_bytes = 8 * kKiB;
  reopen();
  std::map<BlockId, Bytes> live;
  for (std::uint64_t i = 0; i < 10; ++i) {
    live.merge(publish_blocks(i * 100, 10));
    publish_blocks(i * 100 + 50, 5);
  }
  auto compact = small_groups();
  compact.step_bytes = 16 * kKiB;
  const CompactReport report = must(collect(*store, live_list(live), compact));
  EXPECT_EQ(report.blocks_moved, 100U);
  EXPECT_GT(report.packs_removed, 4U);
  expect_all(live);
  expect_whole();
  rebuild();
  expect_all(live);
  expect_whole();
}

TEST_P(Collect, KeepsTheHeadWhenEveryPackIsSealedAtOnce) {
  options.pack_size_bytes = 1;
  reopen();
  const auto live = publish_blocks(0, 3);
  publish_blocks(100, 3);
  for (int round = 0; round < 3; ++round) {
    must(collect(*store, live_list(live)));
    rebuild();
    EXPECT_EQ(must(store->head()), "head after 103");
    expect_all(live);
    expect_whole();
  }
}

TEST_P(Collect, MakesSmallerWhatBlocksHaveInCommon) {
  const Bytes shared = random_text(7, 20000);
  std::map<BlockId, Bytes> live;
  for (int i = 0; i < 10; ++i) {
    Bytes block = shared + "copy " + std::to_string(i);
    live[put(block)] = block;
  }
  must(store->publish("head"));
  const CompactOptions compact;
  const CompactReport report = must(collect(*store, live_list(live), compact));
  EXPECT_GT(report.bytes_before, 200'000U);
  EXPECT_LT(report.bytes_after, 30'000U);
  expect_all(live);
}

// Random puts, publishes, collections, reopenings and rebuilds, with any part of what is there
// live.
TEST_P(Collect, KeepsAModelsBlocks) {
  std::mt19937_64 random(testing::test_seed());
  options.pack_size_bytes = 20 * kKiB;
  options.cache_size_bytes = 64 * kKiB;
  reopen();
  std::map<BlockId, Bytes> published;
  std::map<BlockId, Bytes> pending;
  Bytes head;
  std::uint64_t next_head = 0;
  for (int step = 0; step < 250; ++step) {
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
        for (std::uint64_t i = 0; i < 1 + random() % 8; ++i) {
          Bytes block = log_text(random() % 300, random() % 4000);
          pending[put(block, random() % 3 == 0 ? BlockKind::kNode : BlockKind::kData)] = block;
        }
        break;
      case 3:
      case 4:
        head = "head " + std::to_string(next_head++);
        must(store->publish(head));
        published.merge(pending);
        pending.clear();
        break;
      case 5: {
        std::map<BlockId, Bytes> live;
        const std::uint64_t percent = random() % 101;
        for (const auto& [id, bytes] : published) {
          if (random() % 100 < percent) live[id] = bytes;
        }
        if (!pending.empty()) break;  // a commit is being put together
        must(collect(*store, live_list(live)));
        // What is not live may still be there: then it must be whole, or it is as if never put.
        published = live;
        expect_whole();
        break;
      }
      case 6:
        pending.clear();
        reopen();
        break;
      case 7:
        pending.clear();
        if (head.empty()) break;
        rebuild();
        expect_whole();
        break;
    }
    ASSERT_EQ(must(store->head()), head);
    expect_all(published);
    expect_all(pending);
    if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, Collect, testing::both_forms(), testing::form_name);

}  // namespace
}  // namespace amberfs
