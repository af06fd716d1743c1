// SPDX-License-Identifier: Apache-2.0
// Tree against std::map: random batches, every reading operation compared. AMBERFS_SEED replays.
#include "snapshot/node_format.h"
#include "snapshot/record_format.h"
#include "snapshot/tree.h"
#include "tests/support/memory_blocks.h"
#include "tests/support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace amberfs {
namespace {

using Model = std::map<Bytes, Bytes>;

class TreeModel : public ::testing::Test {
 protected:
  Tree empty() { return Tree(blocks_, BlockId{}); }

  static std::vector<Change> changes_of(const std::map<Bytes, std::optional<Bytes>>& edits) {
    std::vector<Change> changes;
    for (const auto& [key, value] : edits) changes.push_back({key, value});
    return changes;
  }
  Tree apply(const Tree& tree, const std::map<Bytes, std::optional<Bytes>>& edits) {
    auto result = tree.apply(changes_of(edits));
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? *result : tree;
  }
  Tree build(const Model& model) {
    std::map<Bytes, std::optional<Bytes>> edits(model.begin(), model.end());
    return apply(empty(), edits);
  }
  static void expect_same(const Tree& tree, const Model& model) {
    auto cursor = tree.cursor();
    ASSERT_TRUE(cursor->seek(""));
    auto it = model.begin();
    for (; cursor->valid() && it != model.end(); ++it) {
      ASSERT_EQ(cursor->key(), it->first);
      ASSERT_EQ(cursor->value(), it->second);
      ASSERT_TRUE(cursor->next());
    }
    ASSERT_FALSE(cursor->valid());
    ASSERT_TRUE(it == model.end());
  }

  testing::MemoryBlocks blocks_;
};

Bytes random_key(std::mt19937& random, int universe) {
  return extent_key(1 + random() % 50, random() % static_cast<unsigned>(universe));
}

Bytes random_value(std::mt19937& random) {
  const std::size_t size = random() % 100 == 0 ? random() % 70'000 : random() % 120;
  return Bytes(size, static_cast<char>('a' + random() % 26));
}

// Nodes of two entries: a few hundred of these make a tree as deep as millions of short ones do.
Bytes long_key(std::mt19937& random, int universe) {
  const unsigned number = static_cast<unsigned>(random()) % static_cast<unsigned>(universe);
  return extent_key(1, number) + Bytes(16 * kKiB + number % 7, 'k');
}

class TreeBatches : public TreeModel {
 protected:
  using MakeKey = Bytes (*)(std::mt19937&, int);
  using Edits = std::map<Bytes, std::optional<Bytes>>;
  struct Course {
    MakeKey key = random_key;
    int universe = 2000;
    unsigned batch_max = 3000;
  };

