// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree.h"
#include "snapshot/tree_cursor.h"

namespace amberfs {

// Without a cursor: one node at a time is held, and only the answer is copied.
Result<std::optional<Bytes>> Tree::get(ByteView key) const {
  if (root_.is_zero()) return std::optional<Bytes>();
  TRY_ASSIGN(NodeView node, read_node(*blocks_, root_, -1));
  while (true) {
    const std::size_t i = node.lower_bound(key);
    if (i == node.count()) return std::optional<Bytes>();
    const NodeEntry entry = node.entry(i);
    if (node.level() == 0) {
      return entry.key == key ? std::optional<Bytes>(entry.value) : std::optional<Bytes>();
    }
    const auto after = i > 0 ? std::optional(node.entry(i - 1).key) : std::nullopt;
    TRY_ASSIGN(node, read_child(*blocks_, node, i, after));
  }
}

std::unique_ptr<Cursor> Tree::cursor() const {
  return std::make_unique<TreeCursor>(*blocks_, root_);
}

}  // namespace amberfs
