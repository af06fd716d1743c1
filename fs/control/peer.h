// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of the control socket, as the kernel says: the ids and groups that it had
// when it connected. /etc/group and /proc are not asked: who left a group keeps it until logout,
// and a process id may be another's by now.
// Threads: free functions, safe everywhere.
// Errors:  kBadConfig for a group that there is not; kControl.
#pragma once

#include "fs/service.h"

#include <sys/types.h>

#include <optional>

namespace amberfs {

// What the peer of a connected Unix socket may ask: everything as root or as the user of this
// process, reading as a member of `readers`. nullopt: nothing.
[[nodiscard]] std::optional<Caller> caller_at(int fd, std::optional<gid_t> readers);

// A name, or a number.
[[nodiscard]] Result<gid_t> find_group(const std::string& text);

// Lets members of the group pass through the directory `store` (and list nothing there), and use
// the socket in it.
[[nodiscard]] Status open_to_group(const std::string& store, const std::string& socket,
                                   gid_t group);

}  // namespace amberfs
