// SPDX-License-Identifier: Apache-2.0
// The seed of a random test: AMBERFS_SEED if set, else a new one. Printed, so that a failure can
// be run again.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace amberfs::testing {

inline std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("AMBERFS_SEED");
    const std::uint64_t value =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::printf("AMBERFS_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return seed;
}

}  // namespace amberfs::testing
