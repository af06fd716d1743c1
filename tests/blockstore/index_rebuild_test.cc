// SPDX-License-Identifier: Apache-2.0
#include "blockstore/index.h"
#include "blockstore/pack_reader.h"
#include "tests/blockstore/store_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

namespace amberfs {
namespace {

using testing::log_text;
using testing::must;
using testing::random_text;

class IndexRebuild : public testing::StoreFixture {
 protected:
  std::map<BlockId, BlockLocation> entries() {
    auto index = must(open_lmdb_index(index_path(), options.index_map_size_bytes, options.cipher));
    std::map<BlockId, BlockLocation> all;
    for (const IndexEntry& entry : must(index->entries_after({}, 1'000'000))) {
      all[entry.id] = entry.location;
    }
    must(index->close());
    return all;
  }
  RebuildReport rebuild() { return must(BlockStore::rebuild_index(*io, dir.path(), options)); }
  std::string index_path() { return dir / "index/data.mdb"; }
  void small_packs() {
    options.pack_size_bytes = 4 * kKiB;
    reopen();
  }
  Footer footer_of(const std::string& path) {
    auto file = must(io->open(path, OpenMode::kRead));
    return must(read_footer(*file, must(read_pack_header(*file)).id));
  }
  std::string a_sealed_pack() {
    for (const std::string& path : pack_paths()) {
      auto file = must(io->open(path, OpenMode::kRead));
      if (read_footer(*file, must(read_pack_header(*file)).id)) return path;
    }
    ADD_FAILURE() << "no pack is sealed";
    return {};
  }
};

TEST_P(IndexRebuild, EqualsTheIndexBefore) {
  small_packs();
  std::map<BlockId, Bytes> blocks;
  for (std::uint64_t i = 0; i < 10; ++i) blocks.merge(publish_blocks(i * 100, 10));
  close();
  const auto before = entries();
  must(io->unlink(index_path()));
  const RebuildReport report = rebuild();
  EXPECT_EQ(report.blocks, blocks.size());
  EXPECT_TRUE(report.damage.empty());
  EXPECT_TRUE(report.head_found);
  EXPECT_EQ(report.torn_bytes, 0U);
  EXPECT_EQ(entries(), before);
  open();
  EXPECT_EQ(must(store->head()), "head after 910");
  expect_all(blocks);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
}

TEST_P(IndexRebuild, ReplacesADamagedIndexAndLeavesNothingBeside) {
  const auto blocks = publish_blocks(0, 3);
  close();
  overwrite(index_path(), "this is no index");
  ASSERT_FALSE(BlockStore::open(*io, dir.path(), options));
  rebuild();
  open();
  expect_all(blocks);
  for (const DirEntry& entry : must(io->list(dir / "index"))) {
    EXPECT_TRUE(entry.name.starts_with("data.mdb")) << entry.name;
  }
}

TEST_P(IndexRebuild, MakesAnEmptyIndexOfAnEmptyStore) {
  close();
  const RebuildReport report = rebuild();
  EXPECT_EQ(report.blocks, 0U);
  EXPECT_FALSE(report.head_found);
  open();
  EXPECT_EQ(must(store->head()), "");
}

TEST_P(IndexRebuild, IgnoresATornTail) {
  const auto blocks = publish_blocks(0, 5);
  put(random_text(1, 10'000));
  close();
  const std::string path = pack_paths().at(0);
  overwrite(path, bytes_of(path).substr(0, bytes_of(path).size() - 4000));
  const RebuildReport report = rebuild();
  EXPECT_EQ(report.blocks, 5U);
  EXPECT_EQ(report.torn_bytes, 6056U + (encrypted() ? kEncryptedOverhead : 0));
  EXPECT_TRUE(report.damage.empty());
  open();
  expect_all(blocks);
  EXPECT_EQ(must(store->head()), "head after 5");
  publish_blocks(50, 1);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
}

TEST_P(IndexRebuild, RecoversTheRestOfASealedPackWithADamagedFrame) {
  small_packs();
  std::map<BlockId, Bytes> blocks = publish_blocks(0, 40);
  close();
  const std::string path = a_sealed_pack();
  const FrameSpot damaged = footer_of(path).frames.at(1);
  ASSERT_NE(damaged.header.type, FrameType::kHead);
  for (const std::size_t where : {std::size_t{4}, std::size_t{100}}) {  // header, stored bytes
    flip(path, damaged.offset + where);
    const RebuildReport report = rebuild();
    ASSERT_EQ(report.damage.size(), 1U);
    EXPECT_EQ(report.damage[0].file, path);
    EXPECT_EQ(report.damage[0].offset, damaged.offset);
    EXPECT_EQ(report.damage[0].block, damaged.header.id);
    EXPECT_EQ(report.blocks, blocks.size() - 1);
    flip(path, damaged.offset + where);
  }
  flip(path, damaged.offset + 100);
  rebuild();
  blocks.erase(damaged.header.id);
  open();
  expect_all(blocks);
  EXPECT_FALSE(must(store->contains(damaged.header.id)));
}

TEST_P(IndexRebuild, ScansASealedPackWhoseFooterIsDamaged) {
  small_packs();
  const auto blocks = publish_blocks(0, 40);
  close();
  const std::string path = a_sealed_pack();
  flip(path, bytes_of(path).size() - 1);
  const RebuildReport report = rebuild();
  EXPECT_EQ(report.blocks, blocks.size());
  EXPECT_TRUE(report.head_found);
  open();
  expect_all(blocks);
  // The pack is continued and sealed anew.
  publish_blocks(100, 10);
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
}

TEST_P(IndexRebuild, TakesTheLaterCopyOfAHealedBlock) {
  options.pack_size_bytes = 4 * kKiB;
  reopen();
  const Bytes noise = random_text(5, 5000);
  const BlockId id = put(noise);
  must(store->publish("h"));
  must(store->publish("h2"));  // seals the pack
  reopen();
  flip(a_sealed_pack(), 64 + 56 + 2500);
  ASSERT_FALSE(store->get(id));
  put(noise);
  must(store->publish("healed"));
  close();
  rebuild();
  open();
  EXPECT_EQ(*must(store->get(id)), noise);
}

TEST_P(IndexRebuild, NeverTakesAHeadWhoseCommitLostFrames) {
  // As after a power cut that wrote the end of a commit and lost its beginning.
  const auto blocks = publish_blocks(0, 3);
  const std::string path = pack_paths().at(0);
  const std::size_t published = bytes_of(path).size();
  publish_blocks(50, 3);
  close();
  Bytes bytes = bytes_of(path);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(published), 100, '\0');
  overwrite(path, bytes);
  const RebuildReport report = rebuild();
  EXPECT_FALSE(report.damage.empty());
  open();
  EXPECT_EQ(must(store->head()), "head after 3");
  expect_all(blocks);
}

TEST_P(IndexRebuild, KeepsTheNewestHeadWhenDamageLiesInAnEarlierCommit) {
  publish_blocks(0, 3);
  const std::string path = pack_paths().at(0);
  const std::size_t first = bytes_of(path).size();
  publish_blocks(50, 3);
  const auto later = publish_blocks(80, 3);
  close();
  flip(path, first + 100);
  const RebuildReport report = rebuild();
  EXPECT_EQ(report.damage.size(), 1U);
  open();
  EXPECT_EQ(must(store->head()), "head after 83");
  expect_all(later);
}

TEST_P(IndexRebuild, TakesInPacksThatTheIndexDidNotKnow) {
  close();
  const Bytes old_index = bytes_of(index_path());
  open();
  const auto blocks = publish_blocks(0, 3);
  close();
  overwrite(index_path(), old_index);
  open();
  EXPECT_FALSE(must(store->contains(blocks.begin()->first)));
  EXPECT_EQ(must(store->verify({})).size(), 1U);
  close();
  rebuild();
  open();
  expect_all(blocks);
  EXPECT_EQ(must(store->head()), "head after 3");
}

TEST_P(IndexRebuild, GoesOnWithANewerSequence) {
  publish_blocks(0, 3);
  close();
  rebuild();
  open();
  publish_blocks(50, 3);
  close();
  rebuild();
  open();
  EXPECT_EQ(must(store->head()), "head after 53");
}

TEST_P(IndexRebuild, TouchesNothingWhenAPackIsNewer) {
  publish_blocks(0, 3);
  close();
  const std::string path = pack_paths().at(0);
  Bytes bytes = bytes_of(path);
  bytes[8] = kPackVersion + 1;
  const std::uint64_t checksum = xxh3(ByteView(bytes).substr(0, 56));
  std::memcpy(bytes.data() + 56, &checksum, 8);
  overwrite(path, bytes);
  const Bytes index = bytes_of(index_path());
  auto report = BlockStore::rebuild_index(*io, dir.path(), options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kNewerFormat);
  EXPECT_EQ(bytes_of(index_path()), index);
  EXPECT_EQ(bytes_of(path), bytes);
}

INSTANTIATE_TEST_SUITE_P(Forms, IndexRebuild, testing::both_forms(), testing::form_name);

}  // namespace
}  // namespace amberfs
