// SPDX-License-Identifier: Apache-2.0
// TreeCursor: a place in a tree, as the path of nodes from the root down to it. Nodes below the
// path are read only when an entry of a leaf is asked for, so that diff can step over a whole
// subtree without reading it.
// Threads: one thread; the nodes it holds stay alive with it.
#pragma once

#include "snapshot/map_reader.h"
#include "snapshot/node_format.h"

#include <vector>

namespace amberfs {

class TreeCursor final : public Cursor {
 public:
  TreeCursor(Blocks& blocks, const BlockId& root) : blocks_(blocks), root_(root) {}

  Status seek(ByteView key) override;
  Status next() override;
  [[nodiscard]] bool valid() const override { return !path_.empty(); }
  [[nodiscard]] ByteView key() const override { return leaf().key; }
  [[nodiscard]] ByteView value() const override { return leaf().value; }

  // ---- for diff and apply. Level 0 is the leaves.
  // To the first subtree of the tree: the root itself, nothing below it read yet.
  [[nodiscard]] Status start();
  // Forward to the node of level `lowest` that would hold `key` (the last one when all keys are
  // lower), with its ancestors; nothing below is read. From where the cursor stands, so that a
  // sweep over many keys reads each node once; `key` must lie behind what skip() has passed.
  [[nodiscard]] Status seek_node(ByteView key, unsigned lowest);
  // The lowest level whose node is on the path.
  [[nodiscard]] unsigned lowest_level() const { return path_.back().node.level(); }
  [[nodiscard]] unsigned root_level() const { return path_.front().node.level(); }
  // The highest level whose node begins exactly here. One below lowest_level() at least.
  [[nodiscard]] int highest_begun_level() const;
  // The node of that level on the path, or the child that the path points to.
  [[nodiscard]] BlockId node_id(int level) const;
  [[nodiscard]] const NodeView& node() const { return path_.back().node; }
  // Reads one level further down. Only when lowest_level() > 0.
  [[nodiscard]] Status descend();
  // Past the node of `level` (on the path or just below it), without reading what follows; not
  // valid() when it was the last.
  [[nodiscard]] Status skip(int level);

 private:
  struct Step {
    NodeView node;
    BlockId id;
    std::size_t index = 0;
  };
  [[nodiscard]] NodeEntry leaf() const { return path_.back().node.entry(path_.back().index); }
  [[nodiscard]] Status to_leaf();
  // The last key before the child that the path points to; nullopt at the tree's left edge.
  [[nodiscard]] std::optional<ByteView> key_before() const;

  Blocks& blocks_;
  BlockId root_;
  std::vector<Step> path_;  // from the root down; empty: not valid
};

}  // namespace amberfs
