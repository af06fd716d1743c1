// SPDX-License-Identifier: Apache-2.0
// Seal: turns the journal extents of a frozen overlay into blocks. The second step of a commit.
// Flow:    freeze → seal reads frozen journal extents → chunker → block_store put → tree apply.
// How:     a run of new bytes in the middle of a file is chunked by itself. A run that reaches the
//          end of the file goes on with the chunk that the file ended in: when the chunker finds
//          that chunk's cut, the whole chunk is written once, as it would have been had the file
//          come in one piece (so equal data is cut alike however it arrived); until then the open
//          tail is kept in pieces that are merged like a binary counter, so a log that gets a line
//          a commit rewrites each byte O(log(chunk / line)) times, not once a commit.
// Ranges:  what the overlay says of ranges becomes deletions and puts of the tree's own keys here.
// Threads: one seal at a time; reads the frozen overlay and the tree only.
// Errors:  those of journal, blocks and tree; nothing is changed but blocks that nobody refers to.
#pragma once

#include "blockstore/block_store.h"
#include "blockstore/chunker.h"
#include "fs/extent_read.h"
#include "fs/live_map.h"

#include <vector>

namespace amberfs {

struct Sealed {
  std::vector<Change> changes;   // for Tree::apply: no journal extent is left
  std::uint64_t data_bytes = 0;  // new file data that was sealed
};

[[nodiscard]] Result<Sealed> seal(const Frozen& frozen, BlockStore& blocks, Journal& journal,
                                  const ChunkerOptions& options);

}  // namespace amberfs
