// SPDX-License-Identifier: Apache-2.0
// Paths as a user types them, made into paths of a request: relative to the mount's root. A path
// that begins with the mount point is taken as one of the mounted tree.
#pragma once

#include <string>
#include <vector>

namespace amberfs::tools {

[[nodiscard]] std::string to_request_path(const std::string& path, const std::string& mount_point);
[[nodiscard]] std::vector<std::string> to_request_paths(const std::vector<std::string>& paths,
                                                        const std::string& mount_point);

// "SNAP:PATH" apart at the first colon after which a path begins: times hold colons, so the last
// colon that is followed by "/" counts, else the last colon.
struct SnapPath {
  std::string snap;
  std::string path;
};
[[nodiscard]] SnapPath split_snap_path(const std::string& text);

}  // namespace amberfs::tools
