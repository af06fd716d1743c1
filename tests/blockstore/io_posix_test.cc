// SPDX-License-Identifier: Apache-2.0
// What PosixIo refuses to open: whoever made a store could otherwise have its server write
// anywhere.
#include "blockstore/base/io.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace amberfs {
namespace {

namespace fs = std::filesystem;

class PosixIoTest : public ::testing::Test {
 protected:
  PosixIoTest() {
    EXPECT_TRUE(io_->replace_file(victim_, "victim"));
    fs::create_directory(folder_);
  }
  void expect_unharmed() {
    EXPECT_EQ(io_->read_file(victim_, kKiB).value_or("gone"), "victim");
    EXPECT_TRUE(fs::is_empty(folder_));
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  const std::string victim_ = dir_ / "victim";
  const std::string folder_ = dir_ / "folder";
  const std::string link_ = dir_ / "link";
};

TEST_F(PosixIoTest, OpensNoLinks) {
  for (const std::string& target : {victim_, folder_, dir_ / "missing"}) {
    fs::create_symlink(target, link_);
    for (const OpenMode mode :
         {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreateNew, OpenMode::kCreateOrOpen}) {
      EXPECT_FALSE(io_->open(link_, mode)) << target;
    }
    EXPECT_FALSE(io_->read_file(link_, kKiB));
    EXPECT_FALSE(FileLock::acquire(link_));
    EXPECT_FALSE(io_->list(link_));
    EXPECT_FALSE(io_->make_directory(link_));
    fs::remove(link_);
  }
  EXPECT_FALSE(fs::exists(dir_ / "missing"));
  expect_unharmed();
}

TEST_F(PosixIoTest, ReplacesALinkAndNotWhatItNames) {
  const std::string path = dir_ / "file";
  fs::create_symlink(victim_, path);
  ASSERT_TRUE(io_->replace_file(path, "new"));
  EXPECT_FALSE(fs::is_symlink(path));
  EXPECT_EQ(*io_->read_file(path, kKiB), "new");
  fs::create_symlink(victim_, path + ".new");
  EXPECT_FALSE(io_->replace_file(path, "newer"));
  EXPECT_EQ(*io_->read_file(path, kKiB), "new");
  expect_unharmed();
}

TEST_F(PosixIoTest, DoesNotWaitForPipesNorReadDevices) {
  const std::string pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {pipe, std::string("/dev/zero")}) {
    EXPECT_FALSE(io_->open(path, OpenMode::kRead)) << path;
    EXPECT_FALSE(io_->open(path, OpenMode::kReadWrite)) << path;
  }
  EXPECT_FALSE(io_->make_directory(victim_));
}

TEST_F(PosixIoTest, TellsLinksInAList) {
  fs::create_symlink(victim_, link_);
  std::string links;
  const auto entries = io_->list(dir_.path());
  ASSERT_TRUE(entries);
  for (const DirEntry& entry : *entries) {
    if (entry.is_link) links += entry.name;
  }
  EXPECT_EQ(links, "link");
}

TEST_F(PosixIoTest, FollowsLinksThatPeopleName) {
  fs::create_symlink(victim_, link_);
  EXPECT_EQ(*make_posix_io(Links::kFollow)->read_file(link_, kKiB), "victim");
}

}  // namespace
}  // namespace amberfs
