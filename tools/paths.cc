// SPDX-License-Identifier: Apache-2.0
#include "tools/paths.h"

#include "fs/path_text.h"

namespace amberfs::tools {

std::string to_request_path(const std::string& path, const std::string& mount_point) {
  std::string_view rest = path;
  if (!mount_point.empty() && rest.starts_with(mount_point) &&
      (rest.size() == mount_point.size() || rest[mount_point.size()] == '/')) {
    rest.remove_prefix(mount_point.size());
  }
  return encode_path(rest);
}

std::vector<std::string> to_request_paths(const std::vector<std::string>& paths,
                                          const std::string& mount_point) {
  std::vector<std::string> list;
  for (const std::string& path : paths) list.push_back(to_request_path(path, mount_point));
  return list;
}

SnapPath split_snap_path(const std::string& text) {
  auto colon = text.find(":/");
  if (colon == std::string::npos) colon = text.rfind(':');
  if (colon == std::string::npos) return {};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace amberfs::tools
