// SPDX-License-Identifier: Apache-2.0
// Mutations, readers and commits at the same time: nothing is lost. Run it under -fsanitize=thread.
#include "tests/fs/live_map_support.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace amberfs {
namespace {

constexpr int kWriters = 4;
constexpr int kRounds = 400;
constexpr int kCommits = 12;
constexpr Ino kCounters = 6;

class LiveMapThreadTest : public testing::LiveFixture {
 protected:
  LiveMapThreadTest() {
    options_.segment_size_bytes = 32 * kKiB;
    options_.prepare_ahead = true;
    reopen({}, {}, {});
  }

  static std::uint64_t number(const Result<std::optional<Bytes>>& value) {
    EXPECT_TRUE(value) << value.error().to_string();
    return value && *value ? std::stoull(**value) : 0;
  }
  static Bytes counter_key(Ino ino) { return xattr_key(ino, "user.count"); }

  // Reads, adds and writes two counters under their locks, and moves the bytes of an extent along.
  void increment(Ino a, Ino b) {
    Mutation change(live(), OpKind::kSetxattr);
    change.lock({a, b});
    for (Ino ino : std::set<Ino>{a, b}) {
      const std::uint64_t count = number(change.view().get(counter_key(ino))) + 1;
      change.batch().put(counter_key(ino), std::to_string(count));
    }
    change.batch().add_totals(1, -1);
    const std::string data = fmt::format("{:08}", a);
    Extent extent;
    extent.kind = ExtentKind::kJournal;
    extent.length = 8;
    extent.position = change.batch().append_data(data);
    change.batch().put(extent_key(a, 8), encode(extent));
    ASSERT_TRUE(change.apply());
  }

  // Shares the extent of one inode with another, as copy_file_range does.
  void share(Ino source, Ino target) {
    Mutation change(live(), OpKind::kCopyRange);
    change.lock({source, target});
    auto value = change.view().get(extent_key(source, 8));
    ASSERT_TRUE(value);
    if (!*value) return;
    change.batch().put(extent_key(target + 100, 8), **value);
    ASSERT_TRUE(change.apply());
  }

  // The bytes of an extent say whose they are, whichever segment they are in.
  void read(Ino ino) {
    const std::shared_ptr<const View> view = live().view();
    auto value = view->get(extent_key(ino, 8));
    ASSERT_TRUE(value);
    if (!*value) return;
    const Extent extent = *decode_extent(**value);
    if (extent.kind != ExtentKind::kJournal) return;
    Bytes data(8, '\0');
    auto got = journal().read(extent.segment, extent.position, data.data(), data.size());
    ASSERT_TRUE(got) << got.error().to_string();
    if (ino < 100) {
      ASSERT_EQ(data, fmt::format("{:08}", ino));
    } else {
      ASSERT_LE(std::stoull(data), kCounters);
    }
  }

  // As a commit: journal extents become others, so that the journal can be released.
  void commit_once(bool fail_it) {
    const Frozen frozen = live().freeze();
    if (fail_it) return live().thaw();
    ASSERT_TRUE(journal().check(checked_, frozen.position));
    std::vector<Change> changes = frozen.overlay->changes();
    for (Change& change : changes) {
      auto key = parse_key(change.key);
      ASSERT_TRUE(key);
      if (key->tag != Tag::kExtent || !change.value) continue;
      Extent block;
      block.length = 8;
      change.value = encode(block);
    }
    auto tree = frozen.tree.apply(changes);
    ASSERT_TRUE(tree) << tree.error().to_string();
    // Time for copies to share extents that are frozen.
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    root_ = tree->root();
    checked_ = frozen.position;
    totals_ = frozen.totals;
    ASSERT_TRUE(journal().release_before(live().install(root_, frozen.position)));
  }

  std::uint64_t sum() {
    std::uint64_t total = 0;
    for (Ino ino = 1; ino <= kCounters; ++ino) {
      total += number(live().view()->get(counter_key(ino)));
    }
    return total;
  }

  BlockId root_;
  TreeTotals totals_;
};

TEST_F(LiveMapThreadTest, NothingIsLostWhileCommitsRun) {
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> increments{0};
  std::atomic<std::uint64_t> mutations{0};
  std::atomic<int> commits{0};
  std::vector<std::thread> writers;
  for (int t = 0; t < kWriters; ++t) {
    writers.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      for (int i = 0; i < kRounds || commits < kCommits; ++i) {
        const Ino a = random() % kCounters + 1;
        const Ino b = random() % kCounters + 1;
        increment(a, b);
        increments += a == b ? 1 : 2;
        ++mutations;
        if (i % 4 == 0) share(b, a);
        EXPECT_TRUE(i % 50 != 0 || live().sync());
      }
    });
  }
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(100 + t));
      while (!done) {
        read(random() % kCounters + 1);
        read(random() % kCounters + 101);
      }
    });
  }
  std::thread committer([&] {
    while (!done) commit_once(++commits % 5 == 0);
  });
  for (auto& writer : writers) writer.join();
  done = true;
  for (auto& reader : readers) reader.join();
  committer.join();

  EXPECT_EQ(sum(), increments);
  EXPECT_EQ(live().totals().inode_count, mutations);
  const auto before = testing::content(*live().view());
  const TreeTotals totals = live().totals();
  reopen(root_, totals_, checked_);
  EXPECT_EQ(testing::content(*live().view()), before);
  EXPECT_EQ(live().totals(), totals);
}

}  // namespace
}  // namespace amberfs
