// SPDX-License-Identifier: Apache-2.0
// Chunker: finds content-defined cuts in a stream of bytes, so that equal runs of bytes are cut
// alike wherever they stand and a file that only grows re-chunks only its tail.
// Source:  FastCDC (Xia et al., USENIX ATC 2016): gear hash, normalized chunking with two masks.
// Units:   bytes. The cut decision at a byte depends only on the 64 bytes before it and on the
//          distance from the chunk's start, so a stream can be resumed in mid-chunk.
// In an encrypted store the table is drawn from the store's key: with the public one the sizes of
// the chunks of a known file would tell that it is there.
// Threads: a value type; one stream per object.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "blockstore/base/bytes.h"

namespace amberfs {

// One number per byte value. A store keeps to one table: another one cuts every file elsewhere, so
// that new versions share nothing with what is stored.
using GearTable = std::array<std::uint64_t, 256>;

// The table of the store whose StoreCipher::chunker_key() this is.
[[nodiscard]] std::shared_ptr<const GearTable> keyed_gear(ByteView key);

struct ChunkerOptions {
  std::uint32_t size_min = 256 * 1024;
  std::uint32_t size_average = 1024 * 1024;  // a power of two
  std::uint32_t size_max = 4 * 1024 * 1024;
  std::shared_ptr<const GearTable> gear;  // null: that of plain stores
};

class Chunker {
 public:
  static constexpr std::size_t kWindow = 64;

  explicit Chunker(const ChunkerOptions& options);

  // Continues a chunk of which `position` bytes were already seen without a cut, the last of them
  // being `context` (up to kWindow bytes; all of them when position < kWindow).
  void resume(std::uint64_t position, ByteView context);

  // Looks for the end of the current chunk in `bytes`, the next bytes of the stream. Returns how
  // many of them belong to the current chunk (the next chunk starts after them), or nothing when
  // the chunk goes on past `bytes`.
  [[nodiscard]] std::optional<std::size_t> find_cut(ByteView bytes);

 private:
  ChunkerOptions options_;
  const std::uint64_t* gear_ = nullptr;
  std::uint64_t mask_small_ = 0;  // before the average size: harder to match
  std::uint64_t mask_large_ = 0;  // after it: easier
  std::uint64_t hash_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace amberfs
