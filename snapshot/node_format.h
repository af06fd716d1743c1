// SPDX-License-Identifier: Apache-2.0
// A tree node as a block: sorted entries behind a table of their offsets, searched in place.
//
//   OFFSET      SIZE          FIELD
//   0           4             magic "ABND"
//   4           1             version, 1
//   5           1             level: 0 is a leaf
//   6           2             reserved, 0
//   8           4             entry count n, never 0
//   12          4 * (n + 1)   offset of each entry from the node's start; last, the node's size
//   12+4(n+1)   …             entries: key size (u16), key, value
//
// In a leaf the value is the map's value; above, the key is the last key of a child and the value
// is the child's id (32 bytes). Keys strictly ascend.
// Threads: a NodeView is an immutable value that shares the block.
// Errors:  kCorrupt, kNewerFormat: everything is checked once, in parse(), so that the accessors
//          need no checks. What only a parent can tell is checked by read_child().
// Format:  docs/format/node.md.
#pragma once

#include "blockstore/blocks.h"

#include <optional>
#include <vector>

namespace amberfs {

struct NodeEntry {
  ByteView key;
  ByteView value;
};

class NodeView {
 public:
  static constexpr unsigned kLevelMax = 32;

  [[nodiscard]] static Result<NodeView> parse(BlockData block);

  [[nodiscard]] unsigned level() const { return level_; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] NodeEntry entry(std::size_t i) const;
  [[nodiscard]] BlockId child(std::size_t i) const { return BlockId::from(entry(i).value); }
  [[nodiscard]] ByteView last_key() const { return entry(count_ - 1).key; }
  // The first entry with a key >= `key`; count() when there is none.
  [[nodiscard]] std::size_t lower_bound(ByteView key) const;

 private:
  BlockData block_;
  unsigned level_ = 0;
  std::size_t count_ = 0;
};

// Reads and parses a node; its level must be `level` unless that is negative. An error names it.
[[nodiscard]] Result<NodeView> read_node(Blocks& blocks, const BlockId& id, int level);

// Reads child `i` and holds it to what its parent says: one level below, its last key the one the
// parent gives, all its keys above `after` (the last key of what stands before it; nullopt: there
// is nothing). Without that a search would miss entries.
[[nodiscard]] Result<NodeView> read_child(Blocks& blocks, const NodeView& parent, std::size_t i,
                                          std::optional<ByteView> after);

// Collects entries in key order and encodes them.
class NodeBuilder {
 public:
  explicit NodeBuilder(unsigned level) : level_(level) {}
  void add(ByteView key, ByteView value);
  [[nodiscard]] bool empty() const { return ends_.empty(); }
  [[nodiscard]] std::size_t count() const { return ends_.size(); }
  [[nodiscard]] std::size_t entry_bytes() const { return entries_.size(); }
  [[nodiscard]] ByteView last_key() const { return last_key_; }
  // The node's bytes; the builder is empty afterwards.
  [[nodiscard]] Bytes finish();

 private:
  unsigned level_;
  Bytes entries_;
  std::vector<std::uint32_t> ends_;
  Bytes last_key_;
};

}  // namespace amberfs
