// SPDX-License-Identifier: Apache-2.0
#include "snapshot/record_format.h"

#include "tests/support/seed.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace amberfs {
namespace {

InodeRecord example_inode() {
  InodeRecord inode;
  inode.mode = 0100644;
  inode.uid = 1;
  inode.gid = 2;
  inode.nlink = 3;
  inode.size_bytes = 4;
  inode.atime = {-5, 6};
  inode.mtime = {7, 8};
  inode.ctime = {9, 10};
  inode.btime = {11, 999'999'999};
  inode.rdev = 12;
  return inode;
}

Extent example_extent(ExtentKind kind) {
  Extent extent;
  extent.kind = kind;
  extent.length = 77;
  extent.ends_at_cut = true;
  if (kind == ExtentKind::kBlock) {
    extent.block = BlockId{sha256("block")};
    extent.block_offset = 5;
  } else {
    extent.segment = 6;
    extent.position = 7;
    extent.packed_offset = kind == ExtentKind::kPacked ? 8 : 0;
  }
  return extent;
}

TEST(RecordFormat, ValuesRoundTrip) {
  EXPECT_EQ(decode_inode(encode(example_inode())).value(), example_inode());
  for (const ExtentKind kind : {ExtentKind::kBlock, ExtentKind::kJournal, ExtentKind::kPacked}) {
    EXPECT_EQ(decode_extent(encode(example_extent(kind))).value(), example_extent(kind));
  }
  const Dirent dirent{42, 8};
  EXPECT_EQ(decode_dirent(encode(dirent)).value(), dirent);
}

TEST(RecordFormat, TruncatedAndPaddedValuesAreRefused) {
  for (const Bytes& good : {encode(example_inode()), encode(example_extent(ExtentKind::kBlock)),
                            encode(example_extent(ExtentKind::kJournal)),
                            encode(example_extent(ExtentKind::kPacked)), encode(Dirent{42, 8})}) {
    for (std::size_t size = 0; size < good.size(); ++size) {
      const Bytes cut = good.substr(0, size);
      EXPECT_FALSE(decode_inode(cut));
      EXPECT_FALSE(decode_extent(cut));
      EXPECT_FALSE(decode_dirent(cut));
    }
    EXPECT_FALSE(decode_inode(good + "x"));
    EXPECT_FALSE(decode_extent(good + "x"));
    EXPECT_FALSE(decode_dirent(good + "x"));
  }
}

TEST(RecordFormat, ImpossibleValuesAreRefused) {
  InodeRecord inode = example_inode();
  inode.mtime.nanoseconds = 1'000'000'000;
  EXPECT_FALSE(decode_inode(encode(inode)));
  Extent extent = example_extent(ExtentKind::kBlock);
  extent.length = 0;
  EXPECT_FALSE(decode_extent(encode(extent)));
  EXPECT_FALSE(decode_dirent(encode(Dirent{kNoIno, 8})));
  EXPECT_FALSE(decode_dirent(encode(Dirent{kInoMax + 1, 8})));
}

TEST(RecordFormat, KeysSortByInodeThenTagThenNumber) {
  EXPECT_LT(inode_key(2), inode_key(256));
  EXPECT_LT(inode_key(255), inode_key(256));
  EXPECT_LT(inode_key(5), dirent_key(5, "a"));
  EXPECT_LT(dirent_key(5, "a"), extent_key(5, 0));
  EXPECT_LT(extent_key(5, 255), extent_key(5, 256));
  EXPECT_LT(extent_key(5, kFileSizeMax), inode_key(6));
  EXPECT_LE(range_begin(5, Tag::kExtent), extent_key(5, 0));
  EXPECT_GT(range_end(5, Tag::kExtent), extent_key(5, UINT64_MAX));
  EXPECT_LT(range_end(5, Tag::kExtent), inode_key(6));
}

TEST(RecordFormat, KeysAreTakenApart) {
  const auto parent = parse_key(parent_key(7, 3, "name"));
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->ino, 7U);
  EXPECT_EQ(parent->tag, Tag::kParent);
  EXPECT_EQ(parent->number, 3U);
  EXPECT_EQ(parent->name, "name");
  const Bytes odd("a\0\xff", 3);
  const Bytes key = dirent_key(9, odd);
  const auto dirent = parse_key(key);
  ASSERT_TRUE(dirent);
  EXPECT_EQ(dirent->name, odd);
  EXPECT_EQ(dirent->number, dirent_cookie(odd));
  EXPECT_EQ(parse_key(extent_key(1, 99))->number, 99U);
  EXPECT_EQ(parse_key(orphan_key(8))->number, 8U);
  EXPECT_FALSE(parse_key(""));
  EXPECT_FALSE(parse_key(inode_key(1) + "x"));
  EXPECT_FALSE(parse_key(range_begin(1, Tag::kDirent)));
  EXPECT_FALSE(parse_key(range_begin(1, Tag::kExtent) + "1234567"));
}

TEST(RecordFormat, CookiesLeaveRoomForDotAndDotDotAndFitASignedOffset) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 10'000; ++i) {
    const auto cookie = dirent_cookie("file" + std::to_string(i));
    EXPECT_GE(cookie, kFirstCookie);
    EXPECT_LT(cookie, std::uint64_t{1} << 62);
    seen.insert(cookie);
    EXPECT_LE(dirent_key(1, "file" + std::to_string(i)), dirent_key_after(1, cookie));
  }
  EXPECT_EQ(seen.size(), 10'000U);
}

TEST(RecordFormat, ListingBehindAnyCookieEndsWithinTheDirectory) {
  for (const std::uint64_t cookie : {std::uint64_t{1} << 62, UINT64_MAX - 1, UINT64_MAX}) {
    EXPECT_GT(dirent_key_after(5, cookie), dirent_key(5, "name")) << cookie;
    EXPECT_LE(dirent_key_after(5, cookie), range_end(5, Tag::kDirent)) << cookie;
  }
}

// No checksum is below a record (its block's id is one): a changed byte may be another valid
// record, which must be one that the encoder makes.
TEST(RecordFormat, WhateverIsAcceptedEncodesToTheSameBytes) {
  std::mt19937_64 random(testing::test_seed());
  const std::vector<Bytes> seeds{encode(example_inode()), encode(Dirent{42, 8}),
                                 encode(example_extent(ExtentKind::kBlock)),
                                 encode(example_extent(ExtentKind::kJournal))};
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes = seeds[random() % seeds.size()];
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % bytes.size()] ^= static_cast<char>(1U << (random() % 8));
    }
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 8));
    if (const auto inode = decode_inode(bytes)) {
      EXPECT_EQ(encode(*inode), bytes);
    }
    if (const auto dirent = decode_dirent(bytes)) {
      EXPECT_EQ(encode(*dirent), bytes);
    }
    if (const auto extent = decode_extent(bytes)) {
      EXPECT_EQ(encode(*extent), bytes);
    }
  }
}

}  // namespace
}  // namespace amberfs
