// SPDX-License-Identifier: Apache-2.0
// The records of the index: how its keys and values are encoded, and in an encrypted store sealed.
// Threads: safe everywhere.
// Errors:  nullopt for a value that has not its size, or a kind that does not exist; for one that
//          the key does not open.
// Format:  docs/FORMAT.md#index.
#pragma once

#include "blockstore/index.h"
#include "blockstore/store_cipher.h"

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

// The value of one key of one table as it stands in the file. In an encrypted store it opens only
// below this key of this table.
class IndexValues {
 public:
  // Null: as they are.
  explicit IndexValues(std::shared_ptr<const StoreCipher> cipher) : cipher_(std::move(cipher)) {}
  [[nodiscard]] bool encrypted() const { return cipher_ != nullptr; }
  [[nodiscard]] Bytes seal(ByteView table, ByteView key, Bytes value) const;
  // A plain value is a view of `raw`; an encrypted one of `buffer`.
  [[nodiscard]] std::optional<ByteView> open(ByteView table, ByteView key, ByteView raw,
                                             Bytes& buffer) const;

 private:
  std::shared_ptr<const StoreCipher> cipher_;
};

}  // namespace amberfs
