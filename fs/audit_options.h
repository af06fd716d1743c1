// SPDX-License-Identifier: Apache-2.0
// AuditOptions: [audit] of config.toml: which files are logs that only grow, and how long what is
// taken from them is kept.
// Threads: a value type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace amberfs {

struct AuditOptions {
  std::vector<std::string> watch = {"**"};  // globs of files that only grow; none: nothing is kept
  std::vector<std::string> ignore;          // and of those that do not
  std::uint64_t keep_s = 30 * 86400;        // evidence older than this is dropped
  std::uint64_t keep_percent = 10;          // of the disk: the oldest goes when there is more
  // Extents that one batch keeps: a larger removal is made in several. No setting; tests lower it.
  std::size_t pieces_max = 32 * 1024;
};

// Files that are rewritten by their nature.
[[nodiscard]] std::vector<std::string> default_ignore_globs();

}  // namespace amberfs