  static Edits random_edits(std::mt19937& random, const Course& course, int batch) {
    Edits edits;
    const std::size_t size = random() % (batch % 5 == 0 ? course.batch_max : 30) + 1;
    const bool mostly_deletes = batch % 7 == 6;
    for (std::size_t i = 0; i < size; ++i) {
      const bool put = random() % 10 < (mostly_deletes ? 1U : 7U);
      edits[course.key(random, course.universe)] =
          put ? std::optional(random_value(random)) : std::nullopt;
    }
    return edits;
  }
  static std::optional<Bytes> find(const Model& model, const Bytes& key) {
    const auto it = model.find(key);
    return it == model.end() ? std::optional<Bytes>() : it->second;
  }
  void expect_same_searches(const Tree& tree, const Model& model, const std::vector<Bytes>& keys) {
    for (const Bytes& key : keys) {
      const auto got = tree.get(key);
      ASSERT_TRUE(got) << got.error().to_string();
      ASSERT_EQ(*got, find(model, key));
      auto cursor = tree.cursor();
      ASSERT_TRUE(cursor->seek(key));
      const auto bound = model.lower_bound(key);
      ASSERT_EQ(cursor->valid(), bound != model.end());
      if (cursor->valid()) {
        ASSERT_EQ(cursor->key(), bound->first);
      }
    }
  }
  void expect_same_diff(const Tree& before, const Tree& after, const Edits& edits,
                        const Model& model_before, const Model& model) {
    std::map<Bytes, std::pair<std::optional<Bytes>, std::optional<Bytes>>> found;
    decltype(found) expected;
    ASSERT_TRUE(diff_trees(blocks_, before.root(), after.root(),
                           [&](ByteView key, auto old_value, auto new_value) -> Status {
                             found.try_emplace(Bytes(key), old_value, new_value);
                             return ok();
                           }));
    for (const auto& [key, value] : edits) {
      const auto old_value = find(model_before, key);
      const auto new_value = find(model, key);
      if (old_value != new_value) expected[key] = {old_value, new_value};
    }
    ASSERT_EQ(found, expected);
  }
  void run(std::mt19937& random, const Course& course) {
    Model model;
    Tree tree = empty();
    for (int batch = 0; batch < 25; ++batch) {
      const Edits edits = random_edits(random, course, batch);
      const Tree before = tree;
      const Model model_before = model;
      tree = apply(tree, edits);
      for (const auto& [key, value] : edits) {
        model.erase(key);
        if (value) model[key] = *value;
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(tree, model)) << "batch " << batch;
      ASSERT_EQ(tree.root(), build(model).root()) << "history shows in the root";
      std::vector<Bytes> keys(50);
      for (Bytes& key : keys) key = course.key(random, course.universe);
      ASSERT_NO_FATAL_FAILURE(expect_same_searches(tree, model, keys));
      ASSERT_NO_FATAL_FAILURE(expect_same_diff(before, tree, edits, model_before, model));
    }
  }
};

TEST_F(TreeBatches, EveryReadAgreesAfterRandomBatches) {
  std::mt19937 random(testing::test_seed());
  for (int round = 0; round < 12; ++round) {
    ASSERT_NO_FATAL_FAILURE(run(random, {.universe = round % 3 == 0 ? 20 : 2000}));
  }
}

TEST_F(TreeBatches, EveryReadAgreesInDeepTreesOfSmallNodes) {
  std::mt19937 random(testing::test_seed());
  for (int round = 0; round < 4; ++round) {
    ASSERT_NO_FATAL_FAILURE(run(random, {.key = long_key, .universe = 250, .batch_max = 250}));
  }
}

Model numbered(int count) {
  Model model;
  for (int i = 0; i < count; ++i) {
    model[inode_key(static_cast<Ino>(i) + 1)] =
        "value " + std::to_string(i * 7919) + Bytes(60, 'v');
  }
  return model;
}

TEST_F(TreeModel, EqualContentGivesEqualRootsInWhateverOrderItCame) {
  std::mt19937 random(testing::test_seed());
  const Model model = numbered(3000);
  const BlockId root = build(model).root();
  std::vector<std::pair<Bytes, Bytes>> entries(model.begin(), model.end());
  for (int round = 0; round < 5; ++round) {
    std::shuffle(entries.begin(), entries.end(), random);
    Tree tree = empty();
    for (std::size_t at = 0; at < entries.size();) {
      std::map<Bytes, std::optional<Bytes>> edits;
      for (std::size_t n = 1 + random() % 200; n > 0 && at < entries.size(); --n, ++at) {
        edits[entries[at].first] = entries[at].second;
        edits[random_key(random, 1000)] = "comes and goes";
      }
      tree = apply(tree, edits);
    }
    std::map<Bytes, std::optional<Bytes>> deletions;
    auto cursor = tree.cursor();
    ASSERT_TRUE(cursor->seek(""));
    while (cursor->valid()) {
      if (!model.contains(Bytes(cursor->key()))) deletions[Bytes(cursor->key())] = std::nullopt;
      ASSERT_TRUE(cursor->next());
    }
    EXPECT_FALSE(deletions.empty());
    EXPECT_EQ(apply(tree, deletions).root(), root);
  }
}

TEST_F(TreeModel, DeletingEverythingGivesTheEmptyTree) {
  const Model model = numbered(5000);
  const Tree tree = build(model);
  std::map<Bytes, std::optional<Bytes>> deletions;
  for (const auto& [key, value] : model) deletions[key] = std::nullopt;
  EXPECT_TRUE(apply(tree, deletions).root().is_zero());
  deletions.erase(deletions.begin());
  const Tree one = apply(tree, deletions);
  EXPECT_EQ(one.root(), build({*model.begin()}).root()) << "the root is a leaf again";
}

class LargeTree : public TreeModel {
 protected:
  static constexpr unsigned kEntries = 400'000;
  void SetUp() override {
    std::vector<Change> changes;
    changes.reserve(kEntries);
    for (Ino ino = 1; ino <= kEntries; ++ino) {
      changes.push_back({inode_key(ino), Bytes(80, static_cast<char>('a' + ino % 26))});
    }
    auto built = empty().apply(changes);
    ASSERT_TRUE(built) << built.error().to_string();
    tree_ = *built;
  }
  Tree change_every(Ino step) {
    std::map<Bytes, std::optional<Bytes>> edits;
    for (Ino ino = 1; ino <= kEntries; ino += step) edits[inode_key(ino)] = "changed";
    edits_ = edits.size();
    blocks_.puts = blocks_.gets = blocks_.new_blocks = 0;
    return apply(tree_, edits);
  }
  std::size_t diff_with(const Tree& changed) {
    std::size_t found = 0;
    blocks_.gets = 0;
    EXPECT_TRUE(diff_trees(blocks_, tree_.root(), changed.root(), [&](auto, auto, auto) -> Status {
      ++found;
      return ok();
    }));
    return found;
  }

