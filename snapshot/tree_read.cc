// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree.h"
#include "snapshot/tree_cursor.h"

namespace amberfs {

Result<std::optional<Bytes>> Tree::get(ByteView key) const {
  TreeCursor cursor(*blocks_, root_);
  TRY(cursor.seek(key));
  if (!cursor.valid() || cursor.key() != key) return std::optional<Bytes>();
  return std::optional<Bytes>(cursor.value());
}

std::unique_ptr<Cursor> Tree::cursor() const {
  return std::make_unique<TreeCursor>(*blocks_, root_);
}

}  // namespace amberfs
