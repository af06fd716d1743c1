// SPDX-License-Identifier: Apache-2.0
// MemoryBlockStore: a BlockStore in memory, for tests of fs that are not about packs. Blocks that
// were not published are forgotten by crash(), as on disk.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/block_store.h"

#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace amberfs::testing {

class MemoryBlockStore final : public BlockStore {
 public:
  Result<BlockId> put(ByteView bytes, BlockKind) override {
    if (bytes.size() > kBlockSizeMax) return fail(Errc::kBadRequest, 0, "put: block too large");
    BlockId id{sha256(bytes)};
    MutexLock lock(mu_);
    if (!published_.contains(id)) pending_.try_emplace(id, std::make_shared<const Bytes>(bytes));
    return id;
  }
  Result<BlockData> get(const BlockId& id) override {
    MutexLock lock(mu_);
    for (const auto* blocks : {&pending_, &published_}) {
      if (auto it = blocks->find(id); it != blocks->end()) return it->second;
    }
    return fail(Errc::kBlockMissing, 0, "get block", id.to_hex());
  }
  Result<bool> contains(const BlockId& id) override {
    MutexLock lock(mu_);
    return published_.contains(id) || pending_.contains(id);
  }
  Result<Bytes> head() override {
    MutexLock lock(mu_);
    return head_;
  }
  Status publish(ByteView head) override {
    MutexLock lock(mu_);
    published_.merge(pending_);
    pending_.clear();
    head_ = head;
    return ok();
  }
  Status read(const BlockId& id, std::uint64_t offset, char* target, std::size_t size) override {
    TRY_ASSIGN(BlockData data, get(id));
    if (offset > data->size() || size > data->size() - offset) {
      return fail(Errc::kCorrupt, 0, "read block", id.to_hex());
    }
    std::memcpy(target, data->data() + offset, size);
    return ok();
  }
  bool is_cached(const BlockId& id) override {
    MutexLock lock(mu_);
    return cached_.contains(id);
  }
  void prefetch(std::span<const BlockId> ids) override {
    MutexLock lock(mu_);
    prefetched_.assign(ids.begin(), ids.end());
  }
  Result<std::vector<Damage>> verify(const VerifyOptions&) override {
    return std::vector<Damage>{};
  }
  Result<BlockStoreStats> stats() override { return BlockStoreStats{}; }
  Status close() override { return ok(); }

  // What is_cached() says from now on; nothing else depends on it.
  void set_cached(const BlockId& id) {
    MutexLock lock(mu_);
    cached_.insert(id);
  }
  // Of the last hint; forgets it.
  std::vector<BlockId> take_prefetched() {
    MutexLock lock(mu_);
    return std::exchange(prefetched_, {});
  }

  void crash() {
    MutexLock lock(mu_);
    pending_.clear();
  }

 private:
  using Map = std::unordered_map<BlockId, BlockData>;
  Mutex mu_;
  Map published_ GUARDED_BY(mu_);
  Map pending_ GUARDED_BY(mu_);
  Bytes head_ GUARDED_BY(mu_);
  std::unordered_set<BlockId> cached_ GUARDED_BY(mu_);
  std::vector<BlockId> prefetched_ GUARDED_BY(mu_);
};

}  // namespace amberfs::testing
