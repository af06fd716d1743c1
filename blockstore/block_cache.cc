// SPDX-License-Identifier: Apache-2.0
#include "blockstore/block_cache.h"

namespace amberfs {

BlockData BlockCache::find(const BlockId& id) {
  Shard& shard = shards_[shard_of(id)];
  MutexLock lock(shard.mu);
  auto it = shard.by_id.find(id);
  if (it == shard.by_id.end()) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  shard.entries.splice(shard.entries.begin(), shard.entries, it->second);
  return it->second->data;
}

bool BlockCache::contains(const BlockId& id) {
  Shard& shard = shards_[shard_of(id)];
  MutexLock lock(shard.mu);
  return shard.by_id.contains(id);
}

void BlockCache::insert(const BlockId& id, BlockData data) {
  const std::size_t own = shard_of(id);
  Entry entry{id, std::move(data)};
  if (cost(entry) > size_max_bytes_) return;
  {
    Shard& shard = shards_[own];
    MutexLock lock(shard.mu);
    if (shard.by_id.contains(id)) return;
    size_bytes_ += cost(entry);
    shard.entries.push_front(std::move(entry));
    shard.by_id[id] = shard.entries.begin();
  }
  if (size_bytes_ > size_max_bytes_) shrink(own);
}

void BlockCache::erase(const BlockId& id) {
  Shard& shard = shards_[shard_of(id)];
  MutexLock lock(shard.mu);
  auto it = shard.by_id.find(id);
  if (it == shard.by_id.end()) return;
  size_bytes_ -= cost(*it->second);
  shard.entries.erase(it->second);
  shard.by_id.erase(it);
}

bool BlockCache::evict_oldest(Shard& shard, std::size_t spared) {
  MutexLock lock(shard.mu);
  if (shard.entries.size() <= spared) return false;
  size_bytes_ -= cost(shard.entries.back());
  shard.by_id.erase(shard.entries.back().id);
  shard.entries.pop_back();
  return true;
}

// Takes from one shard after the other, so that a few large blocks in one of them cannot be kept
// by the smallness of the rest; what was just inserted is spared.
void BlockCache::shrink(std::size_t first_shard) {
  bool dropped = true;
  while (dropped && size_bytes_ > size_max_bytes_) {
    dropped = false;
    for (std::size_t i = 0; i < kShards && size_bytes_ > size_max_bytes_; ++i) {
      dropped |= evict_oldest(shards_[(first_shard + i) % kShards], i == 0 ? 1 : 0);
    }
  }
}

}  // namespace amberfs
