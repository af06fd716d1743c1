// SPDX-License-Identifier: Apache-2.0
// A live map on a journal with tiny segments and a tree in memory.
#pragma once

#include "fs/live_map.h"
#include "tests/fs/journal_support.h"
#include "tests/support/memory_blocks.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

namespace amberfs::testing {

using Content = std::map<Bytes, Bytes>;

inline Content content(const MapReader& map) {
  Content all;
  const std::unique_ptr<Cursor> cursor = map.cursor();
  EXPECT_TRUE(cursor->seek(""));
  while (cursor->valid()) {
    all.emplace(cursor->key(), cursor->value());
    EXPECT_TRUE(cursor->next());
  }
  return all;
}

inline std::uint64_t random_seed() {
  const char* given = std::getenv("AMBERFS_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("AMBERFS_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

class LiveFixture : public ::testing::Test {
 protected:
  LiveFixture() { reopen({}, {}, {}); }

  // As after a restart: the journal is replayed on top of `root`.
  void reopen(const BlockId& root, const TreeTotals& totals, const JournalPosition& from) {
    live_.reset();
    journal_.reset();
    live_ = std::make_unique<LiveMap>(blocks_, root, totals, kRootIno + 1);
    auto journal = Journal::open(*io_, dir_.path(), options_, from,
                                 [this](const Batch& batch, const Appended&) -> Status {
                                   live_->replay(batch);
                                   return ok();
                                 });
    ASSERT_TRUE(journal) << journal.error().to_string();
    journal_ = *std::move(journal);
    live_->attach_journal(*journal_);
  }

  LiveMap& live() { return *live_; }
  Journal& journal() { return *journal_; }

  void put(const Bytes& key, const Bytes& value) {
    Mutation change(live(), OpKind::kOther);
    change.batch().put(key, value);
    change.batch().add_totals(1, 2);
    ASSERT_TRUE(change.apply());
  }
  void remove(const Bytes& key) {
    Mutation change(live(), OpKind::kOther);
    change.batch().remove(key);
    change.batch().add_totals(-1, -2);
    ASSERT_TRUE(change.apply());
  }
  // One extent from the beginning of the file.
  void write(Ino ino, const Bytes& data) {
    Mutation change(live(), OpKind::kWrite);
    Extent extent;
    extent.kind = ExtentKind::kJournal;
    extent.length = static_cast<std::uint32_t>(data.size());
    extent.position = change.batch().append_data(data);
    change.batch().put(extent_key(ino, data.size()), encode(extent));
    ASSERT_TRUE(change.apply());
  }

  // As a commit does, but journal extents stay what they are.
  Tree apply_frozen(const Frozen& frozen) {
    EXPECT_TRUE(journal().check(checked_, frozen.position));
    checked_ = frozen.position;
    auto tree = frozen.tree.apply(frozen.overlay->changes());
    EXPECT_TRUE(tree) << tree.error().to_string();
    return *tree;
  }
  BlockId commit() {
    const Frozen frozen = live().freeze();
    const Tree tree = apply_frozen(frozen);
    const std::uint64_t needed = live().install(tree.root(), frozen.position);
    EXPECT_TRUE(journal().release_before(needed));
    return tree.root();
  }

  TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  MemoryBlocks blocks_;
  JournalOptions options_ = tiny_segments();
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LiveMap> live_;
  JournalPosition checked_;
};

}  // namespace amberfs::testing
