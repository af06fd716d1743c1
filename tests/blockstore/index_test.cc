// SPDX-License-Identifier: Apache-2.0
// The rules of Index, on LMDB and on the double that other tests use in its place.
#include "blockstore/index.h"

#include "blockstore/index_format.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/memory_index.h"
#include "tests/support/seed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>

namespace amberfs {
namespace {

using testing::must;

BlockId id_of(std::uint64_t number) {
  return BlockId{sha256({reinterpret_cast<const char*>(&number), sizeof number})};
}

IndexEntry entry_of(std::uint64_t number) {
  return {id_of(number),
          {.pack = static_cast<PackNumber>(number % 7 + 1),
           .offset = 64 + number * 100,
           .stored_size = 44,
           .plain_size = 100,
           .kind = number % 2 == 0 ? BlockKind::kData : BlockKind::kNode,
           .codec = Codec::kZstd}};
}

enum class Kind { kLmdb, kEncryptedLmdb, kMemory };

class IndexRules : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kEncryptedLmdb) cipher = testing::cipher_of('k');
    if (GetParam() != Kind::kMemory) {
      index = must(create_lmdb_index(dir / "data.mdb", 1 * kMiB, cipher));
    } else {
      index = std::make_unique<testing::MemoryIndex>(state);
    }
  }
  void reopen() {
    must(index->close());
    index.reset();
    if (GetParam() != Kind::kMemory) {
      index = must(open_lmdb_index(dir / "data.mdb", 1 * kMiB, cipher));
    } else {
      index = std::make_unique<testing::MemoryIndex>(state);
    }
  }

  testing::TempDir dir;
  std::shared_ptr<testing::MemoryIndexState> state = std::make_shared<testing::MemoryIndexState>();
  std::shared_ptr<const StoreCipher> cipher;
  std::unique_ptr<Index> index;
};

TEST_P(IndexRules, IsEmptyWhenNew) {
  EXPECT_EQ(must(index->head()).sequence, 0U);
  EXPECT_TRUE(must(index->packs()).empty());
  EXPECT_FALSE(must(index->lookup(id_of(1))));
  EXPECT_EQ(must(index->totals()), IndexTotals{});
}

TEST_P(IndexRules, KeepsWhatWasCommitted) {
  IndexCommit change;
  for (std::uint64_t i = 0; i < 100; ++i) change.entries.push_back(entry_of(i));
  change.packs = {{300, PackId{1}, 64, false}, {2, PackId{2}, 1000, true}};
  change.head = HeadRecord{9, "root"};
  must(index->commit(change));
  reopen();
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(must(index->lookup(id_of(i))), entry_of(i).location);
  }
  EXPECT_EQ(must(index->packs()), (std::vector<PackRow>{change.packs[1], change.packs[0]}));
  EXPECT_EQ(must(index->head()).sequence, 9U);
  EXPECT_EQ(must(index->head()).head, "root");
  EXPECT_EQ(must(index->totals()), (IndexTotals{100, 5000, 5000}));
}

TEST_P(IndexRules, CountsAMovedBlockOnce) {
  IndexCommit change;
  change.entries = {entry_of(1), entry_of(2)};
  must(index->commit(change));
  change.entries = {entry_of(2)};
  change.entries[0].location.offset = 7777;
  must(index->commit(change));
  EXPECT_EQ(must(index->lookup(id_of(2)))->offset, 7777U);
  EXPECT_EQ(must(index->totals()), (IndexTotals{2, 100, 100}));
}

TEST_P(IndexRules, ForgetsPacksThatAreGone) {
  IndexCommit change;
  change.packs = {{1, PackId{1}, 64, false}, {2, PackId{2}, 64, false}};
  must(index->commit(change));
  IndexCommit gone;
  gone.packs_gone = {1, 5};
  must(index->commit(gone));
  EXPECT_EQ(must(index->packs()), (std::vector<PackRow>{change.packs[1]}));
}

TEST_P(IndexRules, ListsEntriesInOrderPieceByPiece) {
  IndexCommit change;
  for (std::uint64_t i = 0; i < 50; ++i) change.entries.push_back(entry_of(i));
  must(index->commit(change));
  std::vector<BlockId> ids;
  std::optional<BlockId> after;
  while (true) {
    auto entries = must(index->entries_after(after, 7));
    if (entries.empty()) break;
    for (const IndexEntry& entry : entries) ids.push_back(entry.id);
    after = entries.back().id;
  }
  EXPECT_EQ(ids.size(), 50U);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
}

INSTANTIATE_TEST_SUITE_P(All, IndexRules,
                         ::testing::Values(Kind::kLmdb, Kind::kEncryptedLmdb, Kind::kMemory),
                         [](const auto& with) {
                           return with.param == Kind::kLmdb            ? "Lmdb"
                                  : with.param == Kind::kEncryptedLmdb ? "EncryptedLmdb"
                                                                       : "Memory";
                         });

class LmdbIndex : public ::testing::Test {
 protected:
  testing::TempDir dir;
  std::string path = dir / "data.mdb";
};

