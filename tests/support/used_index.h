// SPDX-License-Identifier: Apache-2.0
// An index of every kind of page, and everything a store does with one, for those who damage it:
// it must answer right or refuse, and LMDB must never see a page that it would die of.
#pragma once

#include "blockstore/index.h"

#include <cstdlib>
#include <string>

namespace amberfs::testing {

constexpr std::uint64_t kUsedIndexMapSize = 16 * kMiB;
constexpr PackNumber kUsedIndexPacks = 8;

inline IndexEntry used_index_entry(std::uint64_t number) {
  return {BlockId{sha256({reinterpret_cast<const char*>(&number), sizeof number})},
          {.pack = static_cast<PackNumber>(number % kUsedIndexPacks + 1),
           .offset = 64 + number * 100,
           .stored_size = 44,
           .plain_size = 100,
           .codec = Codec::kZstd}};
}

inline IndexCommit used_index_commit(std::uint64_t first, std::uint64_t count) {
  IndexCommit change;
  for (std::uint64_t i = first; i < first + count; ++i) {
    change.entries.push_back(used_index_entry(i));
  }
  for (PackNumber number = 1; number <= kUsedIndexPacks; ++number) {
    change.packs.push_back({number, PackId{static_cast<std::uint8_t>(number)}, 1 << 20, true});
  }
  change.head = HeadRecord{first + 1, Bytes(10'000, 'h')};  // fills pages of its own
  return change;
}

// The blocks of one pack, dropped.
inline IndexCommit used_index_collect(std::uint64_t count, PackNumber pack) {
  IndexCommit change;
  for (std::uint64_t i = 0; i < count; ++i) {
    const IndexEntry entry = used_index_entry(i);
    if (entry.location.pack == pack) change.dropped.push_back(entry.id);
  }
  change.packs = {{pack, PackId{static_cast<std::uint8_t>(pack)}, 1 << 20, true, true}};
  return change;
}

// `count` blocks, some of which are dropped, so that pages are free.
inline Status make_used_index(const std::string& path, std::uint64_t count) {
  TRY_ASSIGN(const auto index, create_lmdb_index(path, kUsedIndexMapSize));
  for (std::uint64_t first = 0; first < count; first += count / 4) {
    TRY(index->commit(used_index_commit(first, count / 4)));
  }
  TRY(index->commit(used_index_collect(count, 1)));
  TRY(index->commit(used_index_collect(count, 2)));
  IndexCommit gone;
  gone.packs_gone = {1};
  TRY(index->commit(gone));
  return index->close();
}

// Reads all that is there, then puts, moves and drops. An error is an answer, wrong ones are not:
// what was just put is found.
inline Status use_index(const std::string& path, std::uint64_t count) {
  TRY_ASSIGN(const auto index, open_lmdb_index(path, kUsedIndexMapSize));
  // Each by itself: one that is refused must not keep the others from being tried.
  (void)index->packs();
  (void)index->head();
  (void)index->totals();
  (void)index->entries_after(std::nullopt, 2 * count);
  for (std::uint64_t i = 0; i < count; i += 1 + count / 50) {
    (void)index->lookup(used_index_entry(i).id);
  }
  const IndexCommit more = used_index_commit(count, 40);
  const Status put = index->commit(more);
  if (put) {
    for (const IndexEntry& entry : more.entries) {
      const auto found = index->lookup(entry.id);
      if (found && *found != entry.location) std::abort();
    }
  }
  IndexCommit moved;
  for (const IndexEntry& entry : more.entries) {
    moved.moves.push_back({entry.id, entry.location, entry.location});
    moved.moves.back().to.offset += 7;
  }
  const Status move = index->commit(moved);
  const Status collect = index->commit(used_index_collect(count, 3));
  IndexCommit gone;
  gone.packs_gone = {2, 3};
  const Status forget = index->commit(gone);
  (void)index->entries_after(std::nullopt, 2 * count);
  TRY(index->close());
  for (const Status& status : {put, move, collect, forget}) TRY(status);
  return ok();
}

}  // namespace amberfs::testing
