// SPDX-License-Identifier: Apache-2.0
// BlockId: the name of a block, SHA-256 of its plaintext; in an encrypted store a keyed hash, so
// that ids reveal nothing (store_cipher.h). Equal bytes have equal ids; a block never changes.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#include "blockstore/base/hash.h"

namespace amberfs {

struct BlockId {
  static constexpr std::size_t kSize = 32;
  std::array<std::uint8_t, kSize> bytes{};

  friend auto operator<=>(const BlockId&, const BlockId&) = default;

  [[nodiscard]] ByteView view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // `raw` must be kSize bytes long.
  [[nodiscard]] static BlockId from(ByteView raw) {
    BlockId id;
    std::memcpy(id.bytes.data(), raw.data(), kSize);
    return id;
  }
  [[nodiscard]] std::string to_hex() const { return amberfs::to_hex(view()); }
  [[nodiscard]] bool is_zero() const { return *this == BlockId{}; }
};

}  // namespace amberfs

template <>
struct std::hash<amberfs::BlockId> {
  std::size_t operator()(const amberfs::BlockId& id) const noexcept {
    std::size_t value = 0;
    std::memcpy(&value, id.bytes.data(), sizeof value);  // already uniformly distributed
    return value;
  }
};
