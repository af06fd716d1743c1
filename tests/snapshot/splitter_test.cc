// SPDX-License-Identifier: Apache-2.0
#include "snapshot/splitter.h"

#include "snapshot/record_format.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace amberfs {
namespace {

struct Entry {
  Bytes key;
  Bytes value;
};

struct Piece {
  std::size_t end = 0;    // index of the entry behind it
  std::size_t count = 0;  // entries
  std::size_t bytes = 0;
  std::size_t last_entry_bytes = 0;
};

// The borders of a level, as Tree::apply() makes them; the last piece may lack one.
std::vector<Piece> split(const std::vector<Entry>& entries, std::size_t from = 0,
                         unsigned level = 0) {
  std::vector<Piece> pieces;
  NodeBuilder builder(level);
  for (std::size_t i = from; i < entries.size(); ++i) {
    const std::size_t before = builder.entry_bytes();
    builder.add(entries[i].key, entries[i].value);
    const bool is_last = i + 1 == entries.size();
    if (!Splitter::ends_node(level, builder) && !is_last) continue;
    pieces.push_back(
        {i + 1, builder.count(), builder.entry_bytes(), builder.entry_bytes() - before});
    (void)builder.finish();
  }
  return pieces;
}

std::vector<Entry> inodes(std::size_t count, std::size_t value_size = 85) {
  std::vector<Entry> entries;
  for (Ino ino = 1; ino <= count; ++ino)
    entries.push_back({inode_key(ino), Bytes(value_size, 'v')});
  return entries;
}

TEST(Splitter, NodesAreAboutSevenKiBAndWithinTheirLimits) {
  for (const std::size_t value_size : {BlockId::kSize, std::size_t{85}}) {
    const auto pieces = split(inodes(200'000, value_size));
    std::size_t total = 0;
    std::size_t forced = 0;
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      EXPECT_GE(pieces[i].bytes, Splitter::kSizeMin);
      EXPECT_LT(pieces[i].bytes - pieces[i].last_entry_bytes, Splitter::kSizeMax);
      total += pieces[i].bytes;
      if (pieces[i].bytes >= Splitter::kSizeMax) ++forced;
    }
    const std::size_t average = total / (pieces.size() - 1);
    EXPECT_GT(average, 4 * kKiB);
    EXPECT_LT(average, 9 * kKiB);
    EXPECT_LT(forced, pieces.size() / 50);
  }
}

TEST(Splitter, SizeMaxHoldsForKeysThatNeverMakeABorder) {
  std::vector<Entry> entries = inodes(50'000);
  std::erase_if(entries,
                [](const Entry& e) { return xxh3(e.key, 1) % Splitter::kEntriesPerBorder == 0; });
  const auto pieces = split(entries);
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    EXPECT_GE(pieces[i].bytes, Splitter::kSizeMax);
    EXPECT_LT(pieces[i].bytes - pieces[i].last_entry_bytes, Splitter::kSizeMax);
  }
}

TEST(Splitter, NodesOfLargeEntriesHoldTwo) {
  const auto pieces = split(inodes(101, kXattrValueSizeMax));
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) EXPECT_EQ(pieces[i].count, 2U);
  EXPECT_EQ(pieces.size(), 51U);
}

TEST(Splitter, BordersDependOnlyOnWhatFollowsTheLastOne) {
  const auto entries = inodes(20'000);
  const auto all = split(entries);
  for (std::size_t i = 0; i + 1 < all.size(); i += 7) {
    const auto rest = split(entries, all[i].end);
    ASSERT_EQ(rest.size(), all.size() - i - 1);
    for (std::size_t j = 0; j < rest.size(); ++j) EXPECT_EQ(rest[j].end, all[i + 1 + j].end);
  }
}

TEST(Splitter, BordersFallBackIntoStepAfterAChange) {
  const auto entries = inodes(20'000);
  const auto old_pieces = split(entries);
  std::vector<Entry> changed = entries;
  changed.insert(changed.begin() + 3000, Entry{inode_key(3000) + "x", "new"});
  const auto new_pieces = split(changed);
  std::size_t shared = 0;
  for (const Piece& piece : new_pieces) {
    const std::size_t end = piece.end > 3000 ? piece.end - 1 : piece.end;
    shared += static_cast<std::size_t>(
        std::ranges::count(old_pieces, end, [](const Piece& old) { return old.end; }));
  }
  EXPECT_GE(shared + 15, new_pieces.size());
}

TEST(Splitter, LevelsSplitAtDifferentKeys) {
  const auto entries = inodes(5000, BlockId::kSize);
  const auto ends = [&](unsigned level) {
    std::vector<std::size_t> all;
    for (const Piece& piece : split(entries, 0, level)) all.push_back(piece.end);
    return all;
  };
  EXPECT_NE(ends(0), ends(1));
  EXPECT_NE(ends(1), ends(2));
}

}  // namespace
}  // namespace amberfs
