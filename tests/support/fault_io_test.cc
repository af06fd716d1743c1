// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fault_io.h"

#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

namespace amberfs::testing {
namespace {

class FaultIoTest : public ::testing::Test {
 protected:
  std::unique_ptr<File> make(const std::string& name, ByteView bytes) {
    auto file = io.open(dir / name, OpenMode::kCreateOrOpen);
    EXPECT_TRUE(file && (*file)->pwrite(bytes, 0));
    return *std::move(file);
  }
  Bytes content(const std::string& name) {
    auto bytes = posix->read_file(dir / name, kMiB);
    return bytes ? *bytes : Bytes("(none)");
  }

  TempDir dir;
  std::unique_ptr<Io> posix = make_posix_io();
  FaultIo io{*posix};
};

TEST_F(FaultIoTest, FailsTheNthCall) {
  auto file = make("f", "");
  io.arm({.at = 2, .sys_errno = ENOSPC});
  EXPECT_TRUE(file->pwrite("one", 0));
  Status second = file->pwrite("two", 3);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kNoSpace);
  EXPECT_TRUE(io.fired());
  EXPECT_TRUE(file->pwrite("three", 3));
  EXPECT_EQ(content("f"), "onethree");
  EXPECT_EQ(io.calls(), 3U);
}

TEST_F(FaultIoTest, TearsTheFailingWrite) {
  auto file = make("f", "");
  io.arm({.at = 1, .torn_percent = 50});
  EXPECT_FALSE(file->pwrite("abcdef", 0));
  EXPECT_EQ(content("f"), "abc");
}

TEST_F(FaultIoTest, StaysBrokenWhenSticky) {
  auto file = make("f", "");
  io.arm({.at = 1, .sticky = true});
  EXPECT_FALSE(file->pwrite("x", 0));
  EXPECT_FALSE(file->sync_data());
  io.disarm();
  EXPECT_TRUE(file->sync_data());
}

TEST_F(FaultIoTest, CountsReadsOnlyWhenAsked) {
  auto file = make("f", "abc");
  char byte = 0;
  io.arm({.at = 1});
  EXPECT_TRUE(file->pread_exact(&byte, 1, 0));
  io.count(kIoAll);
  EXPECT_FALSE(file->pread_exact(&byte, 1, 0));
}

TEST_F(FaultIoTest, RecordsCalls) {
  io.record();
  make("f", "abc");
  const auto calls = io.take_calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].op, IoOp::kCreate);
  EXPECT_EQ(calls[1].op, IoOp::kWrite);
  EXPECT_EQ(calls[1].size, 3U);
}

TEST_F(FaultIoTest, LosesUnsyncedWritesAndSizes) {
  auto file = make("f", "0123456789");
  ASSERT_TRUE(file->sync_data());
  io.track_unsynced();
  ASSERT_TRUE(file->pwrite("AB", 2));
  ASSERT_TRUE(file->sync_data());
  ASSERT_TRUE(file->pwrite("CD", 8));
  ASSERT_TRUE(file->pwrite("tail", 10));
  ASSERT_TRUE(file->truncate(5));
  ASSERT_TRUE(file->pwrite("ZZZ", 4));
  file.reset();
  ASSERT_TRUE(io.lose_unsynced());
  EXPECT_EQ(content("f"), "01AB456789");
}

TEST_F(FaultIoTest, LosesUnsyncedNames) {
  make("old", "content");
  make("target", "before");
  make("gone", "was here");
  io.track_unsynced();
  auto fresh = make("fresh", "x");
  ASSERT_TRUE(fresh->sync_data());
  fresh.reset();
  ASSERT_TRUE(io.rename(dir / "old", dir / "target"));
  ASSERT_TRUE(io.unlink(dir / "gone"));
  ASSERT_TRUE(io.lose_unsynced());
  EXPECT_EQ(content("fresh"), "(none)");
  EXPECT_EQ(content("old"), "content");
  EXPECT_EQ(content("target"), "before");
  EXPECT_EQ(content("gone"), "was here");
}

TEST_F(FaultIoTest, KeepsWhatWasSynced) {
  io.track_unsynced();
  auto file = make("f.new", "whole");
  ASSERT_TRUE(file->sync_data());
  file.reset();
  ASSERT_TRUE(io.rename(dir / "f.new", dir / "f"));
  ASSERT_TRUE(io.sync_directory(dir.path() + "/"));
  ASSERT_TRUE(io.lose_unsynced());
  EXPECT_EQ(content("f"), "whole");
}

// What a program gets that renames before it syncs.
TEST_F(FaultIoTest, LosesContentThatWasRenamedButNeverSynced) {
  io.track_unsynced();
  make("f.new", "whole");
  ASSERT_TRUE(io.rename(dir / "f.new", dir / "f"));
  ASSERT_TRUE(io.sync_directory(dir.path()));
  ASSERT_TRUE(io.lose_unsynced());
  EXPECT_EQ(content("f"), "");
}

}  // namespace
}  // namespace amberfs::testing
