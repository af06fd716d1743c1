// SPDX-License-Identifier: Apache-2.0
#include "blockstore/index_format.h"

#include "blockstore/base/coding.h"

namespace amberfs {

Bytes encode_location(const BlockLocation& location) {
  Encoder out;
  out.u32(location.pack)
      .u64(location.offset)
      .u32(location.stored_size)
      .u32(location.plain_size)
      .u8(static_cast<std::uint8_t>(location.kind))
      .u8(static_cast<std::uint8_t>(location.codec))
      .u16(0);
  return std::move(out).take();
}

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
  // The sizes bound what a reader allocates.
  if (!in.done() || kind < 1 || kind > 2 || location.stored_size > Blocks::kBlockSizeMax ||
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
  out.u64(row.length).u32(row.sealed ? 1 : 0);
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
  row.sealed = (in.u32() & 1) != 0;
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

}  // namespace amberfs
