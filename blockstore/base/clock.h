// SPDX-License-Identifier: Apache-2.0
// The time of day, as everything on disk has it: nanoseconds since 1970, UTC.
#pragma once

#include <time.h>

#include <cstdint>

namespace amberfs {

[[nodiscard]] inline std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace amberfs
