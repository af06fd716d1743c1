// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"
#include "tests/support/fs_client.h"

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;

class Attributes : public ::testing::Test, public FsClient {
 protected:
  void TearDown() override { EXPECT_EQ(store.problems(), ""); }
  void chown(Ino ino, std::uint32_t uid) {
    SetAttr set;
    set.uid = uid;
    EXPECT_TRUE(fs().setattr(who, ino, set));
  }
};

TEST_F(Attributes, KeepTheTypeWhenTheModeChanges) {
  const Ino f = file("f");
  chmod(f, 07654);
  EXPECT_EQ(stat(f).mode, S_IFREG | 07654U);
}

TEST_F(Attributes, StampTheChangeTimeWithEveryChange) {
  const Ino f = file("f");
  SetAttr old;
  old.ctime = old.mtime = old.atime = Timestamp{5, 999'999'999};
  ASSERT_TRUE(fs().setattr(who, f, old));
  EXPECT_EQ(stat(f).ctime, (Timestamp{5, 999'999'999}));
  SetAttr nothing;
  ASSERT_TRUE(fs().setattr(who, f, nothing));
  EXPECT_EQ(stat(f).ctime.seconds, 5);
  SetAttr access;
  access.atime = Timestamp{-7, 1};
  ASSERT_TRUE(fs().setattr(who, f, access));
  EXPECT_EQ(stat(f).atime, (Timestamp{-7, 1}));
  EXPECT_EQ(stat(f).mtime.seconds, 5);
  EXPECT_GT(stat(f).ctime.seconds, 5);
}

TEST_F(Attributes, LosePrivilegeBitsWithTheOwner) {
  const Ino f = file("f");
  chmod(f, 06755);
  ASSERT_TRUE(fs().set_xattr(who, f, "security.capability", "caps", FileSystem::XattrMode::kAny));
  chown(f, 7);
  EXPECT_EQ(stat(f).mode & 07777U, 0755U);
  EXPECT_EQ(errno_of(fs().get_xattr(f, "security.capability")), ENODATA);
  chmod(f, 06745);  // mandatory locking, not a privilege
  chown(f, 8);
  EXPECT_EQ(stat(f).mode & 07777U, 02745U);
  const Ino d = dir("d");
  chmod(d, 06755);
  chown(d, 7);
  EXPECT_EQ(stat(d).mode & 07777U, 06755U);
}

TEST_F(Attributes, LosePrivilegeBitsWithASizeWhenTheKernelSaysSo) {
  const Ino f = file("f");
  chmod(f, 06755);
  resize(f, 10);
  EXPECT_EQ(stat(f).mode & 07777U, 06755U);
  SetAttr set;
  set.size_bytes = 5;
  set.kill_suid_sgid = true;
  ASSERT_TRUE(fs().setattr(who, f, set));
  EXPECT_EQ(stat(f).mode & 07777U, 0755U);
}

TEST_F(Attributes, KeepTheAclInStepWithTheMode) {
  const Ino f = file("f");
  // u::rw-, u:1001:rw-, g::r--, m::rw-, o::---
  const Bytes acl(
      "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x06\0\xe9\x03\0\0"
      "\x04\0\x04\0\xff\xff\xff\xff\x10\0\x06\0\xff\xff\xff\xff"
      "\x20\0\x00\0\xff\xff\xff\xff",
      44);
  ASSERT_TRUE(fs().set_xattr(who, f, kAclAccessName, acl, FileSystem::XattrMode::kAny));
  EXPECT_EQ(stat(f).mode & 0777U, 0660U);
  chmod(f, 0641);
  auto changed = *Acl::parse(*fs().get_xattr(f, kAclAccessName));
  EXPECT_EQ(changed->mode_bits(), 0641U);
}

TEST_F(Attributes, ReadAsZerosWhatWasCutOffAndGrownAgain) {
  const Ino f = file("f");
  write(f, 0, "0123456789");
  resize(f, 4);
  EXPECT_EQ(read(f), "0123");
  resize(f, 8);
  EXPECT_EQ(read(f), Bytes("0123\0\0\0\0", 8));
  store.commit();
  store.reopen();
  EXPECT_EQ(read(f), Bytes("0123\0\0\0\0", 8));
}

TEST_F(Attributes, RefuseSizesThatCannotBe) {
  SetAttr set;
  set.size_bytes = kFileSizeMax + 1;
  EXPECT_EQ(errno_of(fs().setattr(who, file("f"), set)), EFBIG);
  set.size_bytes = kFileSizeMax;
  EXPECT_TRUE(fs().setattr(who, at("f"), set));
  set.size_bytes = 0;
  EXPECT_EQ(errno_of(fs().setattr(who, kRootIno, set)), EISDIR);
  EXPECT_EQ(errno_of(fs().setattr(who, make(kRootIno, "p", S_IFIFO | 0600), set)), EINVAL);
  EXPECT_EQ(errno_of(fs().setattr(who, 4711, set)), ESTALE);
}

// More extents than one batch may remove: the way down goes in steps from the end.
TEST_F(Attributes, CutAFileOfManyExtents) {
  constexpr std::uint64_t kExtents = 40'000;
  const Ino f = file("f");
  const Ino model = file("model");
  write(model, 0, "xy");
  for (std::uint64_t i = 0; i < kExtents; ++i) write(f, 2 * i, "x");
  EXPECT_EQ(extent_count(f), kExtents);
  resize(f, 7);
  EXPECT_EQ(extent_count(f), 4U);
  resize(f, 100);
  EXPECT_EQ(read(f), Bytes("x\0x\0x\0x", 7) + Bytes(93, '\0'));
}

}  // namespace
}  // namespace amberfs
