// SPDX-License-Identifier: Apache-2.0
#include "fs/view.h"
#include "tests/support/memory_blocks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>

namespace amberfs {
namespace {

class ViewReadTest : public ::testing::Test {
 protected:
  void add(Ino ino, std::uint32_t mode, Ino parent, ByteView name) {
    InodeRecord record;
    record.mode = mode;
    record.nlink = 1;
    put(inode_key(ino), encode(record));
    if (parent == kNoIno) return;
    put(parent_key(ino, parent, name), "");
    put(dirent_key(parent, name), encode(Dirent{ino, static_cast<std::uint8_t>(mode >> 12)}));
  }
  void put(Bytes key, std::optional<Bytes> value) {
    overlay_->apply(std::vector<Change>{{std::move(key), std::move(value)}});
  }
  void put_extent(Ino ino, std::uint64_t begin, std::uint64_t end) {
    Extent extent;
    extent.length = static_cast<std::uint32_t>(end - begin);
    put(extent_key(ino, end), encode(extent));
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents(Ino ino, std::uint64_t begin,
                                                               std::uint64_t end) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> found;
    EXPECT_TRUE(view_.extents(ino, begin, end, [&](const View::FileExtent& extent) {
      found.emplace_back(extent.begin, extent.end);
      return true;
    }));
    return found;
  }
  static int posix(const auto& result) {
    EXPECT_FALSE(result);
    if (result) return 0;
    EXPECT_EQ(result.error().code, Errc::kPosix);
    return result.error().sys_errno;
  }
  void SetUp() override {
    add(kRootIno, S_IFDIR | 0755, kNoIno, "");
    add(2, S_IFDIR | 0755, kRootIno, "var");
    add(3, S_IFDIR | 0755, 2, "log");
    add(4, S_IFREG | 0644, 3, "syslog");
  }

