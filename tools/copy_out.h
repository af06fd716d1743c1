// SPDX-License-Identifier: Apache-2.0
// CopyOut: writes files of a snapshot into a directory elsewhere (restore --to): owners, modes,
// times, extended attributes, hard links, holes.
// Safety:  everything is made relative to a descriptor of its directory, never through a symlink,
//          and nothing that exists is overwritten unless asked; names that could lead elsewhere
//          are refused.
// Flow:    one thread walks the snapshot and makes directories, links and empty files; several
//          write the files (copy_workers.h, copied_file.h); a directory gets its attributes once
//          all that is in it is made; then the file systems that were written to are synced.
// Durable: when it returns without an error, all of it is on the disk.
// Threads: call it from one; its own end before it returns.
// Errors:  files that cannot be read are reported and left empty, all others are copied. Any other
//          error ends it and names the path; files that are whole stay, others are left empty.
#pragma once

#include "tools/copy_workers.h"
#include "tools/session.h"

#include <string>
#include <vector>

namespace amberfs::tools {

struct CopyOutRequest {
  std::string view;                // a snapshot's id
  std::vector<std::string> paths;  // as in requests
  std::string directory;           // where to; made if missing
  bool overwrite = false;
};

struct CopyOutReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  // Files whose bytes could not be read, with the reason: damaged ones. They are left empty.
  std::vector<CopyFailure> failed;
};

[[nodiscard]] Result<CopyOutReport> copy_out(Session& session, const CopyOutRequest& request);

}  // namespace amberfs::tools
