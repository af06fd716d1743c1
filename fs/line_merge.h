// SPDX-License-Identifier: Apache-2.0
// Line merge: brings back the lines that a log lost. What the snapshot has and the live file lacks
// is put back in its place; lines written since stay.
//
// Where live lines stand in place of lost ones, the lost come first, then the live ones, except
// live lines that are damage: they hold NUL or other control bytes that no log line has, or are the
// beginning of a lost line that was cut off. Those go, and are counted.
// Threads: a free function.
#pragma once

#include "blockstore/base/bytes.h"

#include <string>

namespace amberfs {

struct LineMerge {
  Bytes text;  // the merged content
  std::uint64_t lines_restored = 0;
  std::uint64_t damaged_lines_dropped = 0;
};

struct LineMergeOptions {
  bool drop_damaged = true;  // false: damage stays, behind the lines that were lost there
};

[[nodiscard]] LineMerge merge_lines(ByteView snapshot, ByteView live,
                                    const LineMergeOptions& options = {});

}  // namespace amberfs
