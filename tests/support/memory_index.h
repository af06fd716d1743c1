// SPDX-License-Identifier: Apache-2.0
// MemoryIndex: Index in memory. What it holds is a state of its own that outlives it, so that a
// test can "crash" a store, lose everything but the disk, and open a new one on the same state.
// Its n-th commit can fail, before or after it took effect.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/index.h"

#include <map>

namespace amberfs::testing {

struct MemoryIndexState {
  Mutex mu;
  std::map<BlockId, BlockLocation> blocks GUARDED_BY(mu);
  std::map<PackNumber, PackRow> packs GUARDED_BY(mu);
  HeadRecord head GUARDED_BY(mu);
  std::uint64_t commits GUARDED_BY(mu) = 0;
  std::uint64_t fail_at GUARDED_BY(mu) = 0;  // which commit fails, 1 is the first; 0 none
  bool takes_effect GUARDED_BY(mu) = false;  // the failing commit reached the disk all the same
};

class MemoryIndex final : public Index {
 public:
  explicit MemoryIndex(std::shared_ptr<MemoryIndexState> state) : state_(std::move(state)) {}

  Result<std::optional<BlockLocation>> lookup(const BlockId& id) override {
    MutexLock lock(state_->mu);
    auto it = state_->blocks.find(id);
    if (it == state_->blocks.end()) return std::optional<BlockLocation>{};
    return std::optional(it->second);
  }
  Result<std::vector<PackRow>> packs() override {
    MutexLock lock(state_->mu);
    std::vector<PackRow> rows;
    for (const auto& [number, row] : state_->packs) rows.push_back(row);
    return rows;
  }
  Result<HeadRecord> head() override {
    MutexLock lock(state_->mu);
    return state_->head;
  }
  Result<IndexTotals> totals() override {
    MutexLock lock(state_->mu);
    IndexTotals totals;
    for (const auto& [id, location] : state_->blocks) {
      ++totals.block_count;
      auto& bytes =
          location.kind == BlockKind::kNode ? totals.node_plain_bytes : totals.data_plain_bytes;
      bytes += location.plain_size;
    }
    return totals;
  }
  Result<std::vector<IndexEntry>> entries_after(const std::optional<BlockId>& after,
                                                std::size_t count) override {
    MutexLock lock(state_->mu);
    std::vector<IndexEntry> entries;
    auto it = after ? state_->blocks.upper_bound(*after) : state_->blocks.begin();
    for (; it != state_->blocks.end() && entries.size() < count; ++it) {
      entries.push_back({it->first, it->second});
    }
    return entries;
  }
  Status commit(const IndexCommit& change) override {
    MutexLock lock(state_->mu);
    const bool fails = ++state_->commits == state_->fail_at;
    if (!fails || state_->takes_effect) {
      for (const IndexEntry& entry : change.entries) state_->blocks[entry.id] = entry.location;
      for (const IndexMove& move : change.moves) {
        auto it = state_->blocks.find(move.id);
        if (it != state_->blocks.end() && it->second == move.from) it->second = move.to;
      }
      for (const PackRow& row : change.packs) state_->packs[row.number] = row;
      for (const BlockId& id : change.dropped) {
        auto it = state_->blocks.find(id);
        if (it != state_->blocks.end() && state_->packs[it->second.pack].gone) {
          state_->blocks.erase(it);
        }
      }
      for (PackNumber number : change.packs_gone) state_->packs.erase(number);
      if (change.head) state_->head = *change.head;
    }
    if (fails) return fail(Errc::kIo, EIO, "injected fault: commit to index");
    return ok();
  }
  Status close() override { return ok(); }

 private:
  std::shared_ptr<MemoryIndexState> state_;
};

}  // namespace amberfs::testing
