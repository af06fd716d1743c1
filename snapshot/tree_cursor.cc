// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree_cursor.h"

#include <algorithm>

namespace amberfs {

Status TreeCursor::start() {
  path_.clear();
  if (root_.is_zero()) return ok();
  TRY_ASSIGN(NodeView root, read_node(blocks_, root_, -1));
  path_.push_back({std::move(root), root_, 0});
  return ok();
}

Status TreeCursor::descend() {
  const Step& parent = path_.back();
  TRY_ASSIGN(NodeView node, read_child(blocks_, parent.node, parent.index, key_before()));
  path_.push_back({std::move(node), parent.node.child(parent.index), 0});
  return ok();
}

std::optional<ByteView> TreeCursor::key_before() const {
  for (auto step = path_.rbegin(); step != path_.rend(); ++step) {
    if (step->index > 0) return step->node.entry(step->index - 1).key;
  }
  return std::nullopt;
}

Status TreeCursor::to_leaf() {
  while (valid() && lowest_level() > 0) TRY(descend());
  return ok();
}

Status TreeCursor::seek(ByteView key) {
  TRY(start());
  while (valid()) {
    Step& step = path_.back();
    step.index = step.node.lower_bound(key);
    if (step.index == step.node.count()) {
      path_.clear();  // only at the root: below, the parent's key says that there is one
      return ok();
    }
    if (step.node.level() == 0) return ok();
    TRY(descend());
  }
  return ok();
}

Status TreeCursor::seek_node(ByteView key, unsigned lowest) {
  if (!valid()) TRY(start());
  while (path_.size() > 1 && node().last_key() < key) path_.pop_back();
  while (valid() && lowest_level() > lowest) {
    Step& step = path_.back();
    step.index = std::min(step.node.lower_bound(key), step.node.count() - 1);
    TRY(descend());
  }
  return ok();
}

Status TreeCursor::next() {
  TRY(skip(-1));
  return to_leaf();
}

int TreeCursor::highest_begun_level() const {
  int level = static_cast<int>(lowest_level()) - 1;
  for (auto step = path_.rbegin(); step != path_.rend() && step->index == 0; ++step) ++level;
  return level;
}

BlockId TreeCursor::node_id(int level) const {
  const auto lowest = static_cast<int>(lowest_level());
  if (level < lowest) return path_.back().node.child(path_.back().index);
  return path_[path_.size() - 1 - static_cast<std::size_t>(level - lowest)].id;
}

Status TreeCursor::skip(int level) {
  while (valid() && static_cast<int>(lowest_level()) <= level) path_.pop_back();
  while (valid()) {
    Step& step = path_.back();
    if (++step.index < step.node.count()) return ok();
    path_.pop_back();
  }
  return ok();
}

}  // namespace amberfs
