// SPDX-License-Identifier: Apache-2.0
// Groups: their format, and how they are read, verified and taken in by a rebuild.
#include "blockstore/base/coding.h"
#include "blockstore/group_format.h"
#include "blockstore/index_format.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_writer.h"
#include "tests/blockstore/store_fixture.h"

#include <set>

namespace amberfs {
namespace {

using testing::log_text;
using testing::must;
using testing::random_text;

GroupBuilder::Group group_of(const std::vector<Bytes>& blocks,
                             const FrameCipher& frames = FrameCipher(nullptr)) {
  GroupBuilder builder;
  for (const Bytes& block : blocks) builder.add(frames.id_of(block), BlockKind::kData, block);
  return builder.take();
}

TEST(Group, GivesBackWhatWasPutIn) {
  const std::vector<Bytes> blocks{"one", "", log_text(3, 5000)};
  const auto group = group_of(blocks);
  const auto members = must(decode_group(group.plain));
  ASSERT_EQ(members.size(), blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(members[i].id, BlockId{sha256(blocks[i])});
    EXPECT_EQ(ByteView(group.plain).substr(members[i].offset, members[i].size), blocks[i]);
    EXPECT_EQ(members[i].offset, group.members[i].offset);
  }
}

TEST(Group, RefusesTablesThatDoNotFit) {
  const Bytes good = group_of({"first block", "second"}).plain;
  ASSERT_TRUE(decode_group(good));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_group(ByteView(good).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_group(good + "x"));
  auto changed = [&](std::size_t at, std::uint32_t value) {
    Bytes bytes = good;
    store_le(bytes.data() + at, value);
    return bytes;
  };
  for (const std::uint32_t count : {0U, 1U, 3U, 0x7fffffffU, 0xffffffffU}) {
    EXPECT_FALSE(decode_group(changed(0, count))) << count;
  }
  for (const std::uint32_t size : {0U, 10U, 12U, 0xffffffffU}) {
    EXPECT_FALSE(decode_group(changed(kGroupHeadSize + 33, size))) << size;
  }
  Bytes kind = good;
  kind[kGroupHeadSize + 32] = 3;
  EXPECT_FALSE(decode_group(kind));
  EXPECT_FALSE(decode_group(group_of({"twice", "twice"}).plain));
}

TEST(Group, NeverGrowsBeyondWhatReadersAllocate) {
  EXPECT_TRUE(fits_in_group(kGroupSizeMax - 41));
  EXPECT_FALSE(fits_in_group(kGroupSizeMax - 40));
  GroupBuilder builder;
  EXPECT_TRUE(builder.has_room(kGroupSizeMax - 41));
  builder.add(BlockId{}, BlockKind::kData, Bytes(kGroupSizeMax - 78, 'x'));
  EXPECT_TRUE(builder.has_room(0));
  EXPECT_FALSE(builder.has_room(1));
}

TEST(GroupLocation, IsRefusedWhenItLiesOutsideItsGroup) {
  const BlockLocation good{.pack = 1,
                           .offset = 64,
                           .stored_size = 10,
                           .plain_size = 20,
                           .group_offset = 100,
                           .group_size = 120};
  EXPECT_EQ(decode_location(encode_location(good)), good);
  BlockLocation bad = good;
  bad.group_offset = 101;
  EXPECT_FALSE(decode_location(encode_location(bad)));
  bad.group_offset = 0xffffffff;
  EXPECT_FALSE(decode_location(encode_location(bad)));
  bad = good;
  bad.group_size = kGroupSizeMax + 1;
  EXPECT_FALSE(decode_location(encode_location(bad)));
  Bytes zero = encode_location(good);
  store_le(zero.data() + 28, 0U);
  EXPECT_FALSE(decode_location(zero));
}

TEST(GroupPack, HasTheVersionThatOlderProgramsRefuse) {
  PackHeader header{.version = kPackVersionGroups};
  EXPECT_EQ(must(decode_pack_header(encode_pack_header(header))).version, 2U);
  header.version = kPackVersion + 1;
  const auto newer = decode_pack_header(encode_pack_header(header));
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Errc::kNewerFormat);
}

// A store whose second pack holds a group.
class GroupStore : public testing::StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    plain = publish_blocks(0, 3);
    close();
    for (std::uint64_t i = 10; i < 20; ++i) blocks.push_back(log_text(i, 3000));
    blocks.push_back(random_text(1, 700));
    make_pack();
    must(BlockStore::rebuild_index(*io, dir.path(), options));
  }
  void make_pack() {
    auto writer = must(PackWriter::create(*io, dir / "packs", frames().pack_version(true)));
    const auto group = group_of(blocks, frames());
    Bytes buffer;
    const Encoded encoded = encode_long(group.plain, 19, buffer);
    EXPECT_EQ(encoded.codec, Codec::kZstd);
    const FrameHeader header{.type = FrameType::kGroup,
                             .codec = encoded.codec,
                             .plain_size = static_cast<std::uint32_t>(group.plain.size()),
                             .id = id_of(group.plain)};
    must(writer->append(frames().store(writer->id(), header, encoded.stored)));
    must(writer->seal());
    path = writer->path();
    must(writer->close());
  }
  std::map<BlockId, Bytes> expected() {
    std::map<BlockId, Bytes> all = plain;
    for (const Bytes& block : blocks) all[id_of(block)] = block;
    return all;
  }

  std::map<BlockId, Bytes> plain;
  std::vector<Bytes> blocks;
  std::string path;
};

