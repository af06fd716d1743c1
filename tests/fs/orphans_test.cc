// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fs_client.h"

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;

class Orphans : public ::testing::Test, public FsClient {
 protected:
  void TearDown() override { EXPECT_EQ(store.problems(), ""); }
  bool exists(Ino ino) { return errno_of(fs().getattr(ino)) == 0; }
  void many_extents(Ino ino, unsigned count) {
    for (unsigned i = 0; i < count; ++i) write(ino, std::uint64_t{2} * i, "x");
  }
};

TEST_F(Orphans, LiveUntilTheirLastRelease) {
  const Ino f = file("f");
  write(f, 0, "data");
  ASSERT_TRUE(fs().open(f, false, who));
  ASSERT_TRUE(fs().open(f, false, who));
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  EXPECT_EQ(stat(f).nlink, 0U);
  write(f, 4, " more");
  ASSERT_TRUE(fs().release(f));
  EXPECT_EQ(read(f), "data more");
  EXPECT_EQ(errno_of(fs().link(who, f, kRootIno, "g")), ENOENT);
  ASSERT_TRUE(fs().release(f));
  EXPECT_FALSE(exists(f));
  EXPECT_EQ(store.live().totals().inode_count, 1U);
}

TEST_F(Orphans, LeaveNothingWhenNobodyHeldThem) {
  const Ino f = file("f");
  write(f, 0, "data");
  ASSERT_TRUE(fs().set_xattr(who, f, "user.a", "v", FileSystem::XattrMode::kAny));
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  EXPECT_FALSE(exists(f));
  EXPECT_EQ(extent_count(f), 0U);
  EXPECT_TRUE(fs().view()->xattr_names(f)->empty());
  EXPECT_EQ(errno_of(fs().open(f, false, who)), ESTALE);
}

TEST_F(Orphans, OfManyExtentsGoInSteps) {
  const Ino f = file("f");
  many_extents(f, 20'000);
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  EXPECT_FALSE(exists(f));
  EXPECT_EQ(extent_count(f), 0U);
  const Ino g = file("g");
  many_extents(g, 1'500);
  ASSERT_TRUE(fs().open(g, false, who));
  ASSERT_TRUE(fs().unlink(who, kRootIno, "g"));
  store.commit();
  EXPECT_EQ(extent_count(g), 1'500U);
  ASSERT_TRUE(fs().release(g));
  EXPECT_FALSE(exists(g));
  EXPECT_EQ(extent_count(g), 0U);
}

TEST_F(Orphans, AreDroppedAtTheNextCleanMount) {
  const Ino f = file("f");
  const Ino d = dir("d");
  write(f, 0, "data");
  ASSERT_TRUE(fs().open(f, false, who));
  ASSERT_TRUE(fs().open(d, false, who));
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  ASSERT_TRUE(fs().rmdir(who, kRootIno, "d"));
  store.commit();
  store.reopen();
  EXPECT_EQ(read(f), "data");  // a server that took over goes on with them
  ASSERT_TRUE(fs().drop_orphans());
  EXPECT_FALSE(exists(f));
  EXPECT_FALSE(exists(d));
}

TEST_F(Orphans, ThatAreOpenSurviveTheDropping) {
  const Ino f = file("f");
  ASSERT_TRUE(fs().open(f, false, who));
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  ASSERT_TRUE(fs().drop_orphans());
  EXPECT_TRUE(exists(f));
  ASSERT_TRUE(fs().release(f));
  EXPECT_FALSE(exists(f));
}

TEST_F(Orphans, AreKeptWhileProgramsHoldThemFromBefore) {
  const Ino f = file("f");
  write(f, 0, "data");
  store.reopen();
  fs().inherit_open(f);
  fs().inherit_open(f);
  ASSERT_TRUE(fs().unlink(who, kRootIno, "f"));
  ASSERT_TRUE(fs().drop_orphans());
  EXPECT_EQ(read(f), "data");
  ASSERT_TRUE(fs().release(f));
  EXPECT_EQ(read(f), "data");
  ASSERT_TRUE(fs().release(f));
  EXPECT_FALSE(exists(f));
}

TEST_F(Orphans, CountOpenFiles) {
  const Ino f = file("f");
  write(f, 0, "data");
  ASSERT_TRUE(fs().open(f, true, who));
  EXPECT_EQ(stat(f).size_bytes, 0U);
  ASSERT_TRUE(fs().open(f, false, who));
  EXPECT_EQ(fs().open_file_count(), 1U);
  EXPECT_EQ(fs().open_files().at(0).count, 2U);
  ASSERT_TRUE(fs().release(f));
  ASSERT_TRUE(fs().release(f));
  ASSERT_TRUE(fs().release(f));
  EXPECT_EQ(fs().open_file_count(), 0U);
  EXPECT_TRUE(exists(f));
  EXPECT_EQ(errno_of(fs().open(make(kRootIno, "p", S_IFIFO | 0600), false, who)), ENXIO);
  EXPECT_EQ(errno_of(fs().open(kRootIno, true, who)), EISDIR);
}

}  // namespace
}  // namespace amberfs
