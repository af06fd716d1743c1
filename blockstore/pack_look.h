// SPDX-License-Identifier: Apache-2.0
// Looking at one pack: whether everything in it passes its own checks: header, frames, footer.
// Flow:    parity is made only of a pack that is sound; heal asks before and after (pack_heal.h).
// Threads: free functions; beside readers, and beside appends behind `length`.
// Errors:  damage is in the result; an Error is kNewerFormat.
// Format:  docs/format/pack.md.
#pragma once

#include "blockstore/pace.h"
#include "blockstore/pack_scan.h"

#include <functional>

namespace amberfs {

struct PackLook {
  std::string header_error;    // "" when it is valid
  std::string footer_error;    // "" when it is valid, or the pack has none
  std::vector<FrameGap> gaps;  // bytes in no valid frame, in order; what is missing at the end too
  std::uint64_t excess = 0;    // bytes of the file behind `length`, of a sealed pack
  bool stopped = false;        // by its pace: the rest was not looked at
  std::uint64_t stopped_at = 0;  // a frame begins here

  [[nodiscard]] bool is_sound() const {
    return !stopped && header_error.empty() && footer_error.empty() && gaps.empty() && excess == 0;
  }
  // All of it as ranges of the file, in order.
  [[nodiscard]] std::vector<FrameGap> damage(std::uint64_t length) const;
};

struct PackToLookAt {
  PackId id{};
  std::uint64_t length = 0;  // that was published
  bool sealed = false;
  std::uint64_t begin = 0;  // a frame to begin with; below the first: all
};

[[nodiscard]] Result<PackLook> look_at_pack(
    File& file, const PackToLookAt& pack, Pace& pace,
    const std::function<void(std::uint64_t)>& progress = {});

// Whether every byte of `inner` is in `outer`; both in order.
[[nodiscard]] bool is_within(const std::vector<FrameGap>& inner,
                             const std::vector<FrameGap>& outer);

}  // namespace amberfs
