// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"
#include "tests/support/fs_client.h"

#include <gmock/gmock.h>

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;

class Names : public ::testing::Test, public FsClient {
 protected:
  void TearDown() override { EXPECT_EQ(store.problems(), ""); }
};

TEST_F(Names, MakesEveryTypeOfInode) {
  for (std::uint32_t type : {S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK}) {
    Result<Attr> made = fs().make(who, kRootIno, "t" + std::to_string(type),
                                  {.mode = type | 0777, .umask = 027, .rdev = 0x103});
    ASSERT_TRUE(made);
    EXPECT_EQ(made->record.mode, type | 0750);
    EXPECT_EQ(made->record.uid, 1000U);
    EXPECT_EQ(made->record.gid, 100U);
    EXPECT_EQ(made->record.nlink, type == S_IFDIR ? 2U : 1U);
    EXPECT_EQ(made->record.rdev, type == S_IFCHR || type == S_IFBLK ? 0x103U : 0U);
  }
  EXPECT_EQ(errno_of(fs().make(who, kRootIno, "l", {.mode = S_IFLNK | 0777})), EINVAL);
  EXPECT_EQ(stat(kRootIno).nlink, 3U);
}

TEST_F(Names, RefusesATakenName) {
  file("a");
  EXPECT_EQ(errno_of(fs().make(who, kRootIno, "a", {.mode = S_IFREG | 0666})), EEXIST);
  EXPECT_EQ(errno_of(fs().make(who, kRootIno, "a", {.mode = S_IFDIR | 0777})), EEXIST);
  EXPECT_EQ(errno_of(fs().symlink(who, kRootIno, "a", "b")), EEXIST);
  EXPECT_EQ(errno_of(fs().link(who, at("a"), kRootIno, "a")), EEXIST);
}

TEST_F(Names, LimitsNamesTo255Bytes) {
  file(Bytes(255, 'n'));
  const Bytes long_name(256, 'n');
  EXPECT_EQ(errno_of(fs().make(who, kRootIno, long_name, {.mode = S_IFREG})), ENAMETOOLONG);
  EXPECT_EQ(errno_of(fs().lookup(kRootIno, long_name)), ENAMETOOLONG);
  EXPECT_EQ(errno_of(fs().unlink(who, kRootIno, long_name)), ENAMETOOLONG);
  EXPECT_EQ(rename(kRootIno, Bytes(255, 'n'), kRootIno, long_name), ENAMETOOLONG);
  EXPECT_EQ(errno_of(fs().make(who, kRootIno, "a/b", {.mode = S_IFREG})), EINVAL);
}

TEST_F(Names, StampsTheParentWhenANameComesOrGoes) {
  SetAttr old;
  old.mtime = old.ctime = Timestamp{1, 2};
  auto touched = [&] {
    const InodeRecord root = stat(kRootIno);
    EXPECT_TRUE(fs().setattr(who, kRootIno, old));
    return root.mtime.seconds > 1 && root.ctime == root.mtime;
  };
  file("a");
  EXPECT_TRUE(touched());
  EXPECT_TRUE(fs().link(who, at("a"), kRootIno, "b"));
  EXPECT_TRUE(touched());
  EXPECT_TRUE(fs().unlink(who, kRootIno, "b"));
  EXPECT_TRUE(touched());
  dir("d");
  EXPECT_TRUE(touched());
  EXPECT_TRUE(fs().rmdir(who, kRootIno, "d"));
  EXPECT_TRUE(touched());
  EXPECT_FALSE(touched());
}

TEST_F(Names, GivesTheGroupOfASetGroupIdDirectory) {
  const Ino d = dir("d");
  SetAttr set;
  set.gid = 555;
  ASSERT_TRUE(fs().setattr(who, d, set));
  chmod(d, 02775);
  EXPECT_EQ(stat(file("f", d)).gid, 555U);
  const InodeRecord sub = stat(dir("s", d));
  EXPECT_EQ(sub.gid, 555U);
  EXPECT_EQ(sub.mode, S_IFDIR | 02755U);
}

TEST_F(Names, InheritsDefaultAclsInsteadOfTheUmask) {
  const Ino d = dir("d");
  // u::rwx, u:1001:rw-, g::r-x, m::rwx, o::r-x
  const Bytes acl(
      "\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x06\0\xe9\x03\0\0"
      "\x04\0\x05\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff"
      "\x20\0\x05\0\xff\xff\xff\xff",
      44);
  ASSERT_TRUE(fs().set_xattr(who, d, kAclDefaultName, acl, FileSystem::XattrMode::kAny));
  const Ino f = file("f", d);  // created 0666 with umask 022
  EXPECT_EQ(stat(f).mode & 0777U, 0664U);
  Result<Bytes> access = fs().get_xattr(f, kAclAccessName);
  ASSERT_TRUE(access);
  EXPECT_EQ((*Acl::parse(*access))->mode_bits(), 0664U);
  EXPECT_EQ(errno_of(fs().get_xattr(f, kAclDefaultName)), ENODATA);
  const Ino sub = dir("s", d);
  EXPECT_EQ(*fs().get_xattr(sub, kAclDefaultName), acl);
  Result<Attr> link = fs().symlink(who, d, "l", "x");
  EXPECT_EQ(errno_of(fs().get_xattr(link->ino, kAclAccessName)), ENODATA);
}

