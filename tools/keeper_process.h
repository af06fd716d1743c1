// SPDX-License-Identifier: Apache-2.0
// The keeper as the other commands see it: how one is started, and found again.
// Threads: one.
// Errors:  kMountFailed.
#pragma once

#include "blockstore/base/result.h"
#include "blockstore/base/secret.h"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace amberfs::tools {

// What the first server writes to kReadyFd when it serves; anything else is an error.
constexpr std::string_view kReadyText = "ready";

struct KeeperStart {
  int device_fd = -1;
  int state_fd = -1;
  std::string mount_point;
  std::vector<std::string> server;        // this binary's arguments
  bool foreground = false;                // this process becomes the keeper
  const SecretBytes* data_key = nullptr;  // of an encrypted store
};

// Where amberfs-keeper is: beside this binary. An error names where it was looked for.
[[nodiscard]] Result<std::string> keeper_binary();
// This very binary, by its path.
[[nodiscard]] Result<std::string> own_binary();
// Starts the keeper, and with it the first server. Returns when that one is ready; when it cannot
// start, its error, and nobody holds the device. In the foreground it only returns errors of its
// own: a child process reports what the server says, and calls `give_up` when that is an error.
[[nodiscard]] Status start_keeper(const KeeperStart& start, void (*give_up)(const std::string&));
// In a server: the data key that the keeper has for it; empty for a plain store. Once.
[[nodiscard]] Result<SecretBytes> take_data_key();
// The process that holds the mount; nothing when there is none.
[[nodiscard]] std::optional<pid_t> find_keeper(const std::string& mount_point);

}  // namespace amberfs::tools
