// SPDX-License-Identifier: Apache-2.0
// DirtyLimit: how much data the kernel may have taken from programs that the server has not seen.
// A writer that is faster waits in write(2). The store keeps room for that much at any time, so
// that what a write(2) has accepted can be placed whatever else fills the disk.
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <string>

namespace amberfs {

// What a store on a disk of that size wants: it needs the room twice, for the journal and for
// packs.
[[nodiscard]] std::uint64_t dirty_max_for(std::uint64_t disk_total_bytes);
// Sets the limit of the mount with that device number ("0:45") unless the kernel's own is lower.
// Returns the limit in force; without the right to set one (or on a kernel before 6.2) that may be
// more than wanted.
[[nodiscard]] std::uint64_t limit_dirty_bytes(const std::string& device, std::uint64_t wanted);

}  // namespace amberfs
