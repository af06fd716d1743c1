// SPDX-License-Identifier: Apache-2.0
// View: overlays above a tree against a std::map, random batches; seed in AMBERFS_SEED.
#include "fs/view.h"
#include "tests/support/memory_blocks.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

namespace amberfs {
namespace {

using Model = std::map<Bytes, Bytes>;
using Random = std::mt19937_64;

std::uint64_t seed() {
  const char* given = std::getenv("AMBERFS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

Bytes random_key(Random& random) {
  return fmt::format("key-{:03}", random() % 400);
}

// Applies random changes to the model and returns them in order.
std::vector<Change> random_changes(Random& random, Model& model, std::size_t count) {
  std::vector<Change> changes;
  for (std::size_t i = 0; i < count; ++i) {
    Bytes key = random_key(random);
    if (random() % 3 == 0) {
      model.erase(key);
      changes.push_back({key, std::nullopt});
    } else {
      Bytes value = std::to_string(random());
      model[key] = value;
      changes.push_back({key, value});
    }
  }
  return changes;
}

std::vector<Change> sorted(const std::vector<Change>& changes) {
  std::map<Bytes, std::optional<Bytes>> last;
  for (const Change& change : changes) last[change.key] = change.value;
  std::vector<Change> result;
  for (auto& [key, value] : last) result.push_back({key, value});
  return result;
}

void expect_equal(const View& view, const Model& model, Random& random) {
  for (int i = 0; i < 60; ++i) {
    const Bytes key = random_key(random);
    auto got = view.get(key);
    ASSERT_TRUE(got);
    auto it = model.find(key);
    ASSERT_EQ(got->has_value(), it != model.end()) << key;
    ASSERT_TRUE(it == model.end() || **got == it->second) << key;
  }
  const std::unique_ptr<Cursor> cursor = view.cursor();
  for (const Bytes& start : {Bytes(), random_key(random), random_key(random), Bytes("z")}) {
    ASSERT_TRUE(cursor->seek(start));
    for (auto it = model.lower_bound(start); it != model.end(); ++it) {
      ASSERT_TRUE(cursor->valid());
      ASSERT_EQ(cursor->key(), it->first);
      ASSERT_EQ(cursor->value(), it->second);
      ASSERT_TRUE(cursor->next());
    }
    ASSERT_FALSE(cursor->valid());
  }
}

TEST(ViewModel, ReadsAsTheMapThatTheBatchesMake) {
  const std::uint64_t from = seed();
  std::printf("AMBERFS_SEED=%llu\n", static_cast<unsigned long long>(from));
  Random random(from);
  for (int round = 0; round < 60; ++round) {
    testing::MemoryBlocks blocks;
    Model model;
    auto tree =
        Tree(blocks, BlockId{}).apply(sorted(random_changes(random, model, random() % 500)));
    ASSERT_TRUE(tree) << tree.error().to_string();
    std::vector<std::shared_ptr<const Overlay>> overlays;
    for (std::uint64_t i = random() % 4; i > 0; --i) {
      auto overlay = std::make_shared<Overlay>();
      for (std::uint64_t batches = random() % 20; batches > 0; --batches) {
        overlay->apply(random_changes(random, model, random() % 12));
      }
      overlays.insert(overlays.begin(), std::move(overlay));
    }
    expect_equal(View(overlays, *tree), model, random);
    if (HasFatalFailure()) return;
  }
}

TEST(ViewCursor, SeesChangesOfTheNewestOverlayAtTheNextStep) {
  testing::MemoryBlocks blocks;
  auto tree = Tree(blocks, BlockId{})
                  .apply(std::vector<Change>{{"a", "tree"}, {"c", "tree"}, {"e", "tree"}});
  ASSERT_TRUE(tree);
  auto overlay = std::make_shared<Overlay>();
  const View view({overlay}, *tree);
  const std::unique_ptr<Cursor> cursor = view.cursor();
  ASSERT_TRUE(cursor->seek(""));
  EXPECT_EQ(cursor->key(), "a");
  overlay->apply(std::vector<Change>{{"b", "new"}, {"c", std::nullopt}, {"e", "newer"}});
  ASSERT_TRUE(cursor->next());
  EXPECT_EQ(cursor->key(), "b");
  ASSERT_TRUE(cursor->next());
  EXPECT_EQ(cursor->key(), "e");
  EXPECT_EQ(cursor->value(), "newer");
  overlay->apply(std::vector<Change>{{"f", "last"}});
  ASSERT_TRUE(cursor->next());
  EXPECT_EQ(cursor->key(), "f");
  ASSERT_TRUE(cursor->next());
  EXPECT_FALSE(cursor->valid());
}

TEST(ViewCursor, OutlivesItsView) {
  testing::MemoryBlocks blocks;
  std::unique_ptr<Cursor> cursor;
  {
    auto overlay = std::make_shared<Overlay>();
    overlay->apply(std::vector<Change>{{"a", "1"}, {"b", "2"}});
    cursor = View({overlay}, Tree(blocks, BlockId{})).cursor();
  }
  ASSERT_TRUE(cursor->seek("b"));
  EXPECT_EQ(cursor->value(), "2");
}

TEST(View, PassesOnThatANodeIsMissing) {
  testing::MemoryBlocks blocks;
  const View view({std::make_shared<Overlay>()}, Tree(blocks, BlockId{sha256("nothing")}));
  EXPECT_EQ(view.get("a").error().code, Errc::kBlockMissing);
  EXPECT_FALSE(view.cursor()->seek("a"));
}

}  // namespace
}  // namespace amberfs
