// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node_format.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

Result<NodeView> parse(Bytes bytes) {
  return NodeView::parse(std::make_shared<const Bytes>(std::move(bytes)));
}

Bytes example_leaf() {
  NodeBuilder builder(0);
  builder.add("alpha", "1");
  builder.add("beta", "");
  builder.add("gamma", Bytes(300, 'x'));
  return builder.finish();
}

TEST(NodeFormat, RoundTripsAndSearches) {
  const auto node = parse(example_leaf());
  ASSERT_TRUE(node) << node.error().to_string();
  EXPECT_EQ(node->level(), 0U);
  ASSERT_EQ(node->count(), 3U);
  EXPECT_EQ(node->entry(0).key, "alpha");
  EXPECT_EQ(node->entry(1).value, "");
  EXPECT_EQ(node->entry(2).value, Bytes(300, 'x'));
  EXPECT_EQ(node->lower_bound(""), 0U);
  EXPECT_EQ(node->lower_bound("beta"), 1U);
  EXPECT_EQ(node->lower_bound("betb"), 2U);
  EXPECT_EQ(node->lower_bound("zeta"), 3U);
}

// The worked example of docs/format/node.md.
TEST(NodeFormat, BytesAreAsDocumented) {
  NodeBuilder builder(0);
  builder.add("a", "1");
  builder.add("bc", "");
  EXPECT_EQ(to_hex(builder.finish()),
            "41424e44"
            "01"
            "00"
            "0000"
            "02000000"
            "18000000"
            "1c000000"
            "20000000"
            "0100"
            "61"
            "31"
            "0200"
            "6263");
}

// Nodes carry no checksum (their block id is one), so a changed value byte is a valid node; what
// matters is that no bytes at all lead the parser astray.
TEST(NodeFormat, EveryBitFlipAndTruncationIsSurvived) {
  const Bytes good = example_leaf();
  int refused = 0;
  const auto touch = [&](const Bytes& bytes) {
    const auto node = parse(bytes);
    if (!node) {
      ++refused;
      return;
    }
    std::size_t bytes_seen = 0;
    for (std::size_t i = 0; i < node->count(); ++i) {
      bytes_seen += node->entry(i).key.size() + node->entry(i).value.size();
    }
    EXPECT_LE(bytes_seen, bytes.size());
  };
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    touch(bad);
  }
  for (std::size_t size = 0; size < good.size(); ++size) touch(good.substr(0, size));
  EXPECT_GT(refused, 300);
}

Bytes header(std::uint32_t count) {
  return Bytes("ABND\x01\0\0\0", 8) +
         Bytes({static_cast<char>(count), static_cast<char>(count >> 8),
                static_cast<char>(count >> 16), static_cast<char>(count >> 24)});
}

// The first offset is right for the count, but there is no table: it would be read far outside.
TEST(NodeFormat, CountsWithoutRoomForTheirOffsetsAreRefused) {
  for (std::size_t rest = 0; rest < 12; ++rest) {
    Bytes bytes = header(0x100000) + Bytes("\x10\0\x40\0\0\0\0\0\0\0\0\0", 12);
    bytes.resize(12 + rest);
    EXPECT_FALSE(parse(bytes)) << rest;
  }
  for (const std::uint32_t count :
       {0U, 1U, 2U, 0x3FFFFFFEU, 0x3FFFFFFFU, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    for (std::size_t size = 12; size < 24; ++size) {
      EXPECT_FALSE(parse(header(count) + Bytes(size - 12, '\0'))) << count << " " << size;
    }
  }
}

TEST(NodeFormat, VersionsAndReservedBytesAreHeldTo) {
  const auto code = [](std::size_t at, char value) {
    Bytes bytes = example_leaf();
    bytes[at] = value;
    const auto node = parse(bytes);
    return node ? Errc::kPosix : node.error().code;
  };
  EXPECT_EQ(code(4, 2), Errc::kNewerFormat);
  EXPECT_EQ(code(4, 0), Errc::kCorrupt);
  EXPECT_EQ(code(5, 33), Errc::kCorrupt);
  EXPECT_EQ(code(6, 1), Errc::kCorrupt);
  EXPECT_EQ(code(7, 1), Errc::kCorrupt);
}

TEST(NodeFormat, KeysOutOfOrderAreRefused) {
  NodeBuilder builder(0);
  builder.add("b", "1");
  builder.add("a", "2");
  EXPECT_FALSE(parse(builder.finish()));
  builder.add("a", "1");
  builder.add("a", "2");
  EXPECT_FALSE(parse(builder.finish()));
}

TEST(NodeFormat, InnerNodesHoldBlockIdsOnly) {
  NodeBuilder builder(1);
  builder.add("a", "short");
  EXPECT_FALSE(parse(builder.finish()));
  builder.add("a", Bytes(32, 'i'));
  EXPECT_TRUE(parse(builder.finish()));
}

}  // namespace
}  // namespace amberfs
