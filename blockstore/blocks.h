// SPDX-License-Identifier: Apache-2.0
// Blocks: bytes in, id out. The one interface the layers above see for storing and reading blocks;
// BlockStore implements it on packs, MemoryBlocks (tests/support) in memory.
// Durability: a block that put() accepted is visible to get() at once and durable only after
//             BlockStore::publish().
// Threads:    every method from any thread.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"
#include "blockstore/block_id.h"

#include <memory>
#include <span>

namespace amberfs {

// What a block holds: tells apart in statistics, verify and collect what the bytes cannot.
// On disk, never renumber.
enum class BlockKind : std::uint8_t { kData = 1, kNode = 2 };

// The decoded bytes of a block, shared and immutable.
using BlockData = std::shared_ptr<const Bytes>;

class Blocks {
 public:
  // Bigger blocks are refused (kBadRequest): readers may allocate this much for any frame.
  static constexpr std::size_t kBlockSizeMax = 16 * kMiB;

  virtual ~Blocks() = default;
  // Stores `bytes` unless a block of the same id is there already.
  [[nodiscard]] virtual Result<BlockId> put(ByteView bytes, BlockKind kind) = 0;
  // kBlockMissing when there is no such block, kCorrupt when its frame is damaged.
  [[nodiscard]] virtual Result<BlockData> get(const BlockId& id) = 0;
  [[nodiscard]] virtual Result<bool> contains(const BlockId& id) = 0;

  // Reads [offset, offset + size) of a block's plaintext into `target`, if possible without copying
  // the rest. kCorrupt when the block is shorter.
  [[nodiscard]] virtual Status read(const BlockId& id, std::uint64_t offset, char* target,
                                    std::size_t size);
  // True when a read of it needs no decoding. By the next moment that may have changed.
  [[nodiscard]] virtual bool is_cached(const BlockId&) { return false; }
  // Hint: these blocks will be read soon (decoded in the background, bounded).
  virtual void prefetch(std::span<const BlockId>) {}
};

}  // namespace amberfs
