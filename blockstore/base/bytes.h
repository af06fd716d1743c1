// SPDX-License-Identifier: Apache-2.0
// Byte strings. Bytes owns, ByteView borrows; both hold arbitrary bytes, not text.
// std::string is the owner because the ordered map's keys and values are short and it keeps
// 15 bytes in place, compares by memcmp and hashes for free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace amberfs {

using Bytes = std::string;
using ByteView = std::string_view;

inline const std::uint8_t* u8(ByteView bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

}  // namespace amberfs
