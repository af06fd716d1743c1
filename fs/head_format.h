// SPDX-License-Identifier: Apache-2.0
// Head: the one small record that says what the store is now: the tree's root and where in the
// journal the changes above it begin. Published atomically with the index by BlockStore::publish().
// Format: docs/FORMAT.md#head.   Errors: kCorrupt, kNewerFormat.
#pragma once

#include "fs/journal.h"
#include "snapshot/manifest.h"

#include <string>

namespace amberfs {

struct Head {
  BlockId root;
  JournalPosition journal;  // replay starts here
  std::uint64_t next_ino = kRootIno + 1;
  std::uint64_t next_snapshot = 1;  // sequence of the next snapshot; never goes back
  TreeTotals totals;
  std::int64_t commit_time_ns = 0;
  // Bookkeeping for the next manifest: what was written since the newest snapshot.
  std::uint64_t changed_bytes = 0;
  std::uint64_t pack_bytes_at_snapshot = 0;
  BlockId snapshot_root;  // root of the newest snapshot; zero when there is none
  std::string adopted_directory;
};

[[nodiscard]] Bytes encode_store_head(const Head& head);
[[nodiscard]] Result<Head> decode_store_head(ByteView bytes);

}  // namespace amberfs