TEST_F(LmdbIndex, GrowsItsMapUnderReaders) {
  auto index = must(create_lmdb_index(path, 256 * kKiB));
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  for (std::uint64_t t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      for (std::uint64_t i = t; !stop; i = (i + 1) % 20'000) {
        auto location = index->lookup(id_of(i));
        ASSERT_TRUE(location) << location.error().to_string();
      }
    });
  }
  for (std::uint64_t round = 0; round < 10; ++round) {
    IndexCommit change;
    for (std::uint64_t i = 0; i < 2000; ++i) change.entries.push_back(entry_of(round * 2000 + i));
    must(index->commit(change));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(must(index->totals()).block_count, 20'000U);
}

TEST_F(LmdbIndex, IsDamagedWhenItIsMissing) {
  auto index = open_lmdb_index(path, 1 * kMiB);
  ASSERT_FALSE(index);
  EXPECT_EQ(index.error().code, Errc::kIndexDamaged);
  EXPECT_NE(::access(path.c_str(), F_OK), 0) << "opening made a new one";
}

TEST_F(LmdbIndex, IsAskedForItsKeyAndOnlyWhenItHasOne) {
  const auto cipher = testing::cipher_of('k');
  must(must(create_lmdb_index(path, 1 * kMiB, cipher))->close());
  EXPECT_EQ(open_lmdb_index(path, 1 * kMiB).error().code, Errc::kKeyMissing);
  must(must(open_lmdb_index(path, 1 * kMiB, cipher))->close());
  const std::string plain = dir / "plain.mdb";
  must(must(create_lmdb_index(plain, 1 * kMiB))->close());
  EXPECT_EQ(open_lmdb_index(plain, 1 * kMiB, cipher).error().code, Errc::kBadRequest);
}

TEST_F(LmdbIndex, RefusesToCreateOverAnother) {
  must(must(create_lmdb_index(path, 1 * kMiB))->close());
  auto again = create_lmdb_index(path, 1 * kMiB);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kStoreExists);
}

TEST_F(LmdbIndex, IsDamagedWhenCutShortOrNoIndexAtAll) {
  auto index = must(create_lmdb_index(path, 1 * kMiB));
  IndexCommit change;
  for (std::uint64_t i = 0; i < 1000; ++i) change.entries.push_back(entry_of(i));
  must(index->commit(change));
  must(index->close());
  for (off_t size : {off_t{8192}, off_t{4096}, off_t{100}}) {
    ASSERT_EQ(::truncate(path.c_str(), size), 0);
    auto opened = open_lmdb_index(path, 1 * kMiB);
    ASSERT_FALSE(opened) << size;
    EXPECT_EQ(opened.error().code, Errc::kIndexDamaged) << opened.error().to_string();
  }
}

// Grows, shrinks to nothing and grows again, so that its pages are split, merged, freed and taken
// again in every way: what checks them never takes a sound one for damaged.
TEST_F(LmdbIndex, AgreesWithItsDouble) {
  auto index = must(create_lmdb_index(path, 256 * kKiB));
  auto state = std::make_shared<testing::MemoryIndexState>();
  testing::MemoryIndex expected(state);
  std::mt19937_64 random(testing::test_seed());
  std::uint64_t next = 0;
  for (int round = 0; round < 150; ++round) {
    IndexCommit change;
    const bool shrinks = round / 25 % 2 == 1;
    const auto there = must(expected.entries_after(std::nullopt, ~std::size_t{0}));
    for (std::uint64_t more = random() % (shrinks ? 20 : 1500); more > 0; --more) {
      IndexEntry entry = entry_of(next++);
      if (random() % 3 == 0) entry.location.group_size = entry.location.plain_size;
      change.entries.push_back(entry);
    }
    for (const IndexEntry& entry : there) {
      if (random() % 40 != 0) continue;
      change.moves.push_back({entry.id, entry.location, entry.location});
      change.moves.back().to.offset += 1;
      change.moves.back().to.group_size = entry.location.in_group() ? 0 : entry.location.plain_size;
    }
    if (shrinks) {
      const auto pack = static_cast<PackNumber>(random() % 7 + 1);
      change.packs.push_back({pack, PackId{1}, 64, true, true});
      for (const IndexEntry& entry : there) {
        if (entry.location.pack == pack) change.dropped.push_back(entry.id);
      }
    } else {
      for (PackNumber pack = 1; pack <= 7; ++pack) change.packs.push_back({pack, PackId{1}, 64});
    }
    change.head = HeadRecord{1U + static_cast<unsigned>(round), Bytes(random() % 60'000, 'h')};
    must(expected.commit(change));
    must(index->commit(change));
    EXPECT_EQ(must(index->packs()), must(expected.packs()));
    EXPECT_EQ(must(index->head()).head, must(expected.head()).head);
    EXPECT_EQ(must(index->totals()), must(expected.totals()));
    const auto mine = must(index->entries_after(std::nullopt, ~std::size_t{0}));
    const auto other = must(expected.entries_after(std::nullopt, ~std::size_t{0}));
    ASSERT_TRUE(std::ranges::equal(mine, other, [](const IndexEntry& a, const IndexEntry& b) {
      return a.id == b.id && a.location == b.location;
    })) << round;
    if (round % 10 != 0) continue;
    must(index->close());
    index = must(open_lmdb_index(path, 256 * kKiB));
  }
}

TEST(IndexFormat, RefusesHostileRecords) {
  Bytes raw = encode_location(entry_of(1).location);
  ASSERT_EQ(raw.size(), kLocationSize);
  EXPECT_TRUE(decode_location(raw));
  EXPECT_FALSE(decode_location(ByteView(raw).substr(1)));
  raw[15] = '\x7f';  // stored size of 2 GiB
  EXPECT_FALSE(decode_location(raw));
  EXPECT_FALSE(decode_pack_row("abc", Bytes(kPackRowSize, 'x')));
  EXPECT_FALSE(decode_pack_row("abcd", "x"));
  EXPECT_FALSE(decode_totals("x"));
}

}  // namespace
}  // namespace amberfs
