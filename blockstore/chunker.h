// SPDX-License-Identifier: Apache-2.0
// Chunker: finds content-defined cuts in a stream of bytes, so that equal runs of bytes are cut
// alike wherever they stand and a file that only grows re-chunks only its tail.
// Source:  FastCDC (Xia et al., USENIX ATC 2016): gear hash, normalized chunking with two masks.
// Units:   bytes. The cut decision at a byte depends only on the 64 bytes before it and on the
//          distance from the chunk's start, so a stream can be resumed in mid-chunk.
// Threads: a value type; one stream per object.
#pragma once

#include <cstdint>
#include <optional>

#include "blockstore/base/bytes.h"

namespace amberfs {

struct ChunkerOptions {
  std::uint32_t size_min = 256 * 1024;
  std::uint32_t size_average = 1024 * 1024;  // a power of two
  std::uint32_t size_max = 4 * 1024 * 1024;
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
  std::uint64_t mask_small_ = 0;  // before the average size: harder to match
  std::uint64_t mask_large_ = 0;  // after it: easier
  std::uint64_t hash_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace amberfs
