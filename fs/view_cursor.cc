// SPDX-License-Identifier: Apache-2.0
#include "fs/view_cursor.h"

namespace amberfs {

Status ViewCursor::seek(ByteView key) {
  valid_ = false;
  TRY(tree_->seek(key));
  return settle(Bytes(key), false);
}

Status ViewCursor::next() {
  Bytes last(key());
  const bool was_in_tree = in_tree_;
  valid_ = false;
  if (was_in_tree) TRY(tree_->next());
  return settle(std::move(last), true);
}

Status ViewCursor::settle(Bytes bound, bool after) {
  in_tree_ = false;
  while (true) {
    std::optional<Overlay::Entry> found = find_in_overlays(bound, after);
    if (tree_->valid() && (!found || tree_->key() < found->key)) {
      in_tree_ = valid_ = true;
      return ok();
    }
    if (!found) return ok();
    // What the tree has under this key is replaced or deleted.
    if (tree_->valid() && tree_->key() == found->key) TRY(tree_->next());
    if (found->value) {
      entry_ = *std::move(found);
      valid_ = true;
      return ok();
    }
    bound = std::move(found->key);
    after = true;
  }
}

std::optional<Overlay::Entry> ViewCursor::find_in_overlays(ByteView bound, bool after) const {
  std::optional<Overlay::Entry> smallest;
  for (const auto& overlay : overlays_) {
    std::optional<Overlay::Entry> entry = overlay->find_from(bound, after);
    if (entry && (!smallest || entry->key < smallest->key)) smallest = std::move(entry);
  }
  return smallest;
}

}  // namespace amberfs
