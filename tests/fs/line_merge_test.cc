// SPDX-License-Identifier: Apache-2.0
#include "fs/line_merge.h"

#include "fs/line_diff.h"
#include "tests/support/seed.h"

#include <gtest/gtest.h>

#include <random>

namespace amberfs {
namespace {

TEST(LineMerge, LostLinesComeBackInTheirPlace) {
  const LineMerge merge = merge_lines("a\nb\nc\nd\n", "a\nd\ne\n");
  EXPECT_EQ(merge.text, "a\nb\nc\nd\ne\n");
  EXPECT_EQ(merge.lines_restored, 2U);
  EXPECT_EQ(merge.damaged_lines_dropped, 0U);
}

TEST(LineMerge, NothingLostChangesNothing) {
  EXPECT_EQ(merge_lines("a\nb\n", "a\nb\nc\n").text, "a\nb\nc\n");
  EXPECT_EQ(merge_lines("", "x\n").text, "x\n");
  EXPECT_EQ(merge_lines("a\n", "").text, "a\n");
  EXPECT_EQ(merge_lines("", "").text, "");
}

TEST(LineMerge, EditedLinesKeepBoth) {
  EXPECT_EQ(merge_lines("a\nold\nc\n", "a\nnew\nc\n").text, "a\nold\nnew\nc\n");
}

TEST(LineMerge, DamageInPlaceOfLostLinesGoes) {
  const Bytes zeros(50, '\0');
  const LineMerge merge = merge_lines("a\nb\nc\nd\n", "a\n" + zeros + "rest of c\nd\ne\n");
  EXPECT_EQ(merge.text, "a\nb\nc\nd\ne\n");
  EXPECT_EQ(merge.damaged_lines_dropped, 1U);
}

TEST(LineMerge, ControlBytesThatTheSnapshotHasTooAreNoDamage) {
  const Bytes utf16("a\0\n\0b\0\n\0c\0\n\0", 12);
  const Bytes live("a\0\n\0x\0\n\0c\0\n\0", 12);
  EXPECT_EQ(merge_lines(utf16, live).damaged_lines_dropped, 0U);
}

TEST(LineMerge, CutOffBeginningOfALostLineGoes) {
  const LineMerge merge = merge_lines("first\nsecond line\nthird\n", "first\nsec");
  EXPECT_EQ(merge.text, "first\nsecond line\nthird\n");
  EXPECT_EQ(merge.damaged_lines_dropped, 1U);
}

TEST(LineMerge, LineThatWasUnfinishedInTheSnapshotIsNotDoubled) {
  EXPECT_EQ(merge_lines("a\nhalf", "a\nhalf of it\nb\n").text, "a\nhalf of it\nb\n");
}

TEST(LineMerge, LastLineWithoutItsEndDoesNotRunIntoTheNext) {
  EXPECT_EQ(merge_lines("a\nb", "c\n").text, "a\nb\nc\n");
}

TEST(LineMerge, CarriageReturnsStayWithTheirLines) {
  EXPECT_EQ(merge_lines("a\r\nb\r\nc\r\n", "a\r\nc\r\nd\r\n").text, "a\r\nb\r\nc\r\nd\r\n");
}

TEST(LineMerge, RepeatedLinesAreCounted) {
  EXPECT_EQ(merge_lines("x\nx\nx\n", "x\n").text, "x\nx\nx\n");
  EXPECT_EQ(merge_lines("x\ny\nx\ny\n", "x\nx\ny\n").text, "x\ny\nx\ny\n");
}

// Lines lost at random, others written since: the merge is what would be there had none been lost.
TEST(LineMerge, WhateverWasLostComesBackAndMergingAgainChangesNothing) {
  std::mt19937 random(testing::test_seed());
  for (int round = 0; round < 200; ++round) {
    const bool repeats = round % 3 == 0;
    Bytes snapshot;
    Bytes live;
    Bytes whole;
    const std::size_t count = random() % 300;
    for (std::size_t i = 0; i < count; ++i) {
      const Bytes line = "line " + std::to_string(repeats ? random() % 5 : i) + "\n";
      snapshot += line;
      if (random() % 3 != 0) live += line;
    }
    whole = snapshot;
    for (std::size_t i = 0; i < random() % 50; ++i) {
      const Bytes line = "later " + std::to_string(i) + "\n";
      live += line;
      whole += line;
    }
    const LineMerge merge = merge_lines(snapshot, live);
    ASSERT_EQ(merge.text, whole) << "round " << round;
    ASSERT_EQ(merge_lines(snapshot, merge.text).text, whole);
  }
}

TEST(LineDiff, HunksTurnOneTextIntoTheOther) {
  std::mt19937 random(testing::test_seed());
  for (int round = 0; round < 300; ++round) {
    Bytes a;
    Bytes b;
    for (std::size_t i = random() % 60; i > 0; --i) a += std::to_string(random() % 12) + "\n";
    for (std::size_t i = random() % 60; i > 0; --i) b += std::to_string(random() % 12) + "\n";
    const auto before = split_lines(a);
    const auto after = split_lines(b);
    Bytes rebuilt;
    std::size_t at = 0;
    for (const Hunk& hunk : diff_lines(before, after)) {
      for (; at < hunk.before_begin; ++at) rebuilt += before[at];
      for (std::size_t j = hunk.after_begin; j < hunk.after_end; ++j) rebuilt += after[j];
      at = hunk.before_end;
    }
    for (; at < before.size(); ++at) rebuilt += before[at];
    ASSERT_EQ(rebuilt, b) << "round " << round;
  }
}

TEST(LineDiff, LargeTextsWithFewChangesAreQuick) {
  Bytes a;
  for (int i = 0; i < 200'000; ++i) a += "2026-11-20 request " + std::to_string(i) + "\n";
  Bytes b = a + "one more\n";
  b.replace(b.find("request 777\n"), 11, "REQUEST 777");
  EXPECT_EQ(diff_lines(split_lines(a), split_lines(b)).size(), 2U);
}

TEST(LineDiff, UnifiedFormIsTheUsualOne) {
  EXPECT_EQ(unified_diff("a\nb\nc\nd\ne\n", "a\nb\nX\nd\ne\n", 1),
            "@@ -2,3 +2,3 @@\n b\n-c\n+X\n d\n");
  EXPECT_EQ(unified_diff("", "a", 3), "@@ -0,0 +1,1 @@\n+a\n\\ No newline at end of file\n");
  EXPECT_EQ(unified_diff("same\n", "same\n", 3), "");
}

}  // namespace
}  // namespace amberfs
