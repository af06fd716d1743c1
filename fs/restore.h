// SPDX-License-Identifier: Apache-2.0
// Restore: paths take a snapshot's content again, by sharing its blocks. It becomes visible by one
// batch, so there is never a half; what it replaces stays in the snapshot taken just before.
// Flow:    service → select_paths → plan (which files) → MountHooks::change_files: snapshot of now
// →
//          one Batch → kernel caches refreshed.
// Keeps:   the inode of a file that is still there, so who has it open goes on with it. What the
//          live tree has and the snapshot has not stays, unless `exact`.
// Threads: one restore at a time; names are held still meanwhile.
// Errors:  kNoSuchPath, kUnsupported when it does not fit one batch, kFilesOpen when programs keep
//          changing the paths (nothing was restored then); store errors.
#pragma once

#include "fs/engine.h"

#include <string>
#include <vector>

namespace amberfs {

struct RestoreRequest {
  std::vector<std::string> paths;  // normal paths or globs
  bool exact = false;              // remove what the snapshot's directories do not have
  bool dry_run = false;
};

struct RestoreResult {
  Manifest before;              // the snapshot that keeps what was replaced
  std::vector<Bytes> restored;  // files whose content or attributes were put back
  std::vector<Bytes> created;   // paths that were missing
  std::vector<Bytes> removed;   // `exact` only, and what was another file
  std::vector<Bytes> kept;      // in restored directories, but not in the snapshot; not `exact`
  std::uint64_t unchanged = 0;  // paths that were as in the snapshot already
};

[[nodiscard]] Result<RestoreResult> restore_paths(Engine& engine, const Manifest& snapshot,
                                                  const RestoreRequest& request);

struct LineRestoreResult {
  Manifest before;
  std::uint64_t lines_restored = 0;
  std::uint64_t damaged_lines_dropped = 0;
  std::uint64_t size_before = 0;
  std::uint64_t size_after = 0;
};

// Puts lost lines of one file back (fs/line_merge.h). Lines that programs append meanwhile stay.
// kUnsupported for files that do not fit kLineRestoreBytesMax together.
constexpr std::uint64_t kLineRestoreBytesMax = 1 * kGiB;
struct LineRestoreOptions {
  bool dry_run = false;
  bool drop_damaged = true;  // live lines that are damage in place of lost ones
};
[[nodiscard]] Result<LineRestoreResult> restore_lines(Engine& engine, const Manifest& snapshot,
                                                      const std::string& path,
                                                      const LineRestoreOptions& options);
// The regular files, there on both sides, that paths and globs mean. kNoSuchPath, kBadRequest.
[[nodiscard]] Result<std::vector<std::string>> select_line_files(
    Engine& engine, const Manifest& snapshot, const std::vector<std::string>& wanted);

}  // namespace amberfs
