// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node_format.h"
#include "snapshot/tree.h"

namespace amberfs {
namespace {

class Walk {
 public:
  Walk(Blocks& blocks, const NodeVisitor& visitor) : blocks_(blocks), visitor_(visitor) {}

  Status root(const BlockId& id) {
    if (!visitor_.enter(id)) return ok();
    const auto node = read_node(blocks_, id, -1);
    return node ? inside(*node, std::nullopt) : visitor_.damaged(id, node.error());
  }

 private:
  // `after`: the last key before the node. Recursion is as deep as the tree, NodeView::kLevelMax at
  // most: read_child() holds each level to be one below its parent's.
  Status inside(const NodeView& node, std::optional<ByteView> after) {
    for (std::size_t i = 0; i < node.count(); ++i) {
      const NodeEntry entry = node.entry(i);
      TRY(node.level() == 0 ? visitor_.entry(entry.key, entry.value) : child(node, i, after));
      after = entry.key;
    }
    return ok();
  }

  Status child(const NodeView& parent, std::size_t i, std::optional<ByteView> after) {
    const BlockId id = parent.child(i);
    if (!visitor_.enter(id)) return ok();
    const auto node = read_child(blocks_, parent, i, after);
    return node ? inside(*node, after) : visitor_.damaged(id, node.error());
  }

  Blocks& blocks_;
  const NodeVisitor& visitor_;
};

}  // namespace

Status walk_tree(Blocks& blocks, const BlockId& root, const NodeVisitor& visitor) {
  return root.is_zero() ? ok() : Walk(blocks, visitor).root(root);
}

}  // namespace amberfs
