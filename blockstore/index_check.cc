// SPDX-License-Identifier: Apache-2.0
#include "blockstore/index_check.h"

#include "blockstore/base/coding.h"

namespace amberfs {

Status IndexCheck::require_free(IndexPageNumber first, std::uint64_t count) const {
  for (IndexPageNumber page = first; page < first + count; ++page) {
    if (claimed_[page]) return pages_.damaged(page, "it is in two places");
  }
  return ok();
}

Status IndexCheck::claim(IndexPageNumber first, std::uint64_t count) {
  TRY(require_free(first, count));
  for (IndexPageNumber page = first; page < first + count; ++page) claimed_[page] = true;
  return ok();
}

// How many, then their numbers, the highest first; what is behind is room.
Status IndexCheck::claim_freed(ByteView pages) {
  constexpr std::size_t kSize = sizeof(IndexPageNumber);
  IndexPageNumber before = roots_.last_page + 1;
  const std::uint64_t count = pages.size() < kSize ? 0 : load_le<std::uint64_t>(pages.data());
  if (pages.size() < kSize || count > pages.size() / kSize - 1) {
    return pages_.damaged(roots_.free_list.root, "a list of free pages is cut short");
  }
  for (std::uint64_t i = 1; i <= count; ++i) {
    const auto page = load_le<IndexPageNumber>(pages.data() + i * kSize);
    if (page < 2 || page >= before) {
      return pages_.damaged(roots_.free_list.root, "a free page is not one of the index");
    }
    TRY(claim(page, 1));
    before = page;
  }
  return ok();
}

Status IndexCheck::environment() {
  const auto taken = [this](IndexPageNumber first, std::uint64_t count) {
    return claim(first, count);
  };
  Status freed = ok();
  TRY(pages_.visit(
      roots_, roots_.free_list, {},
      [&](ByteView, ByteView pages) {
        freed = claim_freed(pages);
        return freed.has_value();
      },
      taken));
  TRY(std::move(freed));
  return whole(roots_.tables);
}

Status IndexCheck::whole(const IndexTree& tree) {
  return pages_.visit(
      roots_, tree, {}, nullptr,
      [this](IndexPageNumber first, std::uint64_t count) { return claim(first, count); });
}

Status IndexCheck::ways_to(const IndexTree& tree, std::span<const ByteView> keys) {
  return pages_.check_ways(roots_, tree, keys, [this](IndexPageNumber first, std::uint64_t count) {
    return require_free(first, count);
  });
}

}  // namespace amberfs
