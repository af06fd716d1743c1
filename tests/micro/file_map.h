// SPDX-License-Identifier: Apache-2.0
// The map of a made-up file system: one directory of log files, each of one extent. What the
// benchmarks of trees, overlays and views read and change.
#pragma once

#include "fs/batch.h"

namespace amberfs::micro {

// INODE, PARENT and EXTENT of each file, and its DIRENT in the root.
constexpr std::uint64_t kEntriesPerFile = 4;
constexpr std::uint64_t kFileCount = 25'000;
constexpr std::uint64_t kEntryCount = kFileCount * kEntriesPerFile;
// A line appended to a file changes its INODE and adds an EXTENT.
constexpr std::uint64_t kChangesPerWrite = 2;

[[nodiscard]] Ino file_ino(std::uint64_t file);
[[nodiscard]] Bytes file_name(std::uint64_t file);
// Of kFileCount files, sorted by key.
[[nodiscard]] std::vector<Change> file_entries();

// The `line`-th line (from 0) appended to `file`, its extent `kind`; sorted by key.
[[nodiscard]] std::vector<Change> write_changes(std::uint64_t file, std::uint64_t line,
                                                ExtentKind kind);

}  // namespace amberfs::micro
