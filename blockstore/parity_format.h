// SPDX-License-Identifier: Apache-2.0
// Parity of a sealed pack: a file beside it from which bytes of the pack that rot, or cannot be
// read, are made again. It knows nothing of frames: of encrypted packs it is the same.
//
// The pack (followed by zeros that are not stored) is cut into k rows of equal length; m parity
// rows of that length are made from them, byte column by byte column (erasure_code.h). Rows are cut
// into shards, each with a checksum: it says which shards of a column of shards are lost.
//
//            column 0   1   2  …  T-1
//   row 0        s0    s1  s2  …            rows follow each other in the pack, so neighbouring
//   row 1        sT  sT+1  …                shards lie in different columns
//   …
//   row k-1
//   parity 0  …  parity m-1
//
// What comes back: m lost shards a column, wherever they are. One run of damage is at most m shards
// of any column while it is not longer than (m·T - 1) shards and a byte: about m/k ≥ `percent` of
// the pack. Flipped bytes cost a shard each: of those at random places several hundred in a pack of
// full size, as shards are as small as what disks lose at once (a page of 4 KiB; less in small
// packs, so that they have columns with many rows, too).
//
// The file: header | checksums | parity rows | checksums | header. What is needed to understand it
// stands at both ends, so that no single damage takes it all.
// Threads: free functions on values, safe everywhere.
// Errors:  kCorrupt, saying what does not hold; kNewerFormat.
// Format:  docs/format/parity.md.
#pragma once

#include "blockstore/pack_format.h"

namespace amberfs {

constexpr ByteView kParityMagic{"AMBRPRTY", 8};
constexpr std::uint32_t kParityVersion = 1;
constexpr std::size_t kParityHeaderSize = 64;

struct ParityGeometry {
  std::uint64_t pack_size = 0;
  std::uint32_t shard_size = 0;
  std::uint16_t data_rows = 0;    // k
  std::uint16_t parity_rows = 0;  // m

  [[nodiscard]] std::uint64_t columns() const;  // T, of shards
  [[nodiscard]] std::uint64_t row_size() const { return columns() * shard_size; }
  [[nodiscard]] std::uint64_t data_shards() const { return columns() * data_rows; }
  [[nodiscard]] std::uint64_t shards() const { return columns() * (data_rows + parity_rows); }
  // Where things are in the file.
  [[nodiscard]] std::uint64_t table_size() const { return shards() * sizeof(std::uint64_t); }
  [[nodiscard]] std::uint64_t rows_offset() const { return kParityHeaderSize + table_size(); }
  [[nodiscard]] std::uint64_t second_table_offset() const {
    return rows_offset() + row_size() * parity_rows;
  }
  [[nodiscard]] std::uint64_t second_header_offset() const {
    return second_table_offset() + table_size();
  }
  [[nodiscard]] std::uint64_t file_size() const {
    return second_header_offset() + kParityHeaderSize;
  }
  friend bool operator==(const ParityGeometry&, const ParityGeometry&) = default;
};

// For a pack of `pack_size` bytes (> 0); `percent` is at least 1, so small that
// parity is less than the pack.
[[nodiscard]] ParityGeometry choose_parity_geometry(std::uint64_t pack_size, unsigned percent);

struct ParityHeader {
  PackId pack{};
  ParityGeometry geometry;
  std::uint64_t table_checksum = 0;
  friend bool operator==(const ParityHeader&, const ParityHeader&) = default;
};

[[nodiscard]] Bytes encode_parity_header(const ParityHeader& header);
[[nodiscard]] Result<ParityHeader> decode_parity_header(ByteView raw);

// "ab/abcd….parity", below packs/, beside the pack.
[[nodiscard]] std::string parity_file_name(const PackId& id);
// What is written before it is renamed to that.
[[nodiscard]] std::string unfinished_parity_file_name(const PackId& id);
[[nodiscard]] bool parse_parity_file_name(std::string_view name, PackId* id);
[[nodiscard]] bool is_unfinished_parity(std::string_view name);

}  // namespace amberfs
