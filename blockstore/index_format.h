// SPDX-License-Identifier: Apache-2.0
// The records of the index: how its keys and values are encoded.
// Threads: free functions on values, safe everywhere.
// Errors:  nullopt for a value that has not its size, or a kind that does not exist.
// Format:  docs/FORMAT.md#index.
#pragma once

#include "blockstore/index.h"

namespace amberfs {

constexpr std::size_t kLocationSize = 24;         // of a frame of its own
constexpr std::size_t kGroupedLocationSize = 32;  // of a block in a group
constexpr std::size_t kPackRowSize = 28;

[[nodiscard]] Bytes encode_location(const BlockLocation& location);
[[nodiscard]] std::optional<BlockLocation> decode_location(ByteView raw);

// Big-endian, so that the table is in order of number.
[[nodiscard]] Bytes encode_pack_number(PackNumber number);
[[nodiscard]] Bytes encode_pack_row(const PackRow& row);  // without the number
[[nodiscard]] std::optional<PackRow> decode_pack_row(ByteView key, ByteView raw);

[[nodiscard]] Bytes encode_totals(const IndexTotals& totals);
[[nodiscard]] std::optional<IndexTotals> decode_totals(ByteView raw);

}  // namespace amberfs
