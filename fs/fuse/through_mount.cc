// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/through_mount.h"

#include "fs/filesystem.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace amberfs {
namespace {

// The inode number of what was opened.
Result<ino_t> require_mounted(int fd, const MountPlace& place) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return fail(errc_for(errno), errno, "look at", place.path);
  if (status.st_dev != place.device) return fail(Errc::kNotMounted, 0, "look at", place.path);
  return status.st_ino;
}

}  // namespace

ThroughMount::~ThroughMount() {
  if (fd_ >= 0) ::close(fd_);
}

Result<ThroughMount> ThroughMount::open(FileSystem& fs, const MountPlace& place, Ino ino,
                                        int flags) {
  constexpr int kAttempts = 10;  // it may be renamed between the look and the open
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TRY_ASSIGN(const std::optional<std::string> path, fs.view()->path_of(ino));
    if (!path) break;
    const std::string full = place.path + "/" + *path;
    ThroughMount file(::open(full.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.fd_ < 0 && errno == ENOENT) continue;
    if (file.fd_ < 0) return fail(errc_for(errno), errno, "open through the mount", full);
    struct stat status {};
    if (::fstat(file.fd_, &status) != 0) return fail(errc_for(errno), errno, "look at", full);
    if (status.st_ino == ino) return file;
  }
  return fail(Errc::kNoSuchPath, 0, "open through the mount", "inode " + std::to_string(ino));
}

Result<ThroughMount> ThroughMount::open_root(const MountPlace& place) {
  ThroughMount root(::open(place.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root.fd_ < 0) return fail(errc_for(errno), errno, "open the mount point", place.path);
  TRY(require_mounted(root.fd_, place));
  return root;
}

}  // namespace amberfs