  Tree tree_ = empty();
  std::size_t edits_ = 0;
};

TEST_F(LargeTree, FewChangesReadAndWriteFewNodes) {
  const Tree changed = change_every(40'000);
  ASSERT_EQ(edits_, 10U);
  EXPECT_LE(blocks_.new_blocks, 60U);
  EXPECT_LE(blocks_.puts, 60U);
  EXPECT_LE(blocks_.gets, 90U);
  EXPECT_EQ(diff_with(changed), 10U);
  EXPECT_LE(blocks_.gets, 100U) << "equal subtrees are not read";
}

TEST_F(LargeTree, ScatteredBatchIsOneSweepAndNotAPathForEachChange) {
  const Tree changed = change_every(40);
  ASSERT_EQ(edits_, 10'000U);
  // Each node that is rewritten is read once, and little else.
  EXPECT_LE(blocks_.gets, blocks_.puts + blocks_.puts / 10 + 50);
  EXPECT_EQ(diff_with(changed), 10'000U);
}

TEST_F(LargeTree, GetReadsOneNodeOfEachLevel) {
  blocks_.gets = 0;
  for (Ino ino = 1; ino <= 1000; ++ino) ASSERT_TRUE(*tree_.get(inode_key(ino * 397)));
  EXPECT_LE(blocks_.gets, 3000U);
}

TEST_F(TreeModel, ChangingNothingGivesTheSameTree) {
  const Model model = numbered(2000);
  const Tree tree = build(model);
  EXPECT_EQ(apply(tree, {{"absent", std::nullopt}}).root(), tree.root());
  EXPECT_EQ(apply(tree, {{model.begin()->first, model.begin()->second}}).root(), tree.root());
  EXPECT_EQ(apply(tree, {}).root(), tree.root());
}

TEST_F(TreeModel, UnsortedChangesAreRefused) {
  const std::vector<Change> changes{{"b", "1"}, {"a", "2"}};
  EXPECT_FALSE(empty().apply(changes));
}

TEST_F(TreeModel, WalkSeesEveryEntryAndSkipsWhatItIsTold) {
  const Model model = numbered(5000);
  const Tree tree = build(model);
  std::size_t nodes = 0;
  std::size_t entries = 0;
  NodeVisitor visitor{
      .enter = [&](const BlockId&) { return ++nodes > 0; },
      .entry = [&](ByteView, ByteView) -> Status {
        ++entries;
        return ok();
      },
      .damaged = [](const BlockId&, const Error& error) -> Status { return fail(error); }};
  ASSERT_TRUE(walk_tree(blocks_, tree.root(), visitor));
  EXPECT_EQ(entries, model.size());
  EXPECT_GT(nodes, 20U);
  entries = 0;
  visitor.enter = [](const BlockId&) { return false; };
  ASSERT_TRUE(walk_tree(blocks_, tree.root(), visitor));
  EXPECT_EQ(entries, 0U);
}

TEST_F(TreeModel, MissingNodeIsNamed) {
  const Tree tree = build(numbered(5000));
  const BlockId absent{sha256("absent")};
  NodeBuilder builder(1);
  builder.add("k", absent.view());
  const auto root = blocks_.put(builder.finish(), BlockKind::kNode);
  ASSERT_TRUE(root);
  const auto got = Tree(blocks_, *root).get("a");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::kBlockMissing);
  EXPECT_EQ(got.error().object, absent.to_hex());
}

}  // namespace
}  // namespace amberfs
