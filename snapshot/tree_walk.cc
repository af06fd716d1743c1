// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node_format.h"
#include "snapshot/tree.h"

namespace amberfs {
namespace {

// Recursion is as deep as the tree: a node's level is checked to be one below its parent's.
Status walk(Blocks& blocks, const BlockId& id, int level, const NodeVisitor& visitor) {
  if (!visitor.enter(id)) return ok();
  const auto node = read_node(blocks, id, level);
  if (!node) return visitor.damaged(id, node.error());
  for (std::size_t i = 0; i < node->count(); ++i) {
    if (node->level() == 0) {
      const NodeEntry entry = node->entry(i);
      TRY(visitor.entry(entry.key, entry.value));
    } else {
      TRY(walk(blocks, node->child(i), static_cast<int>(node->level()) - 1, visitor));
    }
  }
  return ok();
}

}  // namespace

Status walk_tree(Blocks& blocks, const BlockId& root, const NodeVisitor& visitor) {
  return root.is_zero() ? ok() : walk(blocks, root, -1, visitor);
}

}  // namespace amberfs
