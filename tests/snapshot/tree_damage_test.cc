// SPDX-License-Identifier: Apache-2.0
// Trees whose nodes are each well formed but do not fit together, or are not there: every way of
// reading names the node, and nothing is read around it silently.
#include "snapshot/node_format.h"
#include "snapshot/tree.h"
#include "tests/support/memory_blocks.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

using Entries = std::vector<std::pair<Bytes, Bytes>>;

class TreeDamage : public ::testing::Test {
 protected:
  BlockId put(const Bytes& bytes) {
    auto id = blocks_.put(bytes, BlockKind::kNode);
    EXPECT_TRUE(id);
    return id.value_or(BlockId{});
  }
  BlockId node(unsigned level, const Entries& entries) {
    NodeBuilder builder(level);
    for (const auto& [key, value] : entries) builder.add(key, value);
    return put(builder.finish());
  }
  static Bytes ref(const BlockId& id) { return Bytes(id.view()); }

  // A root with a good leaf a…c, then `second` as the child whose last key is said to be "f", then
  // a good leaf h…i.
  BlockId root_over(const BlockId& second) {
    return node(1, {{"c", ref(node(0, {{"a", "1"}, {"c", "2"}}))},
                    {"f", ref(second)},
                    {"i", ref(node(0, {{"h", "3"}, {"i", "4"}}))}});
  }
  void expect_named(const BlockId& root, const BlockId& damaged, Errc code) {
    const auto named = [&](const Error& error) {
      EXPECT_EQ(error.code, code) << error.to_string();
      EXPECT_EQ(error.object, damaged.to_hex()) << error.to_string();
    };
    const Tree tree(blocks_, root);
    const auto got = tree.get("e");
    ASSERT_FALSE(got);
    named(got.error());
    EXPECT_EQ(tree.get("a").value(), "1") << "what does not need it stays readable";

    auto cursor = tree.cursor();
    ASSERT_TRUE(cursor->seek("a"));
    ASSERT_TRUE(cursor->next());
    const Status next = cursor->next();
    ASSERT_FALSE(next);
    named(next.error());

    const std::vector<Change> change{{"e", "new"}};
    const auto applied = tree.apply(change);
    ASSERT_FALSE(applied);
    named(applied.error());

    const auto visit = [](ByteView, auto, auto) { return ok(); };
    const Status compared = diff_trees(blocks_, root, node(0, {{"z", "9"}}), visit);
    ASSERT_FALSE(compared);
    named(compared.error());
    expect_walk_goes_around(root, named);
  }
  void expect_walk_goes_around(const BlockId& root,
                               const std::function<void(const Error&)>& named) {
    Bytes keys;
    int damages = 0;
    const NodeVisitor visitor{.enter = [](const BlockId&) { return true; },
                              .entry =
                                  [&](ByteView key, ByteView) {
                                    keys += key;
                                    return ok();
                                  },
                              .damaged =
                                  [&](const BlockId&, const Error& error) {
                                    ++damages;
                                    named(error);
                                    return ok();
                                  }};
    ASSERT_TRUE(walk_tree(blocks_, root, visitor));
    EXPECT_EQ(damages, 1);
    EXPECT_EQ(keys, "achi");
  }

  testing::MemoryBlocks blocks_;
};

TEST_F(TreeDamage, GoodChildIsRead) {
  const Tree tree(blocks_, root_over(node(0, {{"e", "5"}, {"f", "6"}})));
  EXPECT_EQ(tree.get("e").value(), "5");
  EXPECT_EQ(tree.get("d").value(), std::nullopt);
  EXPECT_EQ(tree.get("i").value(), "4");
  EXPECT_EQ(tree.get("j").value(), std::nullopt);
}

TEST_F(TreeDamage, MissingChildIsNamed) {
  const BlockId absent{sha256("absent")};
  expect_named(root_over(absent), absent, Errc::kBlockMissing);
}

TEST_F(TreeDamage, ChildThatIsNoNodeIsNamed) {
  const BlockId child = put("these are the bytes of some file");
  expect_named(root_over(child), child, Errc::kCorrupt);
}

TEST_F(TreeDamage, ChildOfANewerVersionIsNamed) {
  Bytes bytes = *blocks_.get(node(0, {{"e", "5"}, {"f", "6"}})).value();
  bytes[4] = 9;
  const BlockId child = put(bytes);
  expect_named(root_over(child), child, Errc::kNewerFormat);
}

TEST_F(TreeDamage, ChildOfTheWrongLevelIsNamed) {
  const BlockId child = node(1, {{"f", ref(node(0, {{"e", "5"}, {"f", "6"}}))}});
  expect_named(root_over(child), child, Errc::kCorrupt);
}

TEST_F(TreeDamage, ChildWhoseLastKeyIsNotWhatItsParentSaysIsNamed) {
  const BlockId child = node(0, {{"e", "5"}, {"g", "6"}});
  expect_named(root_over(child), child, Errc::kCorrupt);
}

TEST_F(TreeDamage, ChildThatReachesIntoTheOneBeforeItIsNamed) {
  const BlockId child = node(0, {{"c", "5"}, {"f", "6"}});
  expect_named(root_over(child), child, Errc::kCorrupt);
}

TEST_F(TreeDamage, ReachingIntoTheNodeBeforeIsSeenAcrossParents) {
  const BlockId leaf = node(0, {{"b", "5"}, {"f", "6"}});
  const BlockId left = node(1, {{"c", ref(node(0, {{"a", "1"}, {"c", "2"}}))}});
  const BlockId right = node(1, {{"f", ref(leaf)}});
  const BlockId root = node(2, {{"c", ref(left)}, {"f", ref(right)}});
  auto cursor = Tree(blocks_, root).cursor();
  ASSERT_TRUE(cursor->seek("c"));
  const Status next = cursor->next();
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().object, leaf.to_hex());
}

}  // namespace
}  // namespace amberfs