TEST_F(Names, ReadsSymlinksBack) {
  Result<Attr> link = fs().symlink(who, kRootIno, "l", "some/where");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->record.size_bytes, 10U);
  EXPECT_EQ(link->record.mode, S_IFLNK | 0777U);
  EXPECT_EQ(*fs().readlink(link->ino), "some/where");
  EXPECT_EQ(errno_of(fs().readlink(file("f"))), EINVAL);
  EXPECT_EQ(errno_of(fs().symlink(who, kRootIno, "e", "")), ENOENT);
  EXPECT_EQ(errno_of(fs().symlink(who, kRootIno, "e", Bytes(4096, 'x'))), ENAMETOOLONG);
  EXPECT_TRUE(fs().symlink(who, kRootIno, "e", Bytes(4095, 'x')));
}

TEST_F(Names, CountsHardLinks) {
  const Ino f = file("f");
  ASSERT_TRUE(fs().link(who, f, kRootIno, "g"));
  ASSERT_TRUE(fs().link(who, f, dir("d"), "h"));
  EXPECT_EQ(stat(f).nlink, 3U);
  EXPECT_EQ(fs().view()->parents(f)->size(), 3U);
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  EXPECT_EQ(stat(f).nlink, 2U);
  EXPECT_EQ(at("d/h"), f);
  EXPECT_EQ(errno_of(fs().link(who, at("d"), kRootIno, "x")), EPERM);
}

TEST_F(Names, KeepsUnlinkAndRmdirApart) {
  file("f");
  dir("d");
  EXPECT_EQ(errno_of(fs().unlink(who, kRootIno, "d")), EISDIR);
  EXPECT_EQ(errno_of(fs().rmdir(who, kRootIno, "f")), ENOTDIR);
  EXPECT_EQ(errno_of(fs().unlink(who, kRootIno, "nothing")), ENOENT);
  EXPECT_EQ(errno_of(fs().rmdir(who, kRootIno, "nothing")), ENOENT);
  file("x", at("d"));
  EXPECT_EQ(errno_of(fs().rmdir(who, kRootIno, "d")), ENOTEMPTY);
  EXPECT_EQ(errno_of(fs().make(who, at("f"), "y", {.mode = S_IFREG})), ENOTDIR);
}

TEST_F(Names, LooksUpDotAndDotDot) {
  const Ino d = dir("d");
  const Ino e = dir("e", d);
  EXPECT_EQ(fs().lookup(e, ".")->ino, e);
  EXPECT_EQ(fs().lookup(e, "..")->ino, d);
  EXPECT_EQ(fs().lookup(kRootIno, "..")->ino, kRootIno);
}

TEST_F(Names, MakesNothingInARemovedDirectory) {
  const Ino d = dir("d");
  ASSERT_TRUE(fs().open(d, false, who));
  ASSERT_TRUE(fs().rmdir(who, kRootIno, "d"));
  EXPECT_EQ(stat(d).nlink, 0U);
  EXPECT_EQ(errno_of(fs().make(who, d, "x", {.mode = S_IFREG})), ENOENT);
  EXPECT_EQ(errno_of(fs().link(who, file("f"), d, "x")), ENOENT);
  EXPECT_EQ(rename(kRootIno, "f", d, "x"), ENOENT);
  ASSERT_TRUE(fs().release(d));
  EXPECT_EQ(errno_of(fs().getattr(d)), ESTALE);
}

TEST_F(Names, SurviveACommitAndAReopen) {
  const Ino d = dir("d");
  for (int i = 0; i < 300; ++i) file("f" + std::to_string(i), d);
  store.commit();
  for (int i = 0; i < 300; i += 2) {
    ASSERT_TRUE(fs().unlink(who, d, "f" + std::to_string(i)));
  }
  store.reopen();
  std::size_t count = 0;
  ASSERT_TRUE(fs().view()->list_directory(d, 0, [&count](const View::DirectoryEntry&) {
    ++count;
    return true;
  }));
  EXPECT_EQ(count, 150U);
  const Ino next = file("new");
  EXPECT_GT(next, d + 300);  // inode numbers are never used again
}

}  // namespace
}  // namespace amberfs
