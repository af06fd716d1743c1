// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/past.h"

#include "fs/fuse/node_id.h"
#include "tests/support/memory_blocks.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_cipher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace amberfs {
namespace {

static_assert(make_node(kLiveView, kRootIno) == 1, "the kernel's id of the root");
static_assert(view_number(make_node(7, kInoMax)) == 7 && ino_of(make_node(7, kInoMax)) == kInoMax);
static_assert(is_snapshot(make_node(kSnapshotViewMax, 1)) && !is_virtual(make_node(1, kInoMax)));
static_assert(is_virtual(kSnapshotsNode) && !is_live(kSnapshotsNode));

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kBegin = 1'700'000'000 * kSecond;

class PastTest : public ::testing::Test {
 protected:
  PastTest() {
    auto opened = Catalog::open(*io_, directory_.path(), testing::test_cipher());
    EXPECT_TRUE(opened);
    catalog_ = *std::move(opened);
    past_ = std::make_unique<Past>(*catalog_, [this](const Manifest& manifest) {
      ++opened_;
      return std::make_shared<const View>(std::vector<std::shared_ptr<const Overlay>>(),
                                          Tree(blocks_, manifest.root));
    });
  }
  std::string add(std::uint64_t sequence, const std::string& name = {}) {
    Manifest manifest;
    manifest.sequence = sequence;
    manifest.time_ns = kBegin + static_cast<std::int64_t>(sequence) * 60 * kSecond;
    manifest.name = name;
    manifest.kind = "manual";
    EXPECT_TRUE(catalog_->add(manifest));
    return format_time(manifest.time_ns);
  }
  std::vector<std::string> names(NodeId directory, std::uint64_t after = 0) {
    std::vector<std::string> all;
    std::uint64_t cookie = after;
    EXPECT_TRUE(past_->list(directory, after, [&](const Past::Entry& entry) {
      EXPECT_GT(entry.cookie, cookie);
      cookie = entry.cookie;
      all.push_back(entry.name);
      return true;
    }));
    return all;
  }
  NodeId lookup(NodeId directory, ByteView name) {
    const auto found = past_->lookup(directory, name, kBegin + 3600 * kSecond);
    return found ? *found : 0;
  }
  int error_of(NodeId directory, ByteView name) {
    const auto found = past_->lookup(directory, name, kBegin);
    return found ? 0 : found.error().to_errno();
  }

  testing::TempDir directory_;
  std::unique_ptr<Io> io_ = make_posix_io();
  testing::MemoryBlocks blocks_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Past> past_;
  int opened_ = 0;
};

TEST_F(PastTest, IsEmptyWithoutSnapshots) {
  EXPECT_THAT(names(kSnapshotsNode), ::testing::ElementsAre("by-name", "at"));
  EXPECT_EQ(error_of(kSnapshotsNode, "latest"), ENOENT);
  EXPECT_TRUE(past_->attributes(kSnapshotsNode));
}

TEST_F(PastTest, ListsEverySnapshotOnceInAnyPieces) {
  const std::string one = add(1);
  const std::string two = add(2, "named");
  const std::string five = add(5);
  EXPECT_THAT(names(kSnapshotsNode),
              ::testing::ElementsAre("by-name", "latest", "at", one, two, five));
  std::vector<std::string> pieces;
  std::uint64_t after = 0;
  bool more = true;
  while (more) {
    more = false;
    ASSERT_TRUE(past_->list(kSnapshotsNode, after, [&](const Past::Entry& entry) {
      pieces.push_back(entry.name);
      after = entry.cookie;
      more = true;
      return false;
    }));
  }
  EXPECT_EQ(pieces, names(kSnapshotsNode));
  EXPECT_THAT(names(kByNameNode), ::testing::ElementsAre("named"));
  EXPECT_TRUE(names(kAtNode).empty());
}

TEST_F(PastTest, LeadsNamesToSnapshots) {
  const std::string one = add(1, "first");
  const std::string two = add(2);
  EXPECT_EQ(lookup(kSnapshotsNode, one), make_node(1, kRootIno));
  EXPECT_EQ(lookup(kSnapshotsNode, two), make_node(2, kRootIno));
  EXPECT_EQ(past_->target(lookup(kSnapshotsNode, "latest")).value(), two);
  EXPECT_EQ(past_->target(lookup(kByNameNode, "first")).value(), "../" + one);
  EXPECT_EQ(past_->target(lookup(kAtNode, one)).value(), "../" + one);
  EXPECT_EQ(past_->target(lookup(kAtNode, "now-1s")).value(), "../" + two);
  EXPECT_EQ(past_->attributes(lookup(kSnapshotsNode, "latest"))->size_bytes, two.size());
  EXPECT_EQ(error_of(kAtNode, "2001-01-01"), ENOENT);
  EXPECT_EQ(error_of(kAtNode, "nonsense"), ENOENT);
  EXPECT_EQ(error_of(kByNameNode, "latest"), ENOENT);
  EXPECT_EQ(error_of(kByNameNode, "none"), ENOENT);
  EXPECT_EQ(error_of(kSnapshotsNode, "first"), ENOENT);
}

TEST_F(PastTest, IdsOfOldLinksStayValid) {
  const std::string one = add(1);
  const NodeId link = lookup(kSnapshotsNode, "latest");
  add(2);
  EXPECT_NE(lookup(kSnapshotsNode, "latest"), link);
  EXPECT_EQ(past_->target(link).value(), one);
}

TEST_F(PastTest, KeepsViewsOpenAndRefusesUnknownOnes) {
  add(1);
  const auto first = past_->view(make_node(1, 5));
  const auto again = past_->view(make_node(1, kRootIno));
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->get(), again->get());
  EXPECT_EQ(opened_, 1);
  const auto unknown = past_->view(make_node(9, kRootIno));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().to_errno(), ESTALE);
}

TEST_F(PastTest, CanBeForItsOwnerAlone) {
  add(1);
  EXPECT_EQ(past_->attributes(kSnapshotsNode)->mode, S_IFDIR | 0555U);
  Past owned(*catalog_, {}, SnapshotsFor::kRoot);
  for (const NodeId node : {kSnapshotsNode, kByNameNode, kAtNode}) {
    const auto record = owned.attributes(node);
    ASSERT_TRUE(record);
    EXPECT_EQ(record->mode, S_IFDIR | 0500U);
    EXPECT_EQ(record->uid, ::geteuid());
    EXPECT_EQ(record->gid, ::getegid());
  }
  EXPECT_FALSE(owned.is_hidden());
  EXPECT_TRUE(Past(*catalog_, {}, SnapshotsFor::kNone).is_hidden());
}

}  // namespace
}  // namespace amberfs
