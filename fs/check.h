// SPDX-License-Identifier: Apache-2.0
// Check: whether a View holds a consistent file system (what fsck is to others): every name leads
// to an inode and back, link counts and sizes are right, extents neither overlap nor pass the end,
// nothing is out of reach, totals can be compared.
// Flow:    amberfs verify, tests → check_view(view of a snapshot or a quiet live view).
// Threads: any; the view must not change meanwhile.
// Memory:  a few words per directory (their way up to the root is proved at the end); all else is
//          one pass over the map with look-ups beside it.
// Errors:  what reading the view returns (kCorrupt, kBlockMissing). Inconsistencies are findings,
//          not errors.
#pragma once

#include "fs/view.h"
#include "snapshot/manifest.h"

#include <string>
#include <vector>

namespace amberfs {

struct CheckFinding {
  Ino ino = kNoIno;
  std::string what;
};

struct CheckOptions {
  std::size_t findings_max = 1000;  // more are counted, not kept
  bool journal_extents = true;      // false: a snapshot, whose bytes all stand in blocks
};

struct CheckReport {
  std::vector<CheckFinding> findings;
  std::uint64_t finding_count = 0;
  TreeTotals totals;  // as counted
  std::uint64_t orphan_count = 0;
  std::uint64_t evidence_count = 0;
};

[[nodiscard]] Result<CheckReport> check_view(const View& view, const CheckOptions& options = {});

}  // namespace amberfs
