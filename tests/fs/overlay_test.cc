// SPDX-License-Identifier: Apache-2.0
#include "fs/overlay.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

Bytes journal_value(std::uint64_t segment) {
  Extent extent;
  extent.kind = ExtentKind::kJournal;
  extent.length = 10;
  extent.segment = segment;
  extent.position = 4200;
  return encode(extent);
}

Bytes block_value() {
  Extent extent;
  extent.length = 10;
  return encode(extent);
}

TEST(Overlay, TellsAbsentFromDeletedFromPresent) {
  Overlay overlay;
  Batch batch;
  batch.put("a", "1");
  batch.remove("b");
  batch.put("c", "");
  overlay.apply(batch);
  EXPECT_EQ(overlay.get("a"), Overlay::Lookup(std::in_place, "1"));
  ASSERT_TRUE(overlay.get("b").has_value());
  EXPECT_FALSE(overlay.get("b")->has_value());
  EXPECT_EQ(overlay.get("c"), Overlay::Lookup(std::in_place, ""));
  EXPECT_FALSE(overlay.get("d").has_value());
  EXPECT_EQ(overlay.entry_count(), 3U);
}

TEST(Overlay, LaterChangesOfABatchWin) {
  Overlay overlay;
  Batch batch;
  batch.put("a", "1");
  batch.put("a", "2");
  batch.put("b", "1");
  batch.remove("b");
  overlay.apply(batch);
  EXPECT_EQ(**overlay.get("a"), "2");
  EXPECT_FALSE(overlay.get("b")->has_value());
  const std::vector<Change> changes = overlay.changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].key, "a");
  EXPECT_FALSE(changes[1].value);
}

TEST(Overlay, FindsEntriesInUnsignedByteOrder) {
  Overlay overlay;
  Batch batch;
  batch.put("\x7f", "1");
  batch.remove("\x80");
  batch.put(Bytes("\0", 1), "0");
  overlay.apply(batch);
  EXPECT_EQ(overlay.find_from("", false)->key, Bytes("\0", 1));
  EXPECT_EQ(overlay.find_from("\x7f", false)->key, "\x7f");
  EXPECT_EQ(overlay.find_from("\x7f", true)->key, "\x80");
  EXPECT_FALSE(overlay.find_from("\x7f", true)->value);
  EXPECT_FALSE(overlay.find_from("\x80", true));
}

TEST(Overlay, KnowsTheLowestSegmentInUse) {
  Overlay overlay;
  const auto apply = [&overlay](std::uint64_t end, std::optional<Bytes> value) {
    overlay.apply(std::vector<Change>{{extent_key(5, end), std::move(value)}});
  };
  EXPECT_FALSE(overlay.lowest_segment());
  apply(10, journal_value(3));
  apply(20, journal_value(3));
  apply(30, journal_value(2));
  apply(40, block_value());
  EXPECT_EQ(overlay.lowest_segment(), 2U);
  apply(30, journal_value(4));  // replaced
  EXPECT_EQ(overlay.lowest_segment(), 3U);
  apply(10, std::nullopt);  // deleted
  EXPECT_EQ(overlay.lowest_segment(), 3U);
  apply(20, block_value());
  EXPECT_EQ(overlay.lowest_segment(), 4U);
  apply(30, std::nullopt);
  EXPECT_FALSE(overlay.lowest_segment());
  // What only looks like an extent counts nothing.
  overlay.apply(std::vector<Change>{{xattr_key(5, "user.x"), journal_value(1)}});
  EXPECT_FALSE(overlay.lowest_segment());
}

TEST(Overlay, MemoryFollowsReplacedValues) {
  Overlay overlay;
  overlay.apply(std::vector<Change>{{"key", Bytes(1000, 'x')}});
  const std::uint64_t large = overlay.memory_bytes();
  EXPECT_GT(large, 1000U);
  overlay.apply(std::vector<Change>{{"key", Bytes(10, 'x')}});
  EXPECT_EQ(overlay.memory_bytes(), large - 990);
  overlay.apply(std::vector<Change>{{"key", std::nullopt}});
  EXPECT_EQ(overlay.memory_bytes(), large - 1000);
}

}  // namespace
}  // namespace amberfs
