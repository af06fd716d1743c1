// SPDX-License-Identifier: Apache-2.0
// Where bytes go while a file shrinks under its writers. The
// requests themselves need a kernel: fuse_change_test.cc, fuse_mount_test.cc.
#include "fs/fuse/held_files.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

TEST(HeldFiles, LeavesOtherFilesAlone) {
  HeldFiles held;
  EXPECT_FALSE(held.any());
  held.expect(5, 1);
  EXPECT_TRUE(held.any());
  for (const Ino ino : {Ino{5}, Ino{6}}) {  // 5 is expected, but not held yet
    const auto pieces = held.place_write(ino, {100, 50}, true);
    ASSERT_EQ(pieces.size(), 1U);
    EXPECT_EQ(pieces[0].skip, 0U);
    EXPECT_EQ(pieces[0].size, 50U);
    EXPECT_EQ(pieces[0].offset, 100U);
  }
  held.forget(5);
  EXPECT_FALSE(held.any());
}

TEST(HeldFiles, WaitsNotForAFileWhoseHolderFailed) {
  HeldFiles held;
  held.expect(5, 1);
  held.fail_held(5);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(held.wait_for(5, HeldFiles::State::kHeld, begin + std::chrono::seconds(60)));
  EXPECT_FALSE(held.wait_for(6, HeldFiles::State::kHeld, begin + std::chrono::milliseconds(5)));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

}  // namespace
}  // namespace amberfs