  testing::MemoryBlocks blocks_;
  std::shared_ptr<Overlay> overlay_ = std::make_shared<Overlay>();
  View view_{{overlay_}, Tree(blocks_, BlockId{})};
};

TEST_F(ViewReadTest, SaysWhichIsAbsent) {
  EXPECT_TRUE(view_.inode(4));
  EXPECT_EQ(posix(view_.inode(99)), ESTALE);
  EXPECT_FALSE(view_.find_inode(99)->has_value());
  EXPECT_EQ(view_.lookup(3, "syslog")->ino, 4U);
  EXPECT_EQ(posix(view_.lookup(3, "auth.log")), ENOENT);
  EXPECT_FALSE(view_.find_dirent(3, "auth.log")->has_value());
  EXPECT_EQ(posix(view_.lookup(3, Bytes(256, 'n'))), ENAMETOOLONG);
}

TEST_F(ViewReadTest, ReadsTargetsAndXattrs) {
  put(target_key(5), "/etc/hosts");
  put(xattr_key(4, "user.b"), "2");
  put(xattr_key(4, "user.a"), "1");
  put(xattr_key(5, "user.c"), "3");
  EXPECT_EQ(*view_.target(5), "/etc/hosts");
  EXPECT_EQ(posix(view_.target(4)), EINVAL);
  EXPECT_EQ(posix(view_.target(99)), ESTALE);
  EXPECT_EQ(*view_.xattr_names(4), (std::vector<Bytes>{"user.a", "user.b"}));
  EXPECT_EQ(**view_.xattr(4, "user.a"), "1");
  EXPECT_FALSE(view_.xattr(4, "user.z")->has_value());
  EXPECT_TRUE(view_.xattr_names(3)->empty());
}

TEST_F(ViewReadTest, ListsADirectoryFromAnyCookie) {
  std::map<std::uint64_t, Bytes> expected;
  for (int i = 0; i < 200; ++i) {
    const Bytes name = "file-" + std::to_string(i);
    add(static_cast<Ino>(100 + i), S_IFREG | 0644, 2, name);
    expected[dirent_cookie(name)] = name;
  }
  expected[dirent_cookie("log")] = "log";
  std::uint64_t after = 0;
  std::size_t count = 0;
  for (auto it = expected.begin(); it != expected.end(); count = 0) {
    ASSERT_TRUE(view_.list_directory(2, after, [&](const View::DirectoryEntry& entry) {
      EXPECT_EQ(entry.cookie, it->first);
      EXPECT_EQ(entry.name, it->second);
      after = entry.cookie;
      ++it;
      return ++count < 7;
    }));
    ASSERT_GT(count, 0U);
  }
  ASSERT_TRUE(view_.list_directory(2, after, [](const View::DirectoryEntry&) {
    ADD_FAILURE();
    return false;
  }));
  EXPECT_FALSE(*view_.is_empty_directory(2));
  EXPECT_TRUE(*view_.is_empty_directory(4));
  put(dirent_key(3, "syslog"), std::nullopt);
  EXPECT_TRUE(*view_.is_empty_directory(3));
}

TEST_F(ViewReadTest, FindsPathsOfInodes) {
  EXPECT_EQ(**view_.path_of(kRootIno), "");
  EXPECT_EQ(**view_.path_of(4), "var/log/syslog");
  put(parent_key(4, kRootIno, "link"), "");  // a second name, first in key order
  EXPECT_EQ(**view_.path_of(4), "link");
  ASSERT_EQ(view_.parents(4)->size(), 2U);
  EXPECT_EQ(view_.parents(4)->at(1).name, "syslog");
  EXPECT_FALSE(view_.path_of(99)->has_value());
  add(7, S_IFREG | 0644, 98, "child-of-an-orphan");
  EXPECT_FALSE(view_.path_of(7)->has_value());
}

TEST_F(ViewReadTest, ReportsACycleOfParents) {
  put(parent_key(50, 51, "a"), "");
  put(parent_key(51, 50, "b"), "");
  EXPECT_EQ(view_.path_of(50).error().code, Errc::kCorrupt);
}

TEST_F(ViewReadTest, ResolvesPaths) {
  EXPECT_EQ(*view_.resolve_path(""), kRootIno);
  EXPECT_EQ(*view_.resolve_path("/"), kRootIno);
  EXPECT_EQ(*view_.resolve_path("var/log/syslog"), 4U);
  EXPECT_EQ(*view_.resolve_path("//var/./log//syslog"), 4U);
  EXPECT_EQ(*view_.resolve_path("var/log/"), 3U);
  EXPECT_EQ(posix(view_.resolve_path("var/cache")), ENOENT);
  EXPECT_EQ(posix(view_.resolve_path("var/log/syslog/x")), ENOTDIR);
  EXPECT_EQ(posix(view_.resolve_path("var/../var")), EINVAL);
}

TEST_F(ViewReadTest, FindsTheExtentsOfARange) {
  using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  put_extent(4, 0, 100);
  put_extent(4, 100, 150);
  put_extent(4, 1000, 1100);
  put_extent(5, 0, 50);
  const Ranges all{{0, 100}, {100, 150}, {1000, 1100}};
  EXPECT_EQ(extents(4, 0, kFileSizeMax), all);
  EXPECT_EQ(extents(4, 0, 1), (Ranges{{0, 100}}));
  EXPECT_EQ(extents(4, 99, 101), (Ranges{{0, 100}, {100, 150}}));
  EXPECT_EQ(extents(4, 100, 1000), (Ranges{{100, 150}}));
  EXPECT_EQ(extents(4, 150, 1000), Ranges{});
  EXPECT_EQ(extents(4, 1099, kFileSizeMax), (Ranges{{1000, 1100}}));
  EXPECT_EQ(extents(4, 1100, kFileSizeMax), Ranges{});
  EXPECT_EQ(extents(4, 5, 5), Ranges{});
  EXPECT_EQ(extents(3, 0, kFileSizeMax), Ranges{});
}

TEST_F(ViewReadTest, ReportsRecordsThatAreNone) {
  put(inode_key(60), "");
  EXPECT_EQ(view_.inode(60).error().code, Errc::kCorrupt);
  put(extent_key(61, 10), "");
  EXPECT_EQ(view_.extents(61, 0, 10, [](const View::FileExtent&) { return true; }).error().code,
            Errc::kCorrupt);
  put_extent(62, 0, 100);
  Extent too_long;
  too_long.length = 200;
  put(extent_key(62, 100), encode(too_long));
  EXPECT_EQ(view_.extents(62, 0, 10, [](const View::FileExtent&) { return true; }).error().code,
            Errc::kCorrupt);
  put(dirent_key(kRootIno, "bad"), "");
  EXPECT_FALSE(view_.lookup(kRootIno, "bad"));
}

}  // namespace
}  // namespace amberfs
