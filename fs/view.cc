// SPDX-License-Identifier: Apache-2.0
#include "fs/view.h"

#include "fs/view_cursor.h"

namespace amberfs {

Result<std::optional<Bytes>> View::get(ByteView key) const {
  for (const auto& overlay : overlays_) {
    if (Overlay::Lookup found = overlay->get(key)) return *std::move(found);
  }
  return tree_.get(key);
}

std::unique_ptr<Cursor> View::cursor() const {
  if (overlays_.empty()) return tree_.cursor();
  return std::make_unique<ViewCursor>(overlays_, tree_.cursor());
}

}  // namespace amberfs
