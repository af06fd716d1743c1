// SPDX-License-Identifier: Apache-2.0
#include "fs/batch_format.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

Extent in_journal(std::uint32_t length, std::uint64_t segment, std::uint64_t position) {
  Extent extent;
  extent.kind = ExtentKind::kJournal;
  extent.length = length;
  extent.segment = segment;
  extent.position = position;
  return extent;
}

std::vector<Change> sample() {
  return {{inode_key(7), encode(InodeRecord{.mode = 0100644, .nlink = 1})},
          {xattr_key(7, "user.a"), Bytes(300, '\0')},
          {dirent_key(1, "log"), std::nullopt},
          {extent_key(7, 100), encode(in_journal(100, 0, 0))},
          {inode_key(7), Bytes()}};
}

bool same(const std::vector<Change>& a, const std::vector<Change>& b) {
  return std::ranges::equal(
      a, b, [](const Change& x, const Change& y) { return x.key == y.key && x.value == y.value; });
}

TEST(BatchFormat, RoundTripsPutsAndRemovesInOrder) {
  auto decoded = decode_changes(encode_changes(sample()), 100);
  ASSERT_TRUE(decoded) << decoded.error().to_string();
  EXPECT_TRUE(same(*decoded, sample()));
  EXPECT_TRUE(decode_changes(encode_changes({}), 0)->empty());
}

TEST(BatchFormat, RefusesEveryTruncationAndTrailingBytes) {
  const Bytes payload = encode_changes(sample());
  for (std::size_t size = 0; size < payload.size(); ++size) {
    auto decoded = decode_changes(ByteView(payload).substr(0, size), 100);
    ASSERT_FALSE(decoded) << size;
    EXPECT_EQ(decoded.error().code, Errc::kJournalDamaged);
  }
  EXPECT_FALSE(decode_changes(payload + "x", 100));
}

TEST(BatchFormat, RefusesACountThatTheBytesCannotHold) {
  Encoder out;
  out.varint(std::uint64_t{1} << 60).u8(0).prefixed("k");
  EXPECT_FALSE(decode_changes(out.view(), 0));
}

TEST(BatchFormat, RefusesBadKeysAndKinds) {
  EXPECT_FALSE(decode_changes(Encoder().varint(1).u8(0).prefixed("").u8(0).view(), 0));
  EXPECT_FALSE(decode_changes(Encoder().varint(1).u8(2).prefixed("k").view(), 0));
  EXPECT_FALSE(
      decode_changes(Encoder().varint(1).u8(0).prefixed(Bytes(kKeySizeMax + 1, 'k')).view(), 0));
}

TEST(BatchFormat, RefusesRelativeExtentsOutsideOfTheDataArea) {
  const auto decode = [](const Extent& extent, std::uint64_t data_size) {
    return decode_changes(encode_changes(std::vector<Change>{{extent_key(7, 100), encode(extent)}}),
                          data_size);
  };
  EXPECT_TRUE(decode(in_journal(100, 0, 0), 100));
  EXPECT_FALSE(decode(in_journal(100, 0, 0), 99));
  EXPECT_FALSE(decode(in_journal(100, 0, 1), 100));
  EXPECT_FALSE(decode(in_journal(100, 0, ~std::uint64_t{0}), 100));
  EXPECT_TRUE(decode(in_journal(100, 3, 5000), 0));  // absolute
}

TEST(Batch, ResolveMakesOnlyRelativeExtentsAbsolute) {
  Batch batch(OpKind::kWrite);
  EXPECT_EQ(batch.append_data("0123456789"), 0U);
  EXPECT_EQ(batch.append_data("abc"), 10U);
  EXPECT_EQ(batch.data_size(), 13U);
  Extent block;
  block.length = 5;
  batch.put(extent_key(7, 3), encode(in_journal(3, 0, 10)));
  batch.put(extent_key(7, 8), encode(in_journal(5, 2, 4321)));
  batch.put(extent_key(7, 13), encode(block));
  batch.put(xattr_key(7, "user.a"), encode(in_journal(3, 0, 10)));  // only looks like one
  batch.remove(extent_key(7, 20));
  batch.resolve(9, 5000);

  EXPECT_EQ(*decode_extent(*batch.changes()[0].value), in_journal(3, 9, 5010));
  EXPECT_EQ(*decode_extent(*batch.changes()[1].value), in_journal(5, 2, 4321));
  EXPECT_EQ(*decode_extent(*batch.changes()[2].value), block);
  EXPECT_EQ(*batch.changes()[3].value, encode(in_journal(3, 0, 10)));
  EXPECT_FALSE(batch.changes()[4].value);
}

}  // namespace
}  // namespace amberfs
