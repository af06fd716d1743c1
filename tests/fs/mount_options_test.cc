// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/mount_point.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace amberfs {
namespace {

TEST(MountOptions, TakesWhatItKnowsAndPassesOnTheRest) {
  MountOptions options;
  ASSERT_TRUE(
      parse_mount_options("ro,show_snapshots,,noatime,max_read=65536,x-systemd.automount,"
                          "nofail,default_permissions,nodev",
                          options));
  EXPECT_TRUE(options.read_only);
  EXPECT_TRUE(options.show_snapshots);
  EXPECT_FALSE(options.debug);
  EXPECT_THAT(options.extra, ::testing::ElementsAre("noatime", "max_read=65536", "nodev"));
  ASSERT_TRUE(parse_mount_options("rw", options));
  EXPECT_FALSE(options.read_only);
}

TEST(MountOptions, NamesWhatItDoesNotKnow) {
  MountOptions options;
  const Status parsed = parse_mount_options("ro,show_snapshot", options);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, Errc::kBadRequest);
  EXPECT_EQ(parsed.error().object, "show_snapshot");
}

Errc code_of(const Result<std::string>& checked) {
  return checked ? Errc::kIo : checked.error().code;
}

TEST(MountOptions, SaysWhoMayLookAtSnapshots) {
  MountOptions options;
  ASSERT_TRUE(parse_mount_options("ro", options));
  EXPECT_FALSE(options.snapshots_for);
  ASSERT_TRUE(parse_mount_options("snapshots=root,ro", options));
  EXPECT_EQ(options.snapshots_for, SnapshotsFor::kRoot);
  ASSERT_TRUE(parse_mount_options("snapshots=none", options));
  EXPECT_EQ(options.snapshots_for, SnapshotsFor::kNone);
  for (const char* bad : {"snapshots=adm", "snapshots=", "snapshots"}) {
    const Status taken = parse_mount_options(bad, options);
    ASSERT_FALSE(taken) << bad;
    EXPECT_EQ(taken.error().code, Errc::kBadRequest);
  }
}

TEST(MountOptions, OfAnEncryptedStoreTellNothing) {
  MountOptions options;
  EXPECT_TRUE(check_tells_nothing(options, true));
  ASSERT_TRUE(parse_mount_options("noatime,debug", options));
  EXPECT_TRUE(check_tells_nothing(options, false));
  const Status checked = check_tells_nothing(options, true);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::kBadRequest);
}

TEST(MountPoint, RefusesWhatWouldHideOrHoldTheStore) {
  const testing::TempDir directory;
  const std::string store = directory / "store";
  const std::string point = directory / "point";
  ::mkdir(store.c_str(), 0700);
  ::mkdir((store + "/packs").c_str(), 0700);
  ::mkdir(point.c_str(), 0700);
  ASSERT_EQ(::symlink(store.c_str(), (directory / "link").c_str()), 0);
  ASSERT_EQ(::symlink("/dev/null", (directory / "file").c_str()), 0);
  EXPECT_TRUE(check_mount_point(store, point));
  EXPECT_EQ(check_mount_point(store, directory / "point/../point/.").value(), point);
  for (const std::string& bad :
       {store, store + "/packs", directory / "link", directory / "link/packs", directory.path(),
        directory / "none", directory / "file", std::string("/")}) {
    EXPECT_EQ(code_of(check_mount_point(store, bad)), Errc::kBadMountPoint) << bad;
  }
}

TEST(MountPoint, FindsMountsAndTheirDevice) {
  const auto found = find_mount("/proc");
  struct stat status {};
  ASSERT_EQ(::stat("/proc", &status), 0);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->type, "proc");
  EXPECT_EQ(found->number, status.st_dev);
  EXPECT_FALSE(find_mount("/proc/self"));
}

}  // namespace
}  // namespace amberfs
