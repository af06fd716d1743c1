// SPDX-License-Identifier: Apache-2.0
#include "blockstore/parity_format.h"

#include "blockstore/base/coding.h"
#include "blockstore/erasure_code.h"

#include <algorithm>
#include <bit>

namespace amberfs {
namespace {

constexpr std::size_t kChecksumSize = 8;
constexpr std::string_view kParitySuffix = ".parity";
constexpr std::string_view kUnfinishedSuffix = ".parity.new";

constexpr std::uint32_t kShardSizeMin = 512;             // a sector
constexpr std::uint32_t kShardSizeMax = 4096;            // a page, a sector of newer disks
constexpr std::uint32_t kShardSizeKnownMax = 64 * kKiB;  // what a reader takes
constexpr std::uint64_t kRowsWanted = 200;
constexpr std::uint64_t kPackSizeMax = std::uint64_t{1} << 48;
// What is kept of each in memory is 16 bytes; a pack of full size has some 80,000.
constexpr std::uint64_t kShardsMax = std::uint64_t{4} << 20;
// A single parity shard a column would not stand two damages that fall into the same one.
constexpr unsigned kParityRowsMin = 2;

std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return (value + by - 1) / by;
}

unsigned parity_rows_for(std::uint64_t data_rows, unsigned percent) {
  const auto rows = static_cast<unsigned>(divide_up(data_rows * percent, 100));
  return std::max(rows, kParityRowsMin);
}

bool holds_together(const ParityGeometry& geometry) {
  return geometry.pack_size > 0 && geometry.pack_size <= kPackSizeMax &&
         geometry.shard_size >= kShardSizeMin && geometry.shard_size <= kShardSizeKnownMax &&
         std::has_single_bit(geometry.shard_size) && geometry.data_rows > 0 &&
         geometry.parity_rows > 0 &&
         geometry.data_rows + geometry.parity_rows <= static_cast<int>(ErasureCode::kRowsMax) &&
         geometry.shards() <= kShardsMax;
}

}  // namespace

std::uint64_t ParityGeometry::columns() const {
  return divide_up(divide_up(pack_size, shard_size), data_rows);
}

ParityGeometry choose_parity_geometry(std::uint64_t pack_size, unsigned percent) {
  std::uint32_t shard_size = kShardSizeMin;
  while (shard_size < kShardSizeMax && divide_up(pack_size, shard_size) > kRowsWanted) {
    shard_size *= 2;
  }
  std::uint64_t rows_max = ErasureCode::kRowsMax - kParityRowsMin;
  while (rows_max + parity_rows_for(rows_max, percent) > ErasureCode::kRowsMax) --rows_max;
  const std::uint64_t shards = divide_up(pack_size, shard_size);
  // As many columns as the longest rows ask for, then rows as equal as they come out.
  const std::uint64_t data_rows = divide_up(shards, divide_up(shards, rows_max));
  return {.pack_size = pack_size,
          .shard_size = shard_size,
          .data_rows = static_cast<std::uint16_t>(data_rows),
          .parity_rows = static_cast<std::uint16_t>(parity_rows_for(data_rows, percent))};
}

Bytes encode_parity_header(const ParityHeader& header) {
  Encoder out;
  const ByteView id{reinterpret_cast<const char*>(header.pack.data()), header.pack.size()};
  out.bytes(kParityMagic).u32(kParityVersion).u32(0).bytes(id);
  out.u64(header.geometry.pack_size).u32(header.geometry.shard_size);
  out.u16(header.geometry.data_rows).u16(header.geometry.parity_rows);
  out.u64(header.table_checksum);
  const std::uint64_t checksum = xxh3(out.view());
  out.u64(checksum);
  return std::move(out).take();
}

Result<ParityHeader> decode_parity_header(ByteView raw) {
  if (raw.size() < kParityHeaderSize) return fail(Errc::kCorrupt, 0, "parity header is cut short");
  raw = raw.substr(0, kParityHeaderSize);
  Decoder in(raw);
  const ByteView magic = in.bytes(kParityMagic.size());
  const std::uint32_t version = in.u32();
  (void)in.u32();  // flags: none is known
  ParityHeader header;
  const ByteView id = in.bytes(header.pack.size());
  std::memcpy(header.pack.data(), id.data(), id.size());
  header.geometry.pack_size = in.u64();
  header.geometry.shard_size = in.u32();
  header.geometry.data_rows = in.u16();
  header.geometry.parity_rows = in.u16();
  header.table_checksum = in.u64();
  const std::uint64_t checksum = in.u64();
  if (magic != kParityMagic) return fail(Errc::kCorrupt, 0, "parity magic does not match");
  if (checksum != xxh3(raw.substr(0, kParityHeaderSize - kChecksumSize))) {
    return fail(Errc::kCorrupt, 0, "parity header checksum does not match");
  }
  if (version > kParityVersion) {
    return fail(Errc::kNewerFormat, 0, "parity has version " + std::to_string(version));
  }
  if (version == 0 || !holds_together(header.geometry)) {
    return fail(Errc::kCorrupt, 0, "parity header describes what cannot be");
  }
  return header;
}

std::string parity_file_name(const PackId& id) {
  std::string name = pack_file_name(id);
  return name.replace(name.rfind('.'), std::string::npos, kParitySuffix);
}

std::string unfinished_parity_file_name(const PackId& id) {
  std::string name = pack_file_name(id);
  return name.replace(name.rfind('.'), std::string::npos, kUnfinishedSuffix);
}

bool parse_parity_file_name(std::string_view name, PackId* id) {
  if (!name.ends_with(kParitySuffix)) return false;
  name.remove_suffix(kParitySuffix.size());
  return from_hex(name, id->data(), id->size());
}

bool is_unfinished_parity(std::string_view name) {
  return name.ends_with(kUnfinishedSuffix);
}

}  // namespace amberfs
