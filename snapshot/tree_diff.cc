// SPDX-License-Identifier: Apache-2.0
// diff_trees: two cursors walk side by side. Where both stand at the beginning of a node with the
// same id, the highest such node is stepped over unread.
#include "snapshot/tree.h"
#include "snapshot/tree_cursor.h"

namespace amberfs {
namespace {

// Steps both over the highest equal subtree that begins here. False when there is none.
Result<bool> skip_equal(TreeCursor& before, TreeCursor& after) {
  const int high = std::min(before.highest_begun_level(), after.highest_begun_level());
  // Below both paths nothing is read yet, so the children they point to are the lowest candidates.
  const int low = static_cast<int>(std::max(before.lowest_level(), after.lowest_level())) - 1;
  for (int level = high; level >= std::max(low, 0); --level) {
    if (before.node_id(level) != after.node_id(level)) continue;
    TRY(before.skip(level));
    TRY(after.skip(level));
    return true;
  }
  return false;
}

Status report_rest(TreeCursor& cursor, const std::function<Status()>& report) {
  while (cursor.valid()) {
    while (cursor.lowest_level() > 0) TRY(cursor.descend());
    TRY(report());
    TRY(cursor.skip(-1));
  }
  return ok();
}

}  // namespace

Status diff_trees(Blocks& blocks, const BlockId& before_root, const BlockId& after_root,
                  const DiffVisitor& visit) {
  if (before_root == after_root) return ok();
  TreeCursor before(blocks, before_root);
  TreeCursor after(blocks, after_root);
  TRY(before.start());
  TRY(after.start());
  while (before.valid() && after.valid()) {
    TRY_ASSIGN(bool skipped, skip_equal(before, after));
    if (skipped) continue;
    if (before.lowest_level() > 0 || after.lowest_level() > 0) {
      // The one that is higher up goes down first, so that they can meet on a level.
      TreeCursor& higher = before.lowest_level() >= after.lowest_level() ? before : after;
      TRY(higher.descend());
      continue;
    }
    const int order = before.key().compare(after.key());
    if (order < 0) {
      TRY(visit(before.key(), before.value(), std::nullopt));
    } else if (order > 0) {
      TRY(visit(after.key(), std::nullopt, after.value()));
    } else if (before.value() != after.value()) {
      TRY(visit(before.key(), before.value(), after.value()));
    }
    if (order <= 0) TRY(before.skip(-1));
    if (order >= 0) TRY(after.skip(-1));
  }
  TRY(report_rest(before, [&] { return visit(before.key(), before.value(), std::nullopt); }));
  return report_rest(after, [&] { return visit(after.key(), std::nullopt, after.value()); });
}

}  // namespace amberfs
