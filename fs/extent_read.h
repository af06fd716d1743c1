// SPDX-License-Identifier: Apache-2.0
// DataReader: file bytes through a View: extents → journal bytes or blocks; holes read as zeros.
// Flow:    view extents(range) → journal read | blocks read. A proof is read by it, too (proof.h).
// Threads: any.
// Owns:    nothing; borrows the blocks and (for live views) the journal.
// Errors:  kCorrupt or kBlockMissing for exactly the bytes concerned.
#pragma once

#include "blockstore/blocks.h"
#include "fs/journal.h"
#include "fs/view.h"

#include <optional>

namespace amberfs {

// The first byte from `offset` on, below `size`, that is in no hole; nullopt: there is none. On a
// view whose newest overlay changes meanwhile a hole may be one that never was.
[[nodiscard]] Result<std::optional<std::uint64_t>> find_data(const View& view, Ino ino,
                                                             std::uint64_t size,
                                                             std::uint64_t offset);
// SEEK_DATA and SEEK_HOLE, as lseek(2) answers: ENXIO behind the end of the file, and when there is
// no data.
[[nodiscard]] Result<std::uint64_t> seek_extents(const View& view, Ino ino, std::uint64_t offset,
                                                 bool want_data);

class DataReader {
 public:
  DataReader(Blocks& blocks, Journal* journal) : blocks_(blocks), journal_(journal) {}

  // Where the bytes of a range are.
  struct Plan {
    std::uint64_t offset = 0;
    std::size_t size = 0;  // clipped to the file's size
    std::vector<View::FileExtent> extents;
    bool has_hole = false;
  };
  // On a view whose newest overlay changes meanwhile every extent of the plan held its bytes at
  // some moment, but a hole may be one that never was: the walk can pass between two states. A
  // caller for whom that matters plans again under the inode's lock (FileSystem::read).
  [[nodiscard]] Result<Plan> plan(const View& view, Ino ino, std::uint64_t offset,
                                  std::size_t size) const;
  // Reads the plan's bytes. The view must have been held since plan().
  [[nodiscard]] Status fill(const Plan& plan, char* target) const;
  // Both: reads up to `size` bytes at `offset`, clipped to the file's size; returns how many.
  [[nodiscard]] Result<std::size_t> read(const View& view, Ino ino, std::uint64_t offset,
                                         char* target, std::size_t size) const;
  // Bytes of one extent: `skip` bytes into it.
  [[nodiscard]] Status read_extent(const Extent& extent, std::uint32_t skip, char* target,
                                   std::size_t size) const;

 private:
  Blocks& blocks_;
  Journal* journal_;
};

}  // namespace amberfs
