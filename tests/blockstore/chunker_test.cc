// SPDX-License-Identifier: Apache-2.0
#include "blockstore/chunker.h"

#include "tests/blockstore/store_fixture.h"
#include "tests/support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace amberfs {
namespace {

using testing::log_text;
using testing::random_text;

const ChunkerOptions kSmall{.size_min = 1024, .size_average = 4096, .size_max = 16384};
const ChunkerOptions kSmallKeyed{.size_min = 1024,
                                 .size_average = 4096,
                                 .size_max = 16384,
                                 .gear = keyed_gear(testing::cipher_of('k')->chunker_key())};

// Offsets behind each chunk, the last one without a cut left out.
std::vector<std::size_t> cuts_of(ByteView bytes, const ChunkerOptions& options = kSmall) {
  Chunker chunker(options);
  std::vector<std::size_t> cuts;
  std::size_t done = 0;
  while (auto length = chunker.find_cut(bytes.substr(done))) {
    done += *length;
    cuts.push_back(done);
  }
  return cuts;
}

TEST(Chunker, HonoursMinimumAndMaximum) {
  for (const Bytes& bytes : {log_text(1, 500'000), random_text(2, 500'000), Bytes(200'000, 'x')}) {
    std::size_t before = 0;
    for (std::size_t cut : cuts_of(bytes)) {
      EXPECT_GE(cut - before, kSmall.size_min);
      EXPECT_LE(cut - before, kSmall.size_max);
      before = cut;
    }
    EXPECT_LT(bytes.size() - before, kSmall.size_max);
  }
}

TEST(Chunker, CutsElsewhereWithAKeyAndAsWell) {
  const Bytes text = log_text(3, 4'000'000);
  const auto keyed = cuts_of(text, kSmallKeyed);
  EXPECT_EQ(keyed, cuts_of(text, kSmallKeyed));
  std::vector<std::size_t> common;
  std::ranges::set_intersection(keyed, cuts_of(text), std::back_inserter(common));
  EXPECT_LT(common.size() * 20, keyed.size());
  const double average = static_cast<double>(text.size()) / static_cast<double>(keyed.size());
  EXPECT_GT(average, 0.7 * kSmall.size_average);
  EXPECT_LT(average, 1.7 * kSmall.size_average);
  // Never another table of the same key, or the whole store would be cut anew.
  // (As another implementation draws it: Python's hmac.)
  const BlockId drawn{
      sha256({reinterpret_cast<const char*>(kSmallKeyed.gear->data()), sizeof(GearTable)})};
  EXPECT_EQ(drawn.to_hex(), "d9a397f990f4b9b1e16ca0753c9fa72cb995ea379a29770cd4b45a903972e18b");
}

TEST(Chunker, CutsUniformBytesAtTheMaximum) {
  const std::vector<std::size_t> cuts = cuts_of(Bytes(100'000, 'x'));
  ASSERT_FALSE(cuts.empty());
  EXPECT_EQ(cuts.front(), kSmall.size_max);
}

TEST(Chunker, KeepsNearTheAverageOnLogText) {
  const Bytes text = log_text(3, 8'000'000);
  const double average =
      static_cast<double>(text.size()) / static_cast<double>(cuts_of(text).size());
  EXPECT_GT(average, 0.7 * kSmall.size_average);
  EXPECT_LT(average, 1.7 * kSmall.size_average);
}

TEST(Chunker, CutsAlikeWhateverThePieces) {
  const Bytes text = log_text(4, 300'000);
  const std::vector<std::size_t> whole = cuts_of(text);
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 20; ++round) {
    Chunker chunker(kSmall);
    std::vector<std::size_t> cuts;
    std::size_t done = 0;
    while (done < text.size()) {
      ByteView piece = ByteView(text).substr(done, random() % 3000 + 1);
      auto cut = chunker.find_cut(piece);
      done += cut.value_or(piece.size());
      if (cut) cuts.push_back(done);
    }
    EXPECT_EQ(cuts, whole);
  }
}

TEST(Chunker, ResumedEqualsContinuous) {
  const Bytes text = log_text(5, 200'000);
  const std::vector<std::size_t> whole = cuts_of(text);
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 200; ++round) {
    const std::size_t at = random() % whole.back();
    auto next = std::ranges::upper_bound(whole, at);
    const std::size_t begin = next == whole.begin() ? 0 : *std::prev(next);
    const std::size_t position = at - begin;
    const std::size_t context = std::min(position, Chunker::kWindow);
    Chunker chunker(kSmall);
    chunker.resume(position, ByteView(text).substr(at - context, context));
    EXPECT_EQ(chunker.find_cut(ByteView(text).substr(at)), *next - at) << "resumed at " << at;
  }
}

TEST(Chunker, ShiftsCutsWithInsertedBytes) {
  Bytes text = log_text(6, 1'000'000);
  const std::vector<std::size_t> before = cuts_of(text);
  const Bytes inserted = "one line that was not there\n";
  text.insert(500'000, inserted);
  const std::vector<std::size_t> after = cuts_of(text);
  std::set<std::size_t> seen(after.begin(), after.end());
  std::size_t moved = 0;
  for (std::size_t cut : before) {
    const std::size_t expected = cut <= 500'000 ? cut : cut + inserted.size();
    if (!seen.contains(expected)) ++moved;
  }
  EXPECT_LE(moved, 10U) << "of " << before.size();
}

TEST(Chunker, KeepsCutsWhenTheStreamGrows) {
  const Bytes text = log_text(7, 400'000);
  const std::vector<std::size_t> half = cuts_of(ByteView(text).substr(0, 200'000));
  const std::vector<std::size_t> whole = cuts_of(text);
  ASSERT_LE(half.size(), whole.size());
  EXPECT_TRUE(std::equal(half.begin(), half.end(), whole.begin()));
}

// The cuts are part of what is stored: other ones would share nothing with older versions.
TEST(Chunker, NeverChangesItsCuts) {
  const std::vector<std::size_t> cuts = cuts_of(random_text(42, 40'000));
  EXPECT_EQ(cuts, (std::vector<std::size_t>{4328, 9444, 14977, 19259, 23773, 31202, 33318, 37653}));
}

}  // namespace
}  // namespace amberfs
