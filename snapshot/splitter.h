// SPDX-License-Identifier: Apache-2.0
// Splitter: decides where one tree node ends and the next begins.
//
// The decision looks at the entries since the last border and nothing else, so the nodes of a level
// are a pure function of its sequence of entries: equal content gives equal nodes whatever the
// history, and after a change the borders fall back into step at the first one they share.
//
// Once a node holds kSizeMin bytes, an entry ends it with probability 1/kEntriesPerBorder, decided
// by a hash of its level and key: the size beyond the minimum is geometric, on average
// kEntriesPerBorder entries (about 64 * 90 bytes = 5.6 KiB for leaves, 64 * 55 = 3.4 KiB above), so
// a node has about 7.5 KiB. kSizeMax ends it in any case (reached by e^-5 of the nodes); only the
// entry that reaches it may go beyond, by as much as that one entry is large. The level is hashed
// in because the keys above are last keys of nodes: their hashes are no longer random. Source:
// prolly trees of noms and dolt.
#pragma once

#include "blockstore/base/hash.h"
#include "snapshot/node_format.h"

namespace amberfs {

class Splitter {
 public:
  static constexpr std::size_t kSizeMin = 2 * kKiB;
  static constexpr std::size_t kSizeMax = 32 * kKiB;
  static constexpr std::uint64_t kEntriesPerBorder = 64;
  // Above the leaves a node of one entry would not make the level smaller.
  static constexpr std::size_t kEntriesMin = 2;

  // Whether the entry just added to `node` (at `level`) is its last one.
  [[nodiscard]] static bool ends_node(unsigned level, const NodeBuilder& node) {
    if (node.count() < kEntriesMin || node.entry_bytes() < kSizeMin) return false;
    if (node.entry_bytes() >= kSizeMax) return true;
    return xxh3(node.last_key(), level + 1) % kEntriesPerBorder == 0;
  }
};

}  // namespace amberfs
