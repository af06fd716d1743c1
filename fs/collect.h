// SPDX-License-Identifier: Apache-2.0
// Collecting: what no snapshot and not the live tree names any more goes, and what stays is laid
// side by side by path, so that it takes less room. Engine::collect finds out what is live (here)
// and has the block store rewrite its packs (blockstore/pack_store_collect.cc).
//
//   1 with commits excluded: commit; BlockStore::begin_collect; note the roots
//   2 mark      every node of every root once; the blocks that extents name
//   3 collect   BlockStore::collect; commits, readers and writers go on
//
// Roots: the head, every snapshot, every tree that somebody holds a view of (RootPins), and the
// heads of the last minutes, as pages of a diff name them. What is committed meanwhile is made of
// blocks put since (1), which stay, and of what these roots reach: an overlay shares blocks only of
// the live tree or of a snapshot, and everything older was committed in (1).
// Threads: any; one collection at a time.
// Memory:  36 bytes a block and tree node, some more a node and inode while it marks.
// Errors:  a manifest or node that cannot be read: nothing is dropped.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/block_store.h"

#include <chrono>
#include <deque>
#include <functional>
#include <set>

namespace amberfs {

struct CollectOptions {
  CompactOptions compact;
  // Trees that were live so long ago, or later, stay.
  std::chrono::seconds recent{300};
};

// Roots of trees that are in use though nothing on disk may name them.
class RootPins {
 public:
  using Clock = std::chrono::steady_clock;

  // As long as the result lives.
  [[nodiscard]] static std::shared_ptr<const void> pin(const std::shared_ptr<RootPins>& pins,
                                                       const BlockId& root);
  // `root` was that of the live tree until now.
  void replaced(const BlockId& root);
  // Those pinned, and those replaced less than `recent` ago.
  [[nodiscard]] std::vector<BlockId> roots(std::chrono::seconds recent);

 private:
  static constexpr std::chrono::seconds kKept{3600};
  static constexpr std::size_t kKeptMax = 4096;

  Mutex mu_;
  std::multiset<BlockId> pinned_ GUARDED_BY(mu_);
  std::deque<std::pair<Clock::time_point, BlockId>> replaced_ GUARDED_BY(mu_);
};

// Every block that the roots reach, sorted by id, its order by path. `roots`: the first one is the
// live tree, whose paths count.
[[nodiscard]] Result<std::vector<LiveBlock>> mark_live(Blocks& blocks,
                                                       std::span<const BlockId> roots,
                                                       const std::function<bool()>& keep_going);

}  // namespace amberfs
