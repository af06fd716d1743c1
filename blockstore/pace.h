// SPDX-License-Identifier: Apache-2.0
// Pace: holds work that is in no hurry to a rate, and tells it when to stop.
// Units:   bytes, bytes a second.
// Threads: of one piece of work, so one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

namespace amberfs {

class Pace {
 public:
  Pace() = default;
  // 0: as fast as it goes. `keep_going` (may be empty) is asked between steps.
  Pace(std::uint64_t bytes_per_s, std::function<bool()> keep_going)
      : bytes_per_s_(bytes_per_s), keep_going_(std::move(keep_going)) {}

  // After so many bytes were looked at: waits while the work is ahead of its rate. False: stop.
  [[nodiscard]] bool took(std::uint64_t bytes) {
    using std::chrono::duration;
    if (bytes_per_s_ > 0) {
      // What it may do is not saved up while it does nothing.
      const auto now = Clock::now();
      const duration<double> share(static_cast<double>(bytes) / static_cast<double>(bytes_per_s_));
      free_at_ = std::max(free_at_, now) + std::chrono::duration_cast<Clock::duration>(share);
      while (goes_on() && Clock::now() < free_at_) {
        std::this_thread::sleep_for(std::min<Clock::duration>(kStep, free_at_ - Clock::now()));
      }
    }
    return goes_on();
  }
  [[nodiscard]] bool goes_on() const { return !keep_going_ || keep_going_(); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kStep{50};  // so that it stops soon when told to

  std::uint64_t bytes_per_s_ = 0;
  std::function<bool()> keep_going_;
  Clock::time_point free_at_{};
};

}  // namespace amberfs
