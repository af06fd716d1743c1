// SPDX-License-Identifier: Apache-2.0
// Mount point: whether a store may be mounted there, and what the kernel says is mounted.
// Flow:    FuseMount::mount, before the device is opened. (That it is empty is checked by tools.)
// Threads: pure functions; they look at the disk and /proc.
// Errors:  kBadMountPoint, saying what to do.
#pragma once

#include "blockstore/base/result.h"

#include <sys/types.h>

#include <optional>
#include <string>

namespace amberfs {

// Returns the mount point's real path.
[[nodiscard]] Result<std::string> check_mount_point(const std::string& store,
                                                    const std::string& mount_point);

struct MountEntry {
  std::string device;  // "0:45"
  dev_t number = 0;    // the same, as stat(2) says it
  std::string type;    // "fuse.amberfs"
};
// The topmost mount at a real path, as /proc/self/mountinfo has it.
[[nodiscard]] std::optional<MountEntry> find_mount(const std::string& real_path);

}  // namespace amberfs
