// SPDX-License-Identifier: Apache-2.0
// Line differences: which runs of lines two texts do not share, in order.
// Source:  patience diff (Bram Cohen): lines that occur once in each text are anchors, and their
//          longest common increasing run splits the texts. Log lines carry times, so nearly all of
//          them are anchors, and the cost is O(n log n). Gaps without anchors: small ones exactly,
//          by longest common subsequence; others by Myers, "An O(ND) Difference Algorithm" (1986),
//          in linear space and with a bounded number of steps: beyond it the answer is right, but
//          no longer the shortest.
// Units:   a line includes its "\n"; the last one may lack it. Bytes are compared, whatever the
//          encoding.
// Threads: free functions.
#pragma once

#include "blockstore/base/bytes.h"

#include <vector>

namespace amberfs {

[[nodiscard]] std::vector<ByteView> split_lines(ByteView text);

// before[before_begin, before_end) stands where after[after_begin, after_end) stands; either may be
// empty. Lines between hunks are equal.
struct Hunk {
  std::size_t before_begin = 0;
  std::size_t before_end = 0;
  std::size_t after_begin = 0;
  std::size_t after_end = 0;
};

[[nodiscard]] std::vector<Hunk> diff_lines(const std::vector<ByteView>& before,
                                           const std::vector<ByteView>& after);

// A unified diff of two texts, `context` lines around each change, without file headers.
[[nodiscard]] std::string unified_diff(ByteView before, ByteView after, std::size_t context);

}  // namespace amberfs
