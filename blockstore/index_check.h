// SPDX-License-Identifier: Apache-2.0
// IndexCheck: what LMDB is going to look at in one commit, checked before it begins, so that no
// damaged page is ever seen by it. No page may be in two places: LMDB would write over one of them.
// Units:   one bit of memory for each page of the index.
// Threads: one at a time. Borrows what it is given.
// Errors:  kIndexDamaged; as of the disk.
#pragma once

#include "blockstore/index_pages.h"

#include <span>
#include <vector>

namespace amberfs {

class IndexCheck {
 public:
  IndexCheck(const IndexPages& pages, const IndexRoots& roots)
      : pages_(pages), roots_(roots), claimed_(roots.last_page + 1) {}

  // The names of the tables, and the pages that LMDB takes for new ones.
  [[nodiscard]] Status environment();
  [[nodiscard]] Status whole(const IndexTree& tree);
  // The ways to keys that are going to be put; in order. After the rest: what that holds is not
  // theirs.
  [[nodiscard]] Status ways_to(const IndexTree& tree, std::span<const ByteView> keys);

 private:
  [[nodiscard]] Status require_free(IndexPageNumber first, std::uint64_t count) const;
  [[nodiscard]] Status claim(IndexPageNumber first, std::uint64_t count);
  [[nodiscard]] Status claim_freed(ByteView pages);

  const IndexPages& pages_;
  const IndexRoots& roots_;
  std::vector<bool> claimed_;
};

}  // namespace amberfs
