// SPDX-License-Identifier: Apache-2.0
// Whoever made a store chose what stands in it: through a link, its server would write and truncate
// files anywhere on the machine; a device or pipe may keep it waiting for ever. So what a path of a
// store names by its last part must be a file of the usual kind, or a directory. Io refuses the
// rest by itself (Links::kRefuse); this is for files that others open.
// Threads: safe everywhere.
// Errors:  kIo, with the path.
#pragma once

#include "blockstore/base/result.h"

#include <sys/stat.h>

#include <string>

namespace amberfs {

[[nodiscard]] inline std::unexpected<Error> fail_foreign(const std::string& tried,
                                                         const std::string& path) {
  return fail(Errc::kIo, 0, tried + ": a link, device or pipe has no place in a store", path);
}

enum class OwnKind { kFile, kDirectory };
// What is not there is no reason to refuse.
[[nodiscard]] inline Status require_own(const std::string& tried, const std::string& path,
                                        OwnKind kind = OwnKind::kFile) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return ok();
  const bool usual = kind == OwnKind::kFile ? S_ISREG(st.st_mode) : S_ISDIR(st.st_mode);
  if (usual) return ok();
  if (S_ISDIR(st.st_mode)) return fail(Errc::kIo, 0, tried + ": it is a directory", path);
  return fail_foreign(tried, path);
}

}  // namespace amberfs
