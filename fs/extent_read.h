// SPDX-License-Identifier: Apache-2.0
// DataReader: file bytes through a View: extents → journal bytes or blocks; holes read as zeros.
// Flow:    view extents(range) → journal read | block_store read.
// Threads: any.
// Owns:    nothing; borrows the block store and (for live views) the journal.
// Errors:  kCorrupt or kBlockMissing for exactly the bytes concerned.
#pragma once

#include "blockstore/block_store.h"
#include "fs/journal.h"
#include "fs/view.h"

namespace amberfs {

class DataReader {
 public:
  DataReader(BlockStore& blocks, Journal* journal) : blocks_(blocks), journal_(journal) {}

  // Reads up to `size` bytes at `offset`, clipped to the file's size; returns how many.
  [[nodiscard]] Result<std::size_t> read(const View& view, Ino ino, std::uint64_t offset,
                                         char* target, std::size_t size) const;
  // Bytes of one extent: `skip` bytes into it.
  [[nodiscard]] Status read_extent(const Extent& extent, std::uint32_t skip, char* target,
                                   std::size_t size) const;

 private:
  BlockStore& blocks_;
  Journal* journal_;
};

}  // namespace amberfs
