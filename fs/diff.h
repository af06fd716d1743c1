// SPDX-License-Identifier: Apache-2.0
// Diff: what differs between two views of the file system, as paths.
// Flow:    diff_trees(two roots) → changed inodes → their paths by PARENT entries → content
// compared
//          by extents first, by bytes only where extents differ. Time is proportional to what
//          changed; a renamed directory is one entry.
// Threads: any; both views must be snapshots or committed (no overlay).
// Errors:  those of tree and blocks; damaged content of one file is reported in its entry.
#pragma once

#include "fs/extent_read.h"
#include "fs/view.h"

#include <optional>
#include <string>
#include <vector>

namespace amberfs {

enum class ChangeKind {
  kAdded,
  kRemoved,
  kGrown,      // the old content is a prefix of the new
  kTruncated,  // the new content is a prefix of the old
  kRewritten,
  kRenamed,     // from_path says from where; content unchanged
  kAttributes,  // owner, mode, times or extended attributes
  kType,        // a file where a directory was, …
};
[[nodiscard]] const char* change_name(ChangeKind kind);

struct PathChange {
  Bytes path;
  ChangeKind kind = ChangeKind::kAdded;
  Bytes from_path;         // kRenamed; also set when a renamed file changed besides
  std::uint32_t mode = 0;  // with the type; of the newer side that has it
  std::uint64_t size_before = 0;
  std::uint64_t size_after = 0;
  Ino ino_before = kNoIno;
  Ino ino_after = kNoIno;
  std::string detail;  // "mode 0644 → 0600"
};

struct DiffSides {
  const View& before;
  const View& after;
};

// Sorted by path. `filters`: only paths that are one of them, below one of them, or match one as a
// glob; empty: everything.
[[nodiscard]] Result<std::vector<PathChange>> diff_views(Blocks& blocks, const DiffSides& sides,
                                                         const DataReader& data,
                                                         const std::vector<std::string>& filters);

[[nodiscard]] bool passes_filters(const std::vector<std::string>& filters, ByteView path);

}  // namespace amberfs
