// SPDX-License-Identifier: Apache-2.0
// The two hashes of amberfs: SHA-256 (OpenSSL EVP) names blocks, XXH3-64 guards bytes against rot.
// Threads: free functions, safe everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "blockstore/base/bytes.h"

namespace amberfs {

using Sha256 = std::array<std::uint8_t, 32>;

[[nodiscard]] Sha256 sha256(ByteView bytes);
[[nodiscard]] std::uint64_t xxh3(ByteView bytes, std::uint64_t seed = 0);
// Checksum of two ranges as if they were one (a header and its payload in another buffer).
[[nodiscard]] std::uint64_t xxh3_of_two(ByteView first, ByteView second);
// The same of any number of ranges: `first`, then `rest` in order.
[[nodiscard]] std::uint64_t xxh3_of_parts(ByteView first, std::span<const ByteView> rest);

[[nodiscard]] std::string to_hex(ByteView bytes);
// False unless `text` is exactly 2 * size hex digits.
[[nodiscard]] bool from_hex(std::string_view text, std::uint8_t* target, std::size_t size);

// `size` bytes from the kernel's random source.
[[nodiscard]] Bytes random_bytes(std::size_t size);

}  // namespace amberfs
