// SPDX-License-Identifier: Apache-2.0
// Where things stand in the memory that outlives servers (mount_state.h), as the keeper and the
// servers agree. Offsets and sizes in bytes. A change needs a new kMountStateVersion.
#pragma once

#include <cstddef>
#include <cstdint>

namespace amberfs {

constexpr std::uint32_t kMountStateVersion = 1;
constexpr std::size_t kRequestSlotsAt = 64 * 1024;
constexpr std::size_t kRequestSlots = 1024;
constexpr std::size_t kRequestSlotSize = 64;  // begins with a struct fuse_in_header

// The descriptors by which a server is started.
constexpr int kDeviceFd = 3;
constexpr int kStateFd = 4;
constexpr int kReadyFd = 5;   // of the first server: a line, "ready" or what went wrong
constexpr int kKeeperFd = 6;  // messages to the keeper, each one datagram
// A pipe with the data key of an encrypted store (kDataKeySize bytes), to be read once and closed:
// from the mount command to the keeper, and from it to each server. Not open for a plain store.
constexpr int kDataKeyFd = 7;
constexpr std::size_t kDataKeySize = 32;

// Their first byte.
constexpr char kSaysReady = 'R';    // it serves
constexpr char kSaysSettled = 'S';  // it has answered something new
constexpr char kSaysUpgrade = 'U';  // next comes the binary whose path follows
// By which a server says that it made way for another.
constexpr int kExitHandOver = 75;

}  // namespace amberfs
