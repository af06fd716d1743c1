// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/mount_point.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

namespace amberfs {
namespace {

constexpr const char* kTried = "check mount point";

std::unexpected<Error> bad(int sys_errno, const std::string& what, const std::string& object) {
  return fail(Errc::kBadMountPoint, sys_errno, std::string(kTried) + ": " + what, object);
}

std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain.push_back(static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8)));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

bool is_inside(const std::string& path, const std::string& directory) {
  if (directory == "/") return true;
  return path == directory || path.starts_with(directory + "/");
}

}  // namespace

std::optional<MountEntry> find_mount(const std::string& real_path_of_mount) {
  std::ifstream file("/proc/self/mountinfo");
  std::optional<MountEntry> found;
  std::string line;
  while (std::getline(file, line)) {
    // id parent device root mount-point options [optional…] - type source super-options
    std::istringstream words(line);
    std::string id, parent, device, root, point, word, type;
    words >> id >> parent >> device >> root >> point;
    while (words >> word && word != "-") {
    }
    words >> type;
    if (unescape(point) == real_path_of_mount) {
      unsigned numbers[2] = {};
      char colon = 0;
      std::istringstream(device) >> numbers[0] >> colon >> numbers[1];
      found = MountEntry{device, makedev(numbers[0], numbers[1]), type};
    }
  }
  return found;
}

Result<std::string> check_mount_point(const std::string& store, const std::string& mount_point) {
  const std::optional<std::string> target = real_path(mount_point);
  if (!target) {
    const int error = errno;
    if (error == ENOTCONN) {
      return bad(error,
                 "a file system is mounted there whose server is gone; clear it away with "
                 "umount -l or fusermount3 -u -z",
                 mount_point);
    }
    if (error == ENOENT) return bad(error, "make the directory first", mount_point);
    return bad(error, "cannot be reached", mount_point);
  }
  if (const auto mounted = find_mount(*target); mounted && mounted->type == "fuse.amberfs") {
    return bad(0, "an amberfs is mounted there already; unmount it with amberfs umount", *target);
  }
  struct stat status {};
  if (::stat(target->c_str(), &status) != 0) return bad(errno, "cannot be read", *target);
  if (!S_ISDIR(status.st_mode)) return bad(ENOTDIR, "choose a directory", *target);
  const std::optional<std::string> home = real_path(store);
  if (!home) return bad(errno, "the store cannot be reached", store);
  if (is_inside(*target, *home)) {
    return bad(0, "it lies inside the store; choose a directory outside", *target);
  }
  if (is_inside(*home, *target)) {
    return bad(0,
               "the store " + *home +
                   " lies inside it and would be hidden; move the store or "
                   "choose another directory",
               *target);
  }
  return *target;
}

}  // namespace amberfs
