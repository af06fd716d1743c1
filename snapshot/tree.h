// SPDX-License-Identifier: Apache-2.0
// Tree: an immutable ordered map whose nodes are blocks; its root id names its whole content.
// Node borders are chosen by a hash of the keys, restarting after each border ("prolly tree"), so
// equal content gives equal roots whatever the history, unchanged subtrees are shared, and two
// trees are compared in time proportional to what differs.
// Source:  noms/dolt prolly trees; Auvolat & Taïani, "Merkle Search Trees" (SRDS 2019).
// Flow:    commit: apply(changes) → new root.   read: get/cursor.   diff_trees: two roots.
// Threads: a Tree is an immutable value (cheap to copy); safe from any thread.
// Owns:    nothing; borrows Blocks, which must outlive it and its cursors.
// Errors:  kBlockMissing, kCorrupt (a node that does not parse, keys out of order, a level that
//          does not shrink), and what Blocks returns.
// Format:  docs/FORMAT.md#node.
#pragma once

#include "blockstore/blocks.h"
#include "snapshot/map_reader.h"

#include <functional>
#include <span>
#include <vector>

namespace amberfs {

// One change of a batch apply: a put, or a delete when `value` is empty (nullopt).
struct Change {
  Bytes key;
  std::optional<Bytes> value;
};

class Tree final : public MapReader {
 public:
  // The all-zero id is the empty tree. No block is read here.
  Tree(Blocks& blocks, const BlockId& root) : blocks_(&blocks), root_(root) {}

  [[nodiscard]] const BlockId& root() const { return root_; }
  [[nodiscard]] Result<std::optional<Bytes>> get(ByteView key) const override;
  [[nodiscard]] std::unique_ptr<Cursor> cursor() const override;

  // A new tree with `changes` (sorted by key, each key once) applied. Deleting what is not there
  // is no error. Reads and writes only nodes on the way to what changed.
  [[nodiscard]] Result<Tree> apply(std::span<const Change> changes) const;

 private:
  Blocks* blocks_;
  BlockId root_;
};

// Called for each key that differs: exactly one of the two values may be absent. Returning an
// error stops the diff with it.
using DiffVisitor = std::function<Status(ByteView key, std::optional<ByteView> before,
                                         std::optional<ByteView> after)>;

// Visits, in key order, every key whose presence or value differs between the trees. Equal
// subtrees are skipped without being read.
[[nodiscard]] Status diff_trees(Blocks& blocks, const BlockId& before, const BlockId& after,
                                const DiffVisitor& visit);

// Visits the id of every node of a tree and, for each leaf entry, lets the caller look at it (for
// verify and collect). `enter` decides whether a node's subtree is walked at all (false: seen).
struct NodeVisitor {
  std::function<bool(const BlockId& node)> enter;
  std::function<Status(ByteView key, ByteView value)> entry;
  // A node that cannot be read: return ok to go on around it.
  std::function<Status(const BlockId& node, const Error& error)> damaged;
};
[[nodiscard]] Status walk_tree(Blocks& blocks, const BlockId& root, const NodeVisitor& visitor);

}  // namespace amberfs