TEST_P(GroupStore, IsReadAfterARebuild) {
  open();
  expect_all(expected());
  EXPECT_EQ(must(store->head()), "head after 3");
  EXPECT_TRUE(must(store->verify({.full = true, .progress = {}})).empty());
  EXPECT_TRUE(must(store->verify({})).empty());
}

TEST_P(GroupStore, IsDecodedOnceForItsNeighbours) {
  open();
  for (const Bytes& block : blocks) must(store->get(id_of(block)));
  const auto stats = must(store->stats());
  EXPECT_EQ(stats.cache_misses, 1U);
  EXPECT_EQ(stats.cache_hits, blocks.size() - 1);
}

TEST_P(GroupStore, IsReadWithACacheThatHoldsNothing) {
  options.cache_size_bytes = 0;
  open();
  expect_all(expected());
}

TEST_P(GroupStore, NamesEveryBlockOfADamagedGroup) {
  flip(path, kPackHeaderSize + kFrameHeaderSize + 50);
  open();
  for (const bool full : {false, true}) {
    const auto damage = must(store->verify({.full = full, .progress = {}}));
    std::set<BlockId> named;
    for (const Damage& finding : damage) {
      EXPECT_EQ(finding.file, path);
      if (finding.block) named.insert(*finding.block);
    }
    EXPECT_EQ(damage.size(), blocks.size());
    EXPECT_EQ(named.size(), blocks.size());
  }
  EXPECT_EQ(store->get(id_of(blocks[0])).error().code, Errc::kCorrupt);
  expect_all(plain);
  // What is known to be lost is stored again when it comes again.
  for (const Bytes& block : blocks) put(block);
  must(store->publish("again"));
  expect_all(expected());
}

TEST_P(GroupStore, NamesAMemberThatIsNotItsId) {
  // A group that was made of bytes that had rotted before: every checksum holds.
  must(io->unlink(path));
  const Bytes right = blocks[4];
  auto group = group_of(blocks, frames());
  const std::size_t at = group.plain.find(right);
  ASSERT_NE(at, Bytes::npos);
  group.plain[at + 7] = static_cast<char>(group.plain[at + 7] ^ 1);
  auto writer = must(PackWriter::create(*io, dir / "packs", frames().pack_version(true)));
  const FrameHeader header{.type = FrameType::kGroup,
                           .plain_size = static_cast<std::uint32_t>(group.plain.size()),
                           .id = id_of(group.plain)};
  must(writer->append(frames().store(writer->id(), header, group.plain)));
  must(writer->seal());
  must(writer->close());
  must(BlockStore::rebuild_index(*io, dir.path(), options));
  open();
  EXPECT_TRUE(must(store->verify({})).empty());
  const auto damage = must(store->verify({.full = true, .progress = {}}));
  ASSERT_EQ(damage.size(), 1U);
  EXPECT_EQ(damage[0].block, id_of(right));
}

TEST_P(GroupStore, TakesTheLaterCopyWhenRebuilt) {
  open();
  const Bytes in_both = blocks[2];
  close();
  // The same block, later, as a frame of its own.
  auto writer = must(PackWriter::create(*io, dir / "packs", frames().pack_version(false)));
  const FrameHeader header{.plain_size = static_cast<std::uint32_t>(in_both.size()),
                           .id = id_of(in_both)};
  must(writer->append(frames().store(writer->id(), header, in_both)));
  must(writer->seal());
  must(writer->close());
  must(BlockStore::rebuild_index(*io, dir.path(), options));
  auto index =
      must(open_lmdb_index(dir / "index/data.mdb", options.index_map_size_bytes, options.cipher));
  EXPECT_FALSE(must(index->lookup(id_of(in_both)))->in_group());
  EXPECT_TRUE(must(index->lookup(id_of(blocks[3])))->in_group());
  must(index->close());
}

INSTANTIATE_TEST_SUITE_P(Forms, GroupStore, testing::both_forms(), testing::form_name);

}  // namespace
}  // namespace amberfs
