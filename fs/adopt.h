// SPDX-License-Identifier: Apache-2.0
// Adopt: takes what lies in a directory into an empty store before it is mounted over: owners,
// modes, times, extended attributes and ACLs, hard links, symlinks, devices, sparse files. The
// originals are only read.
// Flow:    mount --adopt → adopt → commit + snapshot → mount over the directory.
// Threads: one; the engine serves nobody else yet.
// Errors:  a store error ends it. What cannot be read, or keeps changing, is a warning by path.
#pragma once

#include "fs/engine.h"

#include <functional>
#include <string>
#include <vector>

namespace amberfs {

struct AdoptReport {
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t others = 0;  // symlinks, devices, fifos, sockets
  std::uint64_t bytes = 0;
  std::vector<std::string> warnings;
};

// Called now and then with what was copied so far.
using AdoptProgress = std::function<void(const AdoptReport&)>;

// kStoreExists when the live tree is not empty.
[[nodiscard]] Result<AdoptReport> adopt(Engine& engine, const std::string& directory,
                                        const AdoptProgress& progress);

// Processes with files open below `directory` on the file system beneath: they go on writing to the
// originals until they are restarted or told to open their files anew.
[[nodiscard]] std::vector<OpenFileUser> holders_of(const std::string& directory);

}  // namespace amberfs
