// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fs_client.h"

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;

class Rename : public ::testing::Test, public FsClient {
 protected:
  void TearDown() override { EXPECT_EQ(store.problems(), ""); }
};

TEST_F(Rename, MovesAFileAndStampsWhatItTouches) {
  const Ino a = dir("a");
  const Ino b = dir("b");
  const Ino f = file("f", a);
  SetAttr old;
  old.mtime = old.ctime = Timestamp{1, 0};
  for (Ino ino : {a, b, f}) ASSERT_TRUE(fs().setattr(who, ino, old));
  EXPECT_EQ(rename(a, "f", b, "g"), 0);
  EXPECT_EQ(at("b/g"), f);
  EXPECT_EQ(at("a/f"), kNoIno);
  for (Ino ino : {a, b}) EXPECT_GT(stat(ino).mtime.seconds, 1);
  EXPECT_EQ(stat(f).mtime.seconds, 1);
  EXPECT_GT(stat(f).ctime.seconds, 1);
}

TEST_F(Rename, ReplacesAFile) {
  const Ino f = file("f");
  const Ino g = file("g");
  write(g, 0, "old");
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "g"), 0);
  EXPECT_EQ(at("g"), f);
  EXPECT_EQ(errno_of(fs().getattr(g)), ESTALE);
}

TEST_F(Rename, KeepsTheOtherNamesOfWhatItReplaces) {
  const Ino g = file("g");
  ASSERT_TRUE(fs().link(who, g, kRootIno, "h"));
  file("f");
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "g"), 0);
  EXPECT_EQ(stat(g).nlink, 1U);
  EXPECT_EQ(at("h"), g);
}

TEST_F(Rename, CountsSubdirectoriesOfBothParents) {
  const Ino a = dir("a");
  const Ino b = dir("b");
  const Ino d = dir("d", a);
  EXPECT_EQ(rename(a, "d", b, "d"), 0);
  EXPECT_EQ(stat(a).nlink, 2U);
  EXPECT_EQ(stat(b).nlink, 3U);
  dir("d", a);
  EXPECT_EQ(rename(b, "d", a, "d"), 0);  // over an empty directory
  EXPECT_EQ(at("a/d"), d);
  EXPECT_EQ(stat(a).nlink, 3U);
  EXPECT_EQ(stat(b).nlink, 2U);
  dir("e", a);
  EXPECT_EQ(rename(a, "d", a, "e"), 0);  // within one parent
  EXPECT_EQ(stat(a).nlink, 3U);
}

TEST_F(Rename, RefusesWhatDoesNotFit) {
  file("f");
  const Ino d = dir("d");
  const Ino e = dir("e");
  file("x", e);
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "d"), EISDIR);
  EXPECT_EQ(rename(kRootIno, "d", kRootIno, "f"), ENOTDIR);
  EXPECT_EQ(rename(kRootIno, "d", kRootIno, "e"), ENOTEMPTY);
  EXPECT_EQ(rename(kRootIno, "no", kRootIno, "e"), ENOENT);
  const Ino sub = dir("sub", d);
  EXPECT_EQ(rename(kRootIno, "d", d, "x"), EINVAL);
  EXPECT_EQ(rename(kRootIno, "d", sub, "x"), EINVAL);
  EXPECT_EQ(rename(kRootIno, "d", d, "sub"), EINVAL);
  EXPECT_EQ(rename(d, "sub", kRootIno, "d"), ENOTEMPTY);
}

TEST_F(Rename, DoesNothingBetweenNamesOfOneFile) {
  const Ino f = file("f");
  ASSERT_TRUE(fs().link(who, f, kRootIno, "g"));
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "g"), 0);
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "f"), 0);
  EXPECT_EQ(at("f"), f);
  EXPECT_EQ(at("g"), f);
}

TEST_F(Rename, DoesNotReplaceWhenAskedNotTo) {
  const Ino f = file("f");
  file("g");
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "g", RenameFlags::kNoReplace), EEXIST);
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "h", RenameFlags::kNoReplace), 0);
  EXPECT_EQ(at("h"), f);
}

TEST_F(Rename, ExchangesAFileAndADirectoryAcrossParents) {
  const Ino a = dir("a");
  const Ino b = dir("b");
  const Ino d = dir("d", a);
  const Ino f = file("f", b);
  EXPECT_EQ(rename(a, "d", b, "f", RenameFlags::kExchange), 0);
  EXPECT_EQ(at("a/d"), f);
  EXPECT_EQ(at("b/f"), d);
  EXPECT_EQ(stat(a).nlink, 2U);
  EXPECT_EQ(stat(b).nlink, 3U);
  EXPECT_EQ(rename(a, "d", b, "f", RenameFlags::kExchange), 0);
  EXPECT_EQ(at("a/d"), d);
  EXPECT_EQ(rename(a, "d", b, "none", RenameFlags::kExchange), ENOENT);
}

TEST_F(Rename, RefusesExchangesThatMakeALoop) {
  const Ino a = dir("a");
  const Ino b = dir("b", a);
  const Ino c = dir("c", b);
  EXPECT_EQ(rename(kRootIno, "a", b, "c", RenameFlags::kExchange), EINVAL);
  EXPECT_EQ(rename(b, "c", kRootIno, "a", RenameFlags::kExchange), EINVAL);
  EXPECT_EQ(at("a/b/c"), c);
}

TEST_F(Rename, KeepsAnOpenFileThatItReplaced) {
  const Ino g = file("g");
  write(g, 0, "still here");
  ASSERT_TRUE(fs().open(g, false, who));
  file("f");
  EXPECT_EQ(rename(kRootIno, "f", kRootIno, "g"), 0);
  EXPECT_EQ(read(g), "still here");
  EXPECT_EQ(stat(g).nlink, 0U);
  ASSERT_TRUE(fs().release(g));
  EXPECT_EQ(errno_of(fs().getattr(g)), ESTALE);
}

}  // namespace
}  // namespace amberfs
