// SPDX-License-Identifier: Apache-2.0
// ViewCursor: overlays and a tree as one ordered run of entries: of equal keys the newest layer's
// wins, and a deletion hides the key.
// Threads: one. The newest overlay may change meanwhile: every step asks the overlays anew, so a
//          step sees the entries of that moment and never an entry that was remembered.
// Owns:    shares the overlays; the tree cursor keeps its nodes.
#pragma once

#include "fs/overlay.h"

#include <memory>
#include <vector>

namespace amberfs {

class ViewCursor final : public Cursor {
 public:
  // `overlays` newest first.
  ViewCursor(std::vector<std::shared_ptr<const Overlay>> overlays, std::unique_ptr<Cursor> tree)
      : overlays_(std::move(overlays)), tree_(std::move(tree)) {}

  [[nodiscard]] Status seek(ByteView key) override;
  [[nodiscard]] Status next() override;
  [[nodiscard]] bool valid() const override { return valid_; }
  [[nodiscard]] ByteView key() const override { return in_tree_ ? tree_->key() : entry_.key; }
  [[nodiscard]] ByteView value() const override {
    return in_tree_ ? tree_->value() : ByteView(*entry_.value);
  }

 private:
  // Moves to the first entry that is not deleted with key >= bound (> when `after`). The tree
  // cursor stands at its first key that is.
  [[nodiscard]] Status settle(Bytes bound, bool after);
  // The smallest key of all overlays; of equal ones the newest.
  [[nodiscard]] std::optional<Overlay::Entry> find_in_overlays(ByteView bound, bool after) const;

  std::vector<std::shared_ptr<const Overlay>> overlays_;
  std::unique_ptr<Cursor> tree_;
  bool valid_ = false;
  bool in_tree_ = false;  // the current entry is the tree cursor's, else entry_
  Overlay::Entry entry_;
};

}  // namespace amberfs
