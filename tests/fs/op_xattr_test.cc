// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"
#include "tests/support/fs_client.h"

#include <gmock/gmock.h>

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;
using Mode = FileSystem::XattrMode;

class Xattrs : public ::testing::Test, public FsClient {
 protected:
  void TearDown() override { EXPECT_EQ(store.problems(), ""); }
  int set(Ino ino, ByteView name, ByteView value, Mode mode = Mode::kAny) {
    return errno_of(fs().set_xattr(who, ino, name, value, mode));
  }
};

const Bytes kMinimalAcl(
    "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff"
    "\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff",
    28);
const Bytes kNamedAcl(
    "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x06\0\xe9\x03\0\0"
    "\x04\0\x04\0\xff\xff\xff\xff\x10\0\x06\0\xff\xff\xff\xff"
    "\x20\0\x00\0\xff\xff\xff\xff",
    44);

TEST_F(Xattrs, KeepAnyBytes) {
  const Ino f = file("f");
  const Bytes value("a\0b", 3);
  EXPECT_EQ(set(f, "user.a", value), 0);
  EXPECT_EQ(set(f, "trusted.b", ""), 0);
  EXPECT_EQ(set(f, "security.c", Bytes(64 * kKiB, 'v')), 0);
  store.commit();
  store.reopen();
  EXPECT_EQ(*fs().get_xattr(f, "user.a"), value);
  EXPECT_EQ(*fs().get_xattr(f, "trusted.b"), "");
  EXPECT_EQ(fs().get_xattr(f, "security.c")->size(), 64 * kKiB);
  EXPECT_THAT(*fs().list_xattrs(f),
              ::testing::UnorderedElementsAre("user.a", "trusted.b", "security.c"));
  EXPECT_TRUE(fs().remove_xattr(who, f, "user.a"));
  EXPECT_EQ(errno_of(fs().get_xattr(f, "user.a")), ENODATA);
  EXPECT_EQ(errno_of(fs().remove_xattr(who, f, "user.a")), ENODATA);
}

TEST_F(Xattrs, HonourCreateAndReplace) {
  const Ino f = file("f");
  EXPECT_EQ(set(f, "user.a", "1", Mode::kReplace), ENODATA);
  EXPECT_EQ(set(f, "user.a", "1", Mode::kCreate), 0);
  EXPECT_EQ(set(f, "user.a", "2", Mode::kCreate), EEXIST);
  EXPECT_EQ(set(f, "user.a", "3", Mode::kReplace), 0);
  EXPECT_EQ(*fs().get_xattr(f, "user.a"), "3");
}

TEST_F(Xattrs, HaveLimits) {
  const Ino f = file("f");
  EXPECT_EQ(set(f, "user." + Bytes(250, 'n'), "v"), 0);
  EXPECT_EQ(set(f, "user." + Bytes(251, 'n'), "v"), ERANGE);
  EXPECT_EQ(set(f, "user.a", Bytes(64 * kKiB + 1, 'v')), E2BIG);
  EXPECT_EQ(set(f, "user.", "v"), EINVAL);
  EXPECT_EQ(set(f, "other.a", "v"), EOPNOTSUPP);
  EXPECT_EQ(set(f, "system.foo", "v"), EOPNOTSUPP);
  EXPECT_EQ(errno_of(fs().get_xattr(f, "other.a")), EOPNOTSUPP);
  EXPECT_EQ(set(make(kRootIno, "p", S_IFIFO | 0600), "user.a", "v"), EPERM);
  EXPECT_EQ(set(4711, "user.a", "v"), ESTALE);
  EXPECT_EQ(errno_of(fs().list_xattrs(4711)), ESTALE);
  int result = 0;
  int count = 0;
  for (; result == 0 && count < 1000; ++count) {
    result = set(f, "user." + std::to_string(count) + Bytes(200, 'n'), "");
  }
  EXPECT_EQ(result, ENOSPC);  // what listxattr could not return
}

TEST_F(Xattrs, StampTheChangeTime) {
  const Ino f = file("f");
  SetAttr old;
  old.ctime = Timestamp{1, 0};
  ASSERT_TRUE(fs().setattr(who, f, old));
  EXPECT_EQ(set(f, "user.a", "v"), 0);
  EXPECT_GT(stat(f).ctime.seconds, 1);
}

TEST_F(Xattrs, PutAMinimalAclIntoTheMode) {
  const Ino f = file("f");
  EXPECT_EQ(set(f, kAclAccessName, kNamedAcl), 0);
  EXPECT_EQ(stat(f).mode & 0777U, 0660U);
  EXPECT_EQ(*fs().get_xattr(f, kAclAccessName), kNamedAcl);
  EXPECT_EQ(set(f, kAclAccessName, kMinimalAcl), 0);
  EXPECT_EQ(stat(f).mode & 0777U, 0644U);
  EXPECT_EQ(errno_of(fs().get_xattr(f, kAclAccessName)), ENODATA);
}

TEST_F(Xattrs, KeepDefaultAclsOnDirectoriesOnly) {
  const Ino d = dir("d");
  EXPECT_EQ(set(file("f"), kAclDefaultName, kNamedAcl), EACCES);
  EXPECT_EQ(set(d, kAclDefaultName, kMinimalAcl), 0);
  EXPECT_EQ(*fs().get_xattr(d, kAclDefaultName), kMinimalAcl);
  EXPECT_EQ(stat(d).mode & 0777U, 0755U);
  EXPECT_TRUE(fs().remove_xattr(who, d, kAclDefaultName));
  EXPECT_TRUE(fs().remove_xattr(who, d, kAclDefaultName));
  EXPECT_EQ(set(d, kAclDefaultName, "nonsense"), EOPNOTSUPP);
  EXPECT_EQ(set(d, kAclDefaultName, kNamedAcl.substr(0, 30)), EINVAL);
  EXPECT_EQ(set(fs().symlink(who, kRootIno, "l", "x")->ino, kAclAccessName, kNamedAcl), EOPNOTSUPP);
}

}  // namespace
}  // namespace amberfs
