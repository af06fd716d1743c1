// SPDX-License-Identifier: Apache-2.0
// Space on a disk whose size the test chooses: 64 MiB, of which the reserve takes its part.
#include "fs/space.h"

#include "tests/support/pass_io.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

namespace amberfs {
namespace {

constexpr std::uint64_t kTotal = 64 * kMiB;
constexpr std::uint64_t kSegment = 2 * kMiB;
constexpr std::uint64_t kDirty = 1 * kMiB;
constexpr std::uint64_t kFloor = 2 * kDirty + kSegment + kMiB;

// A disk of kTotal bytes; `used` is what others have of it.
class SmallDisk final : public testing::PassIo {
 public:
  SmallDisk(Io& below, std::string reserve) : PassIo(below), reserve_(std::move(reserve)) {}
  std::uint64_t used = 0;

  Result<DiskSpace> disk_space(const std::string&) override {
    std::error_code none;
    const auto size = std::filesystem::file_size(reserve_, none);
    const std::uint64_t held = none ? 0 : size;
    const std::uint64_t available = kTotal - std::min(kTotal, used + held);
    return DiskSpace{kTotal, available, available};
  }

 private:
  const std::string reserve_;
};

class SpaceTest : public ::testing::Test {
 protected:
  void start() {
    space_.start(kDirty, [this] {
      ++relieved_;
      if (relief_) relief_();
    });
  }
  void use(std::uint64_t bytes) {
    disk_.used = bytes;
    space_.refresh();
  }
  // Uses the disk up to so much for new data.
  void leave(std::uint64_t headroom) {
    use(kTotal - report().reserve_bytes - kFloor - pending_ - headroom);
  }
  SpaceReport report() { return space_.refresh(); }

  testing::TempDir dir_;
  std::unique_ptr<Io> posix_ = make_posix_io();
  SmallDisk disk_{*posix_, dir_ / "reserve"};
  std::uint64_t pending_ = 0;
  int relieved_ = 0;
  std::function<void()> relief_;
  Space space_{disk_, dir_.path(), {.reserve_bytes = 0, .segment_bytes = kSegment}, [this] {
                 return pending_;
               }};
};

TEST_F(SpaceTest, RefusesNothingBeforeItIsStarted) {
  use(kTotal);
  EXPECT_TRUE(space_.admit(kMiB));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "reserve"));
}

TEST_F(SpaceTest, KeepsEnoughForThePagesOfTheKernel) {
  start();
  EXPECT_GE(report().reserve_bytes, kDirty + kSegment);
  EXPECT_EQ(report().reserve_bytes, report().reserve_wanted_bytes);
  EXPECT_EQ(report().floor_bytes, kFloor);
  EXPECT_EQ(report().state, SpaceState::kOk);
}

TEST_F(SpaceTest, RefusesNewDataBeforeTheFloorIsTouched) {
  start();
  leave(100);
  EXPECT_TRUE(space_.admit(1));
  EXPECT_EQ(report().state, SpaceState::kLow);
  leave(0);
  const Status refused = space_.admit(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kNoSpace);
  EXPECT_EQ(refused.error().to_errno(), ENOSPC);
  EXPECT_GE(report().available_bytes, kFloor);
}

TEST_F(SpaceTest, CountsWhatACommitWillNeed) {
  start();
  leave(10 * kMiB);
  pending_ = 10 * kMiB;
  space_.refresh();
  EXPECT_FALSE(space_.admit(1));
}

TEST_F(SpaceTest, MakesRoomBeforeItRefuses) {
  start();
  leave(10 * kMiB);
  pending_ = 10 * kMiB;
  relief_ = [this] { pending_ = 0; };
  space_.refresh();
  EXPECT_TRUE(space_.admit(1));
  EXPECT_EQ(relieved_, 1);
}

TEST_F(SpaceTest, DoesNotCommitAgainAndAgainForNothing) {
  start();
  leave(0);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(space_.admit(1));
  EXPECT_EQ(relieved_, 0);  // nothing is pending
  pending_ = 4 * kMiB;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(space_.admit(1));
  EXPECT_LE(relieved_, 2);  // it did not help the first time
}

TEST_F(SpaceTest, IsFullUntilTheReserveIsWholeAgain) {
  start();
  EXPECT_TRUE(space_.spend());
  EXPECT_FALSE(space_.spend());
  EXPECT_EQ(std::filesystem::file_size(dir_ / "reserve"), 0U);
  EXPECT_EQ(report().state, SpaceState::kFull);
  use(kTotal - 2 * kMiB);
  space_.refill();
  EXPECT_EQ(report().reserve_bytes, 0U);  // all of it or nothing
  use(0);
  space_.refill();
  EXPECT_EQ(report().state, SpaceState::kOk);
  EXPECT_TRUE(space_.admit(1));
}

TEST_F(SpaceTest, DoesNotFlickerAtTheBorder) {
  start();
  leave(0);
  EXPECT_FALSE(space_.admit(1));
  leave(kFloor / 8);
  EXPECT_EQ(report().state, SpaceState::kFull);
  leave(kFloor / 2);
  EXPECT_EQ(report().state, SpaceState::kLow);
}

TEST_F(SpaceTest, LatePagesMayHaveTheFloor) {
  start();
  leave(0);
  EXPECT_FALSE(space_.admit(1));
  for (std::uint64_t done = 0; done < 2 * kDirty; done += 64 * kKiB) {
    EXPECT_TRUE(space_.admit_late(64 * kKiB));
    disk_.used += 64 * kKiB;
  }
}

TEST_F(SpaceTest, LatePagesMayHaveOfTheReserveWhatTheKernelMayHold) {
  start();
  use(kTotal);  // by someone else, at once
  EXPECT_TRUE(space_.admit_late(kDirty));
  const Status refused = space_.admit_late(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().to_errno(), ENOSPC);
  use(0);
  EXPECT_TRUE(space_.admit_late(1));
  use(kTotal);
  EXPECT_TRUE(space_.admit_late(kDirty));  // the next time, again
}

TEST_F(SpaceTest, SaysWhenTheKernelMustAsk) {
  int changes = 0;
  space_.on_tight_change([&] { ++changes; });
  start();
  space_.refresh();
  EXPECT_FALSE(space_.is_tight());
  leave(kFloor);
  EXPECT_TRUE(space_.is_tight());
  EXPECT_EQ(changes, 1);
  EXPECT_TRUE(space_.admit(1));  // well before it is full
  use(0);
  EXPECT_FALSE(space_.is_tight());
  EXPECT_EQ(changes, 2);
}

TEST_F(SpaceTest, TakesOverAReserveThatIsThere) {
  start();
  const std::uint64_t size = report().reserve_bytes;
  use(kTotal - size);
  Space next(disk_, dir_.path(), {.reserve_bytes = 0, .segment_bytes = kSegment},
             [] { return std::uint64_t{0}; });
  ASSERT_TRUE(next.open());
  next.start(kDirty, nullptr);
  EXPECT_EQ(next.refresh().reserve_bytes, size);
  EXPECT_TRUE(next.spend());
}

TEST_F(SpaceTest, KeepsTheReserveThatIsAskedFor) {
  Space asked(disk_, dir_.path(), {.reserve_bytes = 7 * kMiB, .segment_bytes = kSegment},
              [] { return std::uint64_t{0}; });
  asked.start(kDirty, nullptr);
  EXPECT_EQ(asked.refresh().reserve_bytes, 7 * kMiB);
}

}  // namespace
}  // namespace amberfs
