// SPDX-License-Identifier: Apache-2.0
// What the tests of collecting share.
#pragma once

#include "blockstore/block_store.h"

#include <algorithm>
#include <map>
#include <vector>

namespace amberfs::testing {

// In the order in which they are given.
inline std::vector<LiveBlock> live_list(const std::vector<BlockId>& ids) {
  std::vector<LiveBlock> live;
  for (const BlockId& id : ids) live.push_back({id, static_cast<std::uint32_t>(live.size())});
  std::ranges::sort(live, {}, &LiveBlock::id);
  return live;
}

inline std::vector<LiveBlock> live_list(const std::map<BlockId, Bytes>& blocks) {
  std::vector<BlockId> ids;
  for (const auto& [id, bytes] : blocks) ids.push_back(id);
  return live_list(ids);
}

inline CompactOptions small_groups() {
  CompactOptions options;
  options.zstd_level = 3;
  options.data_group_bytes = 8 * kKiB;
  options.node_group_bytes = 4 * kKiB;
  options.low_priority = false;
  return options;
}

inline Result<CompactReport> collect(BlockStore& store, const std::vector<LiveBlock>& live,
                                     const CompactOptions& options = small_groups()) {
  TRY(store.begin_collect());
  auto report = store.collect(live, options);
  store.end_collect();
  return report;
}

}  // namespace amberfs::testing
