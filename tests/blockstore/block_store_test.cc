// SPDX-License-Identifier: Apache-2.0
#include "blockstore/block_store.h"

#include "blockstore/pack_store.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/seed.h"

#include <filesystem>
#include <functional>
#include <thread>

namespace amberfs {
namespace {

using testing::log_text;
using testing::must;
using testing::random_text;

class BlockStoreTest : public testing::StoreFixture {};

TEST_P(BlockStoreTest, GivesBackWhatWasPut) {
  for (std::size_t size : {0U, 1U, 100U, 100'000U, 4U << 20}) {
    const Bytes text = log_text(size, size);
    EXPECT_EQ(*must(store->get(put(text))), text);
    const Bytes noise = random_text(size, size);
    EXPECT_EQ(*must(store->get(put(noise, BlockKind::kNode))), noise);
  }
}

TEST_P(BlockStoreTest, NamesABlockByItsHash) {
  EXPECT_EQ(put("hello"), id_of("hello"));
}

TEST_P(BlockStoreTest, RefusesWhatIsTooLarge) {
  auto refused = store->put(Bytes(Blocks::kBlockSizeMax + 1, 'x'), BlockKind::kData);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kBadRequest);
  EXPECT_FALSE(store->publish(Bytes(kHeadSizeMax + 1, 'x')));
  const Bytes largest = random_text(1, Blocks::kBlockSizeMax);
  EXPECT_EQ(*must(store->get(put(largest))), largest);
}

TEST_P(BlockStoreTest, StoresEqualBlocksOnce) {
  put("same");
  put("same");
  must(store->publish("h"));
  put("same");
  const BlockStoreStats stats = must(store->stats());
  EXPECT_EQ(stats.block_count, 1U);
  EXPECT_EQ(stats.dedup_hits, 2U);
}

TEST_P(BlockStoreTest, SaysThatABlockIsMissing) {
  const BlockId id = id_of("nobody put this");
  EXPECT_FALSE(must(store->contains(id)));
  auto got = store->get(id);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::kBlockMissing);
}

TEST_P(BlockStoreTest, KeepsWhatWasPublished) {
  const auto first = publish_blocks(0, 20);
  const auto second = publish_blocks(100, 20);
  reopen();
  EXPECT_EQ(must(store->head()), "head after 120");
  expect_all(first);
  expect_all(second);
}

// Whatever the index says: no pack is removed or cut off where it names blocks itself.
TEST_P(BlockStoreTest, TakesNoByteAwayThatTheIndexNames) {
  const auto published = publish_blocks(0, 5);
  close();
  const std::string path = pack_paths().at(0);
  const Bytes pack = bytes_of(path);
  const auto change_row = [&](const std::function<void(PackRow&)>& change) {
    auto index =
        must(open_lmdb_index(dir / "index/data.mdb", options.index_map_size_bytes, options.cipher));
    PackRow row = must(index->packs()).at(0);
    change(row);
    IndexCommit commit;
    commit.packs = {row};
    must(index->commit(commit));
    must(index->close());
  };
  change_row([](PackRow& row) { row.gone = true; });
  EXPECT_EQ(BlockStore::open(*io, dir.path(), options).error().code, Errc::kIndexDamaged);
  EXPECT_EQ(bytes_of(path), pack);
  change_row([](PackRow& row) {
    row.gone = false;
    row.length -= 500;
  });
  EXPECT_EQ(BlockStore::open(*io, dir.path(), options).error().code, Errc::kIndexDamaged);
  EXPECT_EQ(bytes_of(path), pack);
  must(BlockStore::rebuild_index(*io, dir.path(), options));
  open();
  expect_all(published);
  EXPECT_EQ(must(store->head()), "head after 5");
}

TEST_P(BlockStoreTest, DropsWhatWasNotPublished) {
  const auto published = publish_blocks(0, 5);
  const std::uint64_t length = std::filesystem::file_size(pack_paths().at(0));
  const BlockId lost = put(random_text(9, 100'000));
  reopen();
  EXPECT_FALSE(must(store->contains(lost)));
  // Not before it is appended to: the index may be an old one.
  EXPECT_GT(std::filesystem::file_size(pack_paths().at(0)), length + 100'000);
  EXPECT_TRUE(store->has_bytes_unknown_to_index());
  expect_all(published);
  EXPECT_EQ(must(store->head()), "head after 5");
  // The id is free again.
  const BlockId more = put("more");
  EXPECT_LT(std::filesystem::file_size(pack_paths().at(0)), length + 1000);
  EXPECT_EQ(put(random_text(9, 100'000)), lost);
  must(store->publish("again"));
  reopen();
  EXPECT_FALSE(store->has_bytes_unknown_to_index());
  EXPECT_EQ(*must(store->get(more)), "more");
  EXPECT_EQ(*must(store->get(lost)), random_text(9, 100'000));
}

TEST_P(BlockStoreTest, PublishesNothingTwice) {
  publish_blocks(0, 3);
  const std::uint64_t length = std::filesystem::file_size(pack_paths().at(0));
  must(store->publish("head after 3"));
  EXPECT_EQ(std::filesystem::file_size(pack_paths().at(0)), length);
  must(store->publish("another head"));
  EXPECT_GT(std::filesystem::file_size(pack_paths().at(0)), length);
  EXPECT_EQ(must(store->head()), "another head");
}

TEST_P(BlockStoreTest, WritesNothingForAnEmptyPublish) {
  must(store->publish(""));
  EXPECT_TRUE(pack_paths().empty());
}

TEST_P(BlockStoreTest, FillsManySmallPacks) {
  options.pack_size_bytes = 8 * kKiB;
  reopen();
  std::map<BlockId, Bytes> all;
  for (std::uint64_t i = 0; i < 20; ++i) all.merge(publish_blocks(i * 100, 30));
  EXPECT_GT(pack_paths().size(), 20U);
  expect_all(all);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
  reopen();
  expect_all(all);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
  EXPECT_EQ(must(store->stats()).block_count, all.size());
}

TEST_P(BlockStoreTest, ContinuesTheOpenPackAfterReopening) {
  for (std::uint64_t i = 0; i < 10; ++i) {
    publish_blocks(i * 10, 3);
    reopen();
  }
  EXPECT_EQ(pack_paths().size(), 1U);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
}

TEST_P(BlockStoreTest, ReadsRangesOfABlock) {
  const Bytes text = log_text(1, 50'000);
  const BlockId id = put(text);
  must(store->publish("h"));
  Bytes target(1000, '\0');
  must(store->read(id, 12'345, target.data(), target.size()));
  EXPECT_EQ(target, text.substr(12'345, 1000));
  must(store->read(id, 50'000, target.data(), 0));
  auto past = store->read(id, 49'500, target.data(), 1000);
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code, Errc::kCorrupt);
  EXPECT_FALSE(store->read(id, ~std::uint64_t{0}, target.data(), 2));
}

TEST_P(BlockStoreTest, CachesUpToItsLimit) {
  options.cache_size_bytes = 100'000;
  reopen();
  const auto blocks = publish_blocks(0, 100, 5000);
  expect_all(blocks);
  expect_all(blocks);
  EXPECT_LE(must(store->stats()).cache_bytes, 100'000U);
  EXPECT_GT(must(store->stats()).cache_bytes, 50'000U);
  const BlockId id = blocks.begin()->first;
  must(store->get(id));
  const std::uint64_t hits = must(store->stats()).cache_hits;
  must(store->get(id));
  EXPECT_EQ(must(store->stats()).cache_hits, hits + 1);
}

TEST_P(BlockStoreTest, PrefetchesIntoTheCache) {
  const auto blocks = publish_blocks(0, 8);
  reopen();
  std::vector<BlockId> ids;
  for (const auto& [id, bytes] : blocks) ids.push_back(id);
  ids.push_back(id_of("missing"));
  store->prefetch(ids);
  // 8 blocks of 2000 bytes; a bounded wait for the background to have loaded them.
  for (int i = 0; i < 500 && must(store->stats()).cache_bytes < 16'000; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GE(must(store->stats()).cache_bytes, 16'000U);
  expect_all(blocks);
}

TEST_P(BlockStoreTest, ClosesWhileItPrefetches) {
  const auto blocks = publish_blocks(0, 60);
  reopen();
  std::vector<BlockId> ids;
  for (const auto& [id, bytes] : blocks) ids.push_back(id);
  store->prefetch(ids);
  close();
}

TEST_P(BlockStoreTest, PutsAndGetsUnderThreads) {
  options.pack_size_bytes = 64 * kKiB;
  reopen();
  constexpr std::uint64_t kDistinct = 300;
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(testing::test_seed() + t);
      for (int i = 0; i < 300; ++i) {
        const Bytes text = log_text(random() % kDistinct, 1500);
        auto id = store->put(text, BlockKind::kData);
        ASSERT_TRUE(id) << id.error().to_string();
        auto got = store->get(*id);
        ASSERT_TRUE(got) << got.error().to_string();
        ASSERT_EQ(**got, text);
      }
    });
  }
  std::thread publisher([&] {
    for (int i = 0; !stop; ++i) {
      auto published = store->publish("head " + std::to_string(i));
      ASSERT_TRUE(published) << published.error().to_string();
      auto damage = store->verify({});
      ASSERT_TRUE(damage);
      for (const Damage& finding : *damage) ADD_FAILURE() << finding.what;
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  publisher.join();
  must(store->publish("last"));
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
  const BlockStoreStats stats = must(store->stats());
  EXPECT_LE(stats.block_count, kDistinct);
  EXPECT_EQ(stats.dedup_hits + stats.block_count, 1200U) << "a block was stored twice";
}

TEST_P(BlockStoreTest, NeverDeduplicatesOntoADamagedBlock) {
  const Bytes noise = random_text(5, 5000);
  const BlockId id = put(noise);
  must(store->publish("h"));
  reopen();
  flip(pack_paths().at(0), 64 + 56 + 2500);
  auto got = store->get(id);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::kCorrupt);
  EXPECT_EQ(got.error().to_errno(), EIO);
  EXPECT_EQ(put(noise), id);
  EXPECT_EQ(*must(store->get(id)), noise);
  must(store->publish("healed"));
  reopen();
  EXPECT_EQ(*must(store->get(id)), noise);
  EXPECT_EQ(must(store->stats()).block_count, 1U);
}

TEST_P(BlockStoreTest, AnswersWithAnErrorWhenAPackIsGone) {
  const auto blocks = publish_blocks(0, 2);
  close();
  must(io->unlink(pack_paths().at(0)));
  open();
  auto got = store->get(blocks.begin()->first);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().to_errno(), EIO);
  // The rest goes on.
  publish_blocks(50, 2);
}

TEST_P(BlockStoreTest, ContinuesElsewhereWhenThePackLostBytes) {
  publish_blocks(0, 4);
  close();
  const std::string path = pack_paths().at(0);
  overwrite(path, bytes_of(path).substr(0, 500));
  open();
  const auto later = publish_blocks(50, 2);
  reopen();
  expect_all(later);
  EXPECT_EQ(bytes_of(path).size(), 500U);
}

TEST_P(BlockStoreTest, RemovesAPackThatACrashLeftEmpty) {
  publish_blocks(0, 1);
  close();
  const std::string known = pack_paths().at(0);
  const PackId id{0xee};
  must(io->make_directory(dir / "packs/ee"));
  const std::string empty = dir / "packs/" + pack_file_name(id);
  must(must(io->open(empty, OpenMode::kCreateNew))->pwrite(encode_pack_header({.id = id}), 0));
  open();
  EXPECT_EQ(pack_paths(), std::vector<std::string>{known});
}

TEST_P(BlockStoreTest, LeavesAnUnknownPackWithFramesAlone) {
  publish_blocks(0, 1);
  close();
  const Bytes bytes = bytes_of(pack_paths().at(0));
  must(io->make_directory(dir / "packs/ee"));
  const std::string unknown = dir / "packs/" + pack_file_name(PackId{0xee});
  must(must(io->open(unknown, OpenMode::kCreateNew))->pwrite(bytes, 0));
  open();
  EXPECT_EQ(bytes_of(unknown), bytes);
  const auto damage = must(store->verify({}));
  ASSERT_EQ(damage.size(), 1U);
  EXPECT_EQ(damage[0].file, unknown);
}

TEST_P(BlockStoreTest, SaysWhatIsNoStore) {
  testing::TempDir empty;
  auto opened = BlockStore::open(*io, empty.path(), options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kNotAStore);
  must(io->make_directory(empty / "packs"));
  opened = BlockStore::open(*io, empty.path(), options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kIndexDamaged);
  auto again = BlockStore::create(*io, dir.path(), options);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kStoreExists);
}

TEST_P(BlockStoreTest, RefusesEverythingAfterClose) {
  publish_blocks(0, 1);
  must(store->close());
  must(store->close());
  EXPECT_FALSE(store->put("x", BlockKind::kData));
  EXPECT_FALSE(store->publish("x"));
  EXPECT_FALSE(store->head());
  EXPECT_FALSE(store->get(id_of("x")));
}

INSTANTIATE_TEST_SUITE_P(Forms, BlockStoreTest, testing::both_forms(), testing::form_name);

}  // namespace
}  // namespace amberfs
