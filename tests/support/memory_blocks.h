// SPDX-License-Identifier: Apache-2.0
// MemoryBlocks: Blocks in memory, for tests of the layers above. Counts reads and writes, so that
// a test can check that work is proportional to what changed.
#pragma once

#include <unordered_map>

#include "blockstore/base/mutex.h"
#include "blockstore/blocks.h"

namespace amberfs::testing {

class MemoryBlocks final : public Blocks {
 public:
  Result<BlockId> put(ByteView bytes, BlockKind) override {
    if (bytes.size() > kBlockSizeMax) return fail(Errc::kBadRequest, 0, "put: block too large");
    BlockId id{sha256(bytes)};
    MutexLock lock(mu_);
    ++puts;
    if (!blocks_.contains(id)) {
      ++new_blocks;
      blocks_.emplace(id, std::make_shared<const Bytes>(bytes));
    }
    return id;
  }
  Result<BlockData> get(const BlockId& id) override {
    MutexLock lock(mu_);
    ++gets;
    auto it = blocks_.find(id);
    if (it == blocks_.end()) return fail(Errc::kBlockMissing, 0, "get block", id.to_hex());
    return it->second;
  }
  Result<bool> contains(const BlockId& id) override {
    MutexLock lock(mu_);
    return blocks_.contains(id);
  }

  std::size_t puts = 0;
  std::size_t new_blocks = 0;
  std::size_t gets = 0;

 private:
  Mutex mu_;
  std::unordered_map<BlockId, BlockData> blocks_;
};

}  // namespace amberfs::testing
