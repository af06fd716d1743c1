// SPDX-License-Identifier: Apache-2.0
// Restore plan: what a restore is asked for, as paths of the snapshot.
// Flow:    restore.cc, restore_lines.cc → select_paths.
// Threads: free functions; the view must not change meanwhile (a snapshot's does not).
// Errors:  kNoSuchPath names the path, or the glob that nothing matches; those of reading the view.
#pragma once

#include "fs/view.h"

#include <map>
#include <string>
#include <vector>

namespace amberfs {

// Parents sort before what they hold. The root is "".
using PathMap = std::map<Bytes, Ino>;

// `wanted`: normal paths, each with all that lies below it, or globs. What exists to the letter is
// that path, whatever characters it has.
[[nodiscard]] Result<PathMap> select_paths(const View& view,
                                           const std::vector<std::string>& wanted);

// The same without what lies below them.
[[nodiscard]] Result<std::vector<Bytes>> match_paths(const View& view,
                                                     const std::vector<std::string>& wanted);

[[nodiscard]] bool has_wildcards(const std::string& path);
[[nodiscard]] Bytes join_path(ByteView directory, ByteView name);

}  // namespace amberfs
