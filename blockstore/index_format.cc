// SPDX-License-Identifier: Apache-2.0
#include "blockstore/index_format.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

constexpr std::uint32_t kSealedFlag = 1;
constexpr std::uint32_t kGoneFlag = 2;
constexpr std::uint32_t kLeftoversFlag = 4;

}  // namespace

Bytes encode_location(const BlockLocation& location) {
  Encoder out;
  out.u32(location.pack)
      .u64(location.offset)
      .u32(location.stored_size)
      .u32(location.plain_size)
      .u8(static_cast<std::uint8_t>(location.kind))
      .u8(static_cast<std::uint8_t>(location.codec))
      .u16(0);
  if (location.in_group()) out.u32(location.group_offset).u32(location.group_size);
  return std::move(out).take();
}

namespace {

// Where a block lies in its group is checked before anybody allocates or cuts by it.
bool lies_in_its_group(const BlockLocation& location) {
  return location.in_group() && location.group_size <= Blocks::kBlockSizeMax &&
         location.group_offset <= location.group_size &&
         location.plain_size <= location.group_size - location.group_offset;
}

}  // namespace

std::optional<BlockLocation> decode_location(ByteView raw) {
  Decoder in(raw);
  BlockLocation location;
  location.pack = in.u32();
  location.offset = in.u64();
  location.stored_size = in.u32();
  location.plain_size = in.u32();
  const std::uint8_t kind = in.u8();
  location.codec = Codec{in.u8()};
  (void)in.u16();
  const bool grouped = raw.size() == kGroupedLocationSize;
  if (grouped) {
    location.group_offset = in.u32();
    location.group_size = in.u32();
    if (!lies_in_its_group(location)) return std::nullopt;
  }
  // The sizes bound what a reader allocates.
  if (!in.done() || kind < 1 || kind > 2 || location.stored_size > kStoredSizeMax ||
      location.plain_size > Blocks::kBlockSizeMax) {
    return std::nullopt;
  }
  location.kind = BlockKind{kind};
  return location;
}

Bytes encode_pack_number(PackNumber number) {
  Encoder out;
  out.u32(__builtin_bswap32(number));
  return std::move(out).take();
}

Bytes encode_pack_row(const PackRow& row) {
  Encoder out;
  out.bytes({reinterpret_cast<const char*>(row.id.data()), row.id.size()});
  out.u64(row.length)
      .u32((row.sealed ? kSealedFlag : 0U) | (row.gone ? kGoneFlag : 0U) |
           (row.leftovers ? kLeftoversFlag : 0U));
  return std::move(out).take();
}

std::optional<PackRow> decode_pack_row(ByteView key, ByteView raw) {
  if (key.size() != sizeof(PackNumber) || raw.size() != kPackRowSize) return std::nullopt;
  PackRow row;
  row.number = __builtin_bswap32(load_le<PackNumber>(key.data()));
  Decoder in(raw);
  const ByteView id = in.bytes(row.id.size());
  std::memcpy(row.id.data(), id.data(), id.size());
  row.length = in.u64();
  const std::uint32_t flags = in.u32();
  row.sealed = (flags & kSealedFlag) != 0;
  row.gone = (flags & kGoneFlag) != 0;
  row.leftovers = (flags & kLeftoversFlag) != 0;
  return row;
}

Bytes encode_totals(const IndexTotals& totals) {
  Encoder out;
  out.u64(totals.block_count).u64(totals.data_plain_bytes).u64(totals.node_plain_bytes);
  return std::move(out).take();
}

std::optional<IndexTotals> decode_totals(ByteView raw) {
  Decoder in(raw);
  IndexTotals totals;
  totals.block_count = in.u64();
  totals.data_plain_bytes = in.u64();
  totals.node_plain_bytes = in.u64();
  return in.done() ? std::optional(totals) : std::nullopt;
}

namespace {

// The tables' names begin with different letters: no two pairs make the same string.
Bytes place_of(ByteView table, ByteView key) {
  Bytes place(table);
  return place += key;
}

}  // namespace

Bytes IndexValues::seal(ByteView table, ByteView key, Bytes value) const {
  return cipher_ ? cipher_->index().seal(place_of(table, key), value) : value;
}

std::optional<ByteView> IndexValues::open(ByteView table, ByteView key, ByteView raw,
                                          Bytes& buffer) const {
  if (!cipher_) return raw;
  auto opened = cipher_->index().open(place_of(table, key), raw);
  if (!opened) return std::nullopt;
  buffer = *std::move(opened);
  return buffer;
}

}  // namespace amberfs
