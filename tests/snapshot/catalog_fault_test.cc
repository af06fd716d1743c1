// SPDX-License-Identifier: Apache-2.0
// Every disk call of add() fails in turn, and the power goes after it: a snapshot is there whole or
// not at all, and what add() promised is there.
#include "snapshot/catalog.h"
#include "tests/support/fault_io.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_cipher.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

using testing::FaultIo;
using testing::IoOp;

Manifest numbered(std::uint64_t sequence) {
  Manifest manifest;
  manifest.sequence = sequence;
  manifest.time_ns = static_cast<std::int64_t>(sequence) * 1'000'000'000;
  manifest.root = BlockId{sha256(std::to_string(sequence))};
  manifest.name = "number-" + std::to_string(sequence);
  return manifest;
}

class CatalogFault : public ::testing::Test {
 protected:
  std::unique_ptr<Catalog> open(Io& io) {
    auto opened = Catalog::open(io, dir_->path(), testing::test_cipher());
    EXPECT_TRUE(opened) << opened.error().to_string();
    return opened ? *std::move(opened) : nullptr;
  }
  // Adds a second snapshot while call `n` fails; false when add() makes fewer calls.
  bool add_with_fault(FaultIo& io, std::uint64_t n, unsigned torn_percent) {
    auto catalog = open(io);
    Manifest two = numbered(2);
    io.arm({.at = n, .torn_percent = torn_percent, .sticky = true});
    const Status added = catalog->add(two);
    const bool fired = io.fired();
    io.disarm();
    EXPECT_EQ(added.has_value(), !fired);
    if (!added) {
      EXPECT_EQ(catalog->count(), 1U) << "call " << n;
      EXPECT_FALSE(catalog->resolve("number-2")) << "call " << n;
    }
    return fired;
  }

  std::unique_ptr<testing::TempDir> dir_;
  std::unique_ptr<Io> posix_ = make_posix_io();
};

TEST_F(CatalogFault, PowerCutAtEachCallLeavesTheSnapshotWholeOrAbsent) {
  int cuts = 0;
  for (const unsigned torn : {0U, 50U, 100U}) {
    for (std::uint64_t n = 1;; ++n) {
      dir_ = std::make_unique<testing::TempDir>();
      FaultIo io(*posix_);
      Manifest one = numbered(1);
      ASSERT_TRUE(open(io)->add(one));
      io.track_unsynced();
      const bool fired = add_with_fault(io, n, torn);
      ASSERT_TRUE(io.lose_unsynced());
      auto catalog = open(*posix_);
      const auto listed = catalog->list();
      ASSERT_TRUE(listed) << listed.error().to_string();
      EXPECT_EQ(listed->size(), fired ? 1U : 2U) << "call " << n;
      EXPECT_EQ(listed->front().id, one.id);
      Manifest again = numbered(3);
      EXPECT_TRUE(catalog->add(again)) << "what was left behind is in nobody's way";
      if (!fired) break;
      ++cuts;
    }
  }
  EXPECT_GE(cuts, 12);
}

TEST_F(CatalogFault, CrashOfTheProcessBeforeTheRenameLeavesNoSnapshot) {
  dir_ = std::make_unique<testing::TempDir>();
  FaultIo io(*posix_);
  auto catalog = open(io);
  io.count(testing::io_ops({IoOp::kRename}));
  io.arm({.at = 1, .sticky = true});
  Manifest one = numbered(1);
  EXPECT_FALSE(catalog->add(one));
  EXPECT_TRUE(io.fired());
  EXPECT_EQ(posix_->list(dir_->path())->size(), 1U) << "the file beside is there";
  EXPECT_EQ(open(*posix_)->count(), 0U);
}

TEST_F(CatalogFault, DiskErrorIsNotTakenForAnAbsentName) {
  dir_ = std::make_unique<testing::TempDir>();
  FaultIo io(*posix_);
  Manifest one = numbered(1);
  ASSERT_TRUE(open(io)->add(one));
  auto catalog = open(io);
  io.count(testing::kIoAll);
  io.arm({.at = 1, .sticky = true});
  const auto found = catalog->resolve("number-1");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kIo);
  Manifest again = numbered(2);
  again.name = "number-1";
  const Status added = catalog->add(again);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Errc::kIo);
  io.disarm();
  EXPECT_EQ(catalog->add(again).error().code, Errc::kSnapshotNameTaken);
  EXPECT_EQ(catalog->resolve("number-1")->sequence, 1U);
}

}  // namespace
}  // namespace amberfs
