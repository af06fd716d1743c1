// SPDX-License-Identifier: Apache-2.0
// Tree::apply, level by level. The edits of a level are put into the old nodes around them; from
// the first node touched the entries are split anew until a new border falls on an old one, where
// the nodes that follow are what they were. The nodes that went and came are the edits of the level
// above. The root is the single node of the lowest level that has only one.
#include "snapshot/splitter.h"
#include "snapshot/tree.h"
#include "snapshot/tree_cursor.h"

#include <map>

namespace amberfs {
namespace {

using Edits = std::map<Bytes, std::optional<Bytes>>;

class LevelEditor {
 public:
  // `root` is zero or of a level at least `level`.
  LevelEditor(Blocks& blocks, const BlockId& root, unsigned level)
      : blocks_(blocks), cursor_(blocks, root), level_(level), builder_(level) {}

  // The nodes that came, and as deletions those that went.
  Result<Edits> apply(std::span<const Change> changes) {
    for (next_ = changes.begin(), end_ = changes.end(); next_ != end_;) {
      TRY(cursor_.seek_node(next_->key, level_));
      TRY(rewrite_from_here());
    }
    for (const auto& [key, id] : removed_) above_.try_emplace(key, std::nullopt);
    return std::move(above_);
  }
  // A node that was rewritten into itself is no edit for the level above.
  void drop_unchanged(Edits& above) const {
    for (const auto& [key, id] : removed_) {
      auto made = above.find(key);
      if (made != above.end() && made->second == id.view()) above.erase(made);
    }
  }

 private:
  // Rewrites old nodes from the cursor on until the borders are back in step.
  Status rewrite_from_here() {
    while (cursor_.valid()) {
      const NodeView node = cursor_.node();
      removed_.emplace(node.last_key(), cursor_.node_id(static_cast<int>(level_)));
      TRY(cursor_.skip(static_cast<int>(level_)));
      const bool is_last = !cursor_.valid();
      TRY(merge(node, is_last));
      if (is_last) break;
      if (builder_.empty()) return ok();
      while (cursor_.lowest_level() > level_) TRY(cursor_.descend());
    }
    while (next_ != end_) TRY(take_change());  // an empty tree, or keys behind the last node
    return builder_.empty() ? ok() : finish_node();
  }

  Status merge(const NodeView& node, bool is_last) {
    for (std::size_t i = 0; i < node.count(); ++i) {
      const NodeEntry entry = node.entry(i);
      while (next_ != end_ && next_->key < entry.key) TRY(take_change());
      if (next_ != end_ && next_->key == entry.key) {
        TRY(take_change());
      } else {
        TRY(add(entry.key, entry.value));
      }
    }
    if (is_last) {
      while (next_ != end_) TRY(take_change());
    }
    return ok();
  }

  Status take_change() {
    const Change& change = *next_++;
    return change.value ? add(change.key, *change.value) : ok();
  }

  Status add(ByteView key, ByteView value) {
    builder_.add(key, value);
    return Splitter::ends_node(level_, builder_) ? finish_node() : ok();
  }

  Status finish_node() {
    Bytes last_key(builder_.last_key());
    TRY_ASSIGN(BlockId id, blocks_.put(builder_.finish(), BlockKind::kNode));
    above_[std::move(last_key)] = Bytes(id.view());
    return ok();
  }

  Blocks& blocks_;
  TreeCursor cursor_;
  const unsigned level_;
  NodeBuilder builder_;
  std::span<const Change>::iterator next_;
  std::span<const Change>::iterator end_;
  std::map<Bytes, BlockId> removed_;
  Edits above_;
};

std::vector<Change> to_changes(Edits edits) {
  std::vector<Change> changes;
  changes.reserve(edits.size());
  while (!edits.empty()) {
    auto node = edits.extract(edits.begin());
    changes.push_back({std::move(node.key()), std::move(node.mapped())});
  }
  return changes;
}

// A root with one child is no root: its child is.
Result<BlockId> descend_single_children(Blocks& blocks, BlockId root) {
  while (true) {
    TRY_ASSIGN(NodeView node, read_node(blocks, root, -1));
    if (node.level() == 0 || node.count() > 1) return root;
    root = node.child(0);
  }
}

}  // namespace

Result<Tree> Tree::apply(std::span<const Change> changes) const {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (changes[i].key.size() > UINT16_MAX || (i > 0 && changes[i].key <= changes[i - 1].key)) {
      return fail(Errc::kBadRequest, 0, "change a tree: keys too long or not in order");
    }
  }
  int root_level = -1;
  if (!root_.is_zero()) {
    TRY_ASSIGN(NodeView root, read_node(*blocks_, root_, -1));
    root_level = static_cast<int>(root.level());
  }
  std::vector<Change> from_below;
  for (int level = 0; !changes.empty(); ++level) {
    const bool above_root = level > root_level;
    LevelEditor editor(*blocks_, above_root ? BlockId{} : root_, static_cast<unsigned>(level));
    TRY_ASSIGN(Edits above, editor.apply(changes));
    if (level < root_level) {
      editor.drop_unchanged(above);
    } else {
      // From the old root's level up, `above` holds every node of the level.
      std::erase_if(above, [](const auto& edit) { return !edit.second; });
      if (above.empty()) return Tree(*blocks_, BlockId{});
      if (above.size() == 1) {
        TRY_ASSIGN(BlockId root,
                   descend_single_children(*blocks_, BlockId::from(*above.begin()->second)));
        return Tree(*blocks_, root);
      }
    }
    from_below = to_changes(std::move(above));
    changes = from_below;
  }
  return *this;
}

}  // namespace amberfs
