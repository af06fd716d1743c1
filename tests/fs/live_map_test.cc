// SPDX-License-Identifier: Apache-2.0
#include "fs/live_map.h"

#include "tests/fs/live_map_support.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace amberfs {
namespace {

using testing::content;
using testing::LiveFixture;

class LiveMapTest : public LiveFixture {};

TEST_F(LiveMapTest, AMutationIsSeenWhenItWasApplied) {
  EXPECT_FALSE(live().dirty());
  {
    Mutation change(live(), OpKind::kSetattr);
    change.lock({5, 261, 5});  // 5 and 261 share a stripe
    change.batch().put("k", "1");
    change.batch().add_totals(1, 10);
    EXPECT_FALSE(change.view().get("k")->has_value());
    ASSERT_TRUE(change.apply());
    EXPECT_EQ(**change.view().get("k"), "1");
    EXPECT_NE(change.batch().time_ns(), 0);
  }
  EXPECT_EQ(**live().view()->get("k"), "1");
  EXPECT_EQ(live().totals(), (TreeTotals{1, 10}));
  EXPECT_EQ(live().last_seq(), 1U);
  EXPECT_TRUE(live().dirty());
  EXPECT_GT(live().overlay_bytes(), 0U);
  EXPECT_TRUE(live().sync());
  EXPECT_EQ(journal().durable_seq(), 1U);
}

TEST_F(LiveMapTest, AMutationThatIsNotAppliedOrIsEmptyChangesNothing) {
  {
    Mutation change(live(), OpKind::kSetattr);
    change.batch().put("k", "1");
  }
  {
    Mutation change(live(), OpKind::kSetattr);
    EXPECT_TRUE(change.apply());
  }
  EXPECT_FALSE(live().dirty());
  EXPECT_EQ(journal().tail(), JournalPosition{});
}

TEST_F(LiveMapTest, AFailedAppendChangesNothing) {
  const Bytes data(Journal::kBatchSizeMax + 1, 'x');
  Mutation change(live(), OpKind::kWrite);
  change.batch().append_data(data);
  change.batch().put("k", "1");
  change.batch().add_totals(1, 1);
  EXPECT_FALSE(change.apply());
  EXPECT_FALSE(change.view().get("k")->has_value());
  EXPECT_EQ(live().totals(), TreeTotals{});
  EXPECT_FALSE(live().dirty());
}

TEST_F(LiveMapTest, FreezeCutsCleanlyAndInstallKeepsWhatCameAfter) {
  put("a", "1");
  put("b", "1");
  const Frozen frozen = live().freeze();
  EXPECT_EQ(frozen.overlay->entry_count(), 2U);
  EXPECT_EQ(frozen.position, journal().tail());
  EXPECT_TRUE(live().dirty());
  put("b", "2");
  put("c", "2");
  remove("a");
  EXPECT_EQ(content(*live().view()), (testing::Content{{"b", "2"}, {"c", "2"}}));
  const Tree tree = apply_frozen(frozen);
  EXPECT_EQ(live().install(tree.root(), frozen.position), frozen.position.segment);
  EXPECT_EQ(content(tree), (testing::Content{{"a", "1"}, {"b", "1"}}));
  EXPECT_EQ(content(*live().view()), (testing::Content{{"b", "2"}, {"c", "2"}}));
  EXPECT_EQ(live().view()->tree().root(), tree.root());
  EXPECT_TRUE(live().dirty());
  commit();
  EXPECT_FALSE(live().dirty());
  EXPECT_EQ(content(*live().view()), (testing::Content{{"b", "2"}, {"c", "2"}}));
}

TEST_F(LiveMapTest, ThawPutsTheFrozenBelowTheActive) {
  put("a", "1");
  put("b", "1");
  (void)live().freeze();
  put("b", "2");
  remove("a");
  live().thaw();
  live().thaw();  // nothing to do
  EXPECT_EQ(content(*live().view()), (testing::Content{{"b", "2"}}));
  const Frozen again = live().freeze();
  EXPECT_EQ(again.overlay->entry_count(), 2U);  // the deletion of a counts
  EXPECT_EQ(live().install(apply_frozen(again).root(), again.position), again.position.segment);
  EXPECT_EQ(content(*live().view()), (testing::Content{{"b", "2"}}));
}

TEST_F(LiveMapTest, FreezeAfterAFreezeTakesBoth) {
  put("a", "1");
  (void)live().freeze();
  put("b", "2");
  EXPECT_EQ(live().freeze().overlay->entry_count(), 2U);
}

TEST_F(LiveMapTest, InstallKeepsSegmentsThatTheActiveOverlayStillNeeds) {
  const Bytes key = extent_key(7, 4);
  write(7, "data");
  const std::uint64_t first = decode_extent(**live().view()->get(key))->segment;
  for (int i = 0; i < 40; ++i) put("filler", Bytes(500, 'x'));
  const Frozen frozen = live().freeze();
  ASSERT_GT(frozen.position.segment, first);
  // A copy shares the frozen extent.
  put(extent_key(8, 4), **live().view()->get(key));
  EXPECT_EQ(live().install(apply_frozen(frozen).root(), frozen.position), first);
}

TEST_F(LiveMapTest, InstallWaitsForReadersOfOlderViews) {
  put("a", "1");
  std::shared_ptr<const View> held = live().view();
  const Frozen frozen = live().freeze();
  const Tree tree = apply_frozen(frozen);
  std::atomic<bool> installed{false};
  std::thread committer([&] {
    (void)live().install(tree.root(), frozen.position);
    installed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(installed);
  EXPECT_EQ(**held->get("a"), "1");
  held.reset();
  committer.join();
  EXPECT_TRUE(installed);
}

TEST_F(LiveMapTest, ReplaceDropsTheOverlaysOnlyWhenPublished) {
  put("old", "1");
  const BlockId old_root = commit();
  put("new", "2");
  const TreeTotals totals{7, 8};
  Status refused = live().replace(old_root, totals, [](const JournalPosition&, Ino) -> Status {
    return fail(Errc::kNoSpace, 0, "publish");
  });
  EXPECT_EQ(refused.error().code, Errc::kNoSpace);
  EXPECT_EQ(content(*live().view()), (testing::Content{{"new", "2"}, {"old", "1"}}));
  const Ino next = live().allocate_ino() + 1;
  JournalPosition published;
  ASSERT_TRUE(live().replace(old_root, totals, [&](const JournalPosition& at, Ino next_ino) {
    EXPECT_EQ(next_ino, next);
    published = at;
    return ok();
  }));
  EXPECT_EQ(published, journal().tail());
  EXPECT_EQ(content(*live().view()), (testing::Content{{"old", "1"}}));
  EXPECT_EQ(live().totals(), totals);
  EXPECT_FALSE(live().dirty());
}

TEST_F(LiveMapTest, ReplayRaisesTheNextInode) {
  Batch batch;
  batch.put(inode_key(500), encode(InodeRecord{}));
  batch.remove(inode_key(700));
  batch.put("no key at all", "");
  batch.add_totals(1, 5);
  live().replay(batch);
  EXPECT_EQ(live().next_ino(), 701U);
  EXPECT_EQ(live().totals(), (TreeTotals{1, 5}));
}

TEST_F(LiveMapTest, ReplayGivesWhatWasLive) {
  const std::uint64_t seed = testing::random_seed();
  std::mt19937_64 random(seed);
  JournalPosition from;
  BlockId root;
  TreeTotals totals;
  for (int round = 0; round < 300; ++round) {
    const std::string key = "k" + std::to_string(random() % 40);
    switch (random() % 20) {
      case 0: {
        const Frozen frozen = live().freeze();
        put(key, "between");
        if (random() % 2 == 0) {
          live().thaw();
        } else {
          root = apply_frozen(frozen).root();
          from = frozen.position;
          totals = frozen.totals;
          ASSERT_TRUE(journal().release_before(live().install(root, from)));
        }
        break;
      }
      case 1:
        remove(key);
        break;
      case 2:
        write(random() % 5 + 10, Bytes(random() % 3000 + 1, 'd'));
        break;
      default:
        put(key, std::to_string(random()));
    }
  }
  const testing::Content before = content(*live().view());
  const TreeTotals totals_before = live().totals();
  reopen(root, totals, from);
  EXPECT_EQ(content(*live().view()), before);
  EXPECT_EQ(live().totals(), totals_before);
}

TEST(Gate, CloseWaitsForThoseInsideAndHoldsNewcomersBack) {
  Gate gate;
  gate.enter();
  std::atomic<int> step{0};
  std::thread closer([&] {
    gate.close();
    step = 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(step, 1);
    gate.open();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(step, 0);
  std::thread newcomer([&] {
    gate.enter();
    EXPECT_EQ(step.exchange(2), 1);
    gate.leave();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(step, 0);
  gate.leave();
  closer.join();
  newcomer.join();
  EXPECT_EQ(step, 2);
}

}  // namespace
}  // namespace amberfs
