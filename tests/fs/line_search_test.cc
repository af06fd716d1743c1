// SPDX-License-Identifier: Apache-2.0
// Line differences of texts whose lines repeat, so that nothing anchors them, beyond the size that
// is solved exactly; and what large texts cost.
#include "fs/line_diff.h"
#include "fs/line_merge.h"
#include "tests/fs/command_support.h"

#include <chrono>

namespace amberfs {
namespace {

Bytes apply(const std::vector<Hunk>& hunks, const std::vector<ByteView>& before,
            const std::vector<ByteView>& after) {
  Bytes text;
  std::size_t at = 0;
  for (const Hunk& hunk : hunks) {
    for (; at < hunk.before_begin; ++at) text += before[at];
    for (std::size_t j = hunk.after_begin; j < hunk.after_end; ++j) text += after[j];
    at = hunk.before_end;
  }
  for (; at < before.size(); ++at) text += before[at];
  return text;
}

TEST(LineSearch, RepeatingLinesThatWereLostComeBackOnceEach) {
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 6; ++round) {
    Bytes snapshot;
    Bytes live;
    for (int i = 0; i < 6000; ++i) {
      const Bytes line = "state " + std::to_string(random() % 7) + "\n";
      snapshot += line;
      if (random() % 20 != 0) live += line;
    }
    const LineMerge merge = merge_lines(snapshot, live + "later\n");
    ASSERT_EQ(merge.text, snapshot + "later\n") << "round " << round;
  }
}

TEST(LineSearch, HunksTurnOneTextIntoTheOtherHoweverDifferent) {
  std::mt19937_64 random(testing::test_seed());
  for (const unsigned kinds : {2U, 3U, 9U, 60U}) {
    Bytes a;
    Bytes b;
    for (int i = 0; i < 2500; ++i) a += std::to_string(random() % kinds) + "\n";
    for (int i = 0; i < 3500; ++i) b += std::to_string(random() % kinds) + "\n";
    const auto before = split_lines(a);
    const auto after = split_lines(b);
    ASSERT_EQ(apply(diff_lines(before, after), before, after), b) << kinds;
  }
}

TEST(LineSearch, NothingInCommonIsOneHunkAndEnds) {
  Bytes a;
  Bytes b;
  for (int i = 0; i < 15'000; ++i) a += i % 2 == 0 ? "a\n" : "b\n";
  for (int i = 0; i < 15'000; ++i) b += i % 2 == 0 ? "c\n" : "d\n";
  const auto before = split_lines(a);
  const auto after = split_lines(b);
  EXPECT_EQ(apply(diff_lines(before, after), before, after), b);
}

TEST(LineSearch, ManyRepeatingLinesAndManyChangesStayAffordable) {
  std::mt19937_64 random(testing::test_seed());
  Bytes a;
  Bytes b;
  for (int i = 0; i < 60'000; ++i) {
    const Bytes line = std::to_string(random() % 50) + "\n";
    a += line;
    b += random() % 3 == 0 ? std::to_string(random() % 50) + "\n" : line;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto before = split_lines(a);
  const auto after = split_lines(b);
  ASSERT_EQ(apply(diff_lines(before, after), before, after), b);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(LineSearch, LogThatOnlyGrewIsMergedAtOnce) {
  Bytes text;
  for (int i = 0; text.size() < 32 * kMiB; ++i) {
    text += "2026-11-20T10:00:00Z host app: request " + std::to_string(i) + " done\n";
  }
  const Bytes live = text + "one more\n";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(merge_lines(text, live).text, live);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace amberfs
