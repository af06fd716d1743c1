// SPDX-License-Identifier: Apache-2.0
// BlockCache: decoded blocks in memory, bounded by bytes; the least recently used go first.
// Flow:    get, read, prefetch → find; after decoding → insert.
// Threads: every method from any thread; sharded by id so that readers rarely meet.
// Owns:    its references; blocks handed out live as long as their holders want.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/blocks.h"

#include <array>
#include <atomic>
#include <list>
#include <unordered_map>

namespace amberfs {

class BlockCache {
 public:
  explicit BlockCache(std::uint64_t size_max_bytes) : size_max_bytes_(size_max_bytes) {}

  [[nodiscard]] BlockData find(const BlockId& id);  // null when it is not there
  [[nodiscard]] bool contains(const BlockId& id);   // leaves order and counters alone
  void insert(const BlockId& id, BlockData data);
  void erase(const BlockId& id);

  // Bytes of decoded blocks and of what it takes to keep them.
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] std::uint64_t hits() const { return hits_; }
  [[nodiscard]] std::uint64_t misses() const { return misses_; }

 private:
  static constexpr std::size_t kShards = 16;
  // List node, table node and control block of one entry, about.
  static constexpr std::uint64_t kEntryOverhead = 192;

  struct Entry {
    BlockId id;
    BlockData data;
  };
  struct Shard {
    Mutex mu;
    std::list<Entry> entries GUARDED_BY(mu);  // most recently used first
    std::unordered_map<BlockId, std::list<Entry>::iterator> by_id GUARDED_BY(mu);
  };

  [[nodiscard]] static std::size_t shard_of(const BlockId& id) {
    return id.bytes.back() % kShards;  // std::hash takes the front
  }
  [[nodiscard]] static std::uint64_t cost(const Entry& entry) {
    return entry.data->capacity() + kEntryOverhead;
  }
  // Drops the oldest of a shard; the newest `spared` entries stay. False: nothing to drop.
  bool evict_oldest(Shard& shard, std::size_t spared);
  void shrink(std::size_t first_shard);

  const std::uint64_t size_max_bytes_;
  std::array<Shard, kShards> shards_;
  std::atomic<std::uint64_t> size_bytes_ = 0;
  std::atomic<std::uint64_t> hits_ = 0;
  std::atomic<std::uint64_t> misses_ = 0;
};

}  // namespace amberfs
