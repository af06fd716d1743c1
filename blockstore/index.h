// SPDX-License-Identifier: Apache-2.0
// Index: where each block is, which packs there are, and the published head. A cache of what the
// packs say, but for which commit was the last one published: that it alone knows.
// Flow:       put, get → lookup; publish → commit; verify → entries_after; open → packs, head.
// Durability: commit() is atomic and durable on return: all of it, or nothing of it. When it fails
//             it is unknown which, until the index is opened again.
// Threads:    lookups and reads from any thread, also beside commit(); one commit() at a time.
// Owns:       its file. Implemented on LMDB by index_lmdb.cc, in memory by tests/support.
// Errors:     kIndexDamaged, kNewerFormat, kNoSpace; as of the disk.
// Format:     docs/FORMAT.md#index.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/pack_format.h"
#include "blockstore/store_cipher.h"

#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace amberfs {

// Packs are named in the index by small numbers, 1, 2, 3 …, never reused within one index.
using PackNumber = std::uint32_t;

struct BlockLocation {
  PackNumber pack = 0;
  std::uint64_t offset = 0;
  std::uint32_t stored_size = 0;
  std::uint32_t plain_size = 0;
  BlockKind kind = BlockKind::kData;
  Codec codec = Codec::kRaw;
  // Of a block in a group: offset and stored_size are the group's frame, and the block's bytes
  // begin here in the group's plain bytes, of which there are group_size. 0: a frame of its own.
  std::uint32_t group_offset = 0;
  std::uint32_t group_size = 0;
  [[nodiscard]] bool in_group() const { return group_size != 0; }
  friend bool operator==(const BlockLocation&, const BlockLocation&) = default;
};

struct IndexEntry {
  BlockId id;
  BlockLocation location;
};

struct PackRow {
  PackNumber number = 0;
  PackId id{};
  std::uint64_t length = 0;  // bytes that were published; with the footer when sealed
  bool sealed = false;
  bool gone = false;       // no entry is in it, its file is being removed
  bool leftovers = false;  // some of its blocks were copied elsewhere: frames may have no entry
  friend bool operator==(const PackRow&, const PackRow&) = default;
};

struct IndexTotals {
  std::uint64_t block_count = 0;
  std::uint64_t data_plain_bytes = 0;
  std::uint64_t node_plain_bytes = 0;
  friend bool operator==(const IndexTotals&, const IndexTotals&) = default;
};

// A block that was copied elsewhere.
struct IndexMove {
  BlockId id;
  BlockLocation from;
  BlockLocation to;
};

// What one transaction changes.
struct IndexCommit {
  std::vector<IndexEntry> entries;     // added, or moved to another place
  std::vector<PackRow> packs;          // added or changed
  std::vector<PackNumber> packs_gone;  // of which no entry is left
  std::vector<IndexMove> moves;        // of those that are where `from` says when it is committed
  std::vector<BlockId> dropped;        // those that lie in a pack that this commit marks as gone
  std::optional<HeadRecord> head;
};

class Index {
 public:
  virtual ~Index() = default;
  [[nodiscard]] virtual Result<std::optional<BlockLocation>> lookup(const BlockId& id) = 0;
  [[nodiscard]] virtual Result<std::vector<PackRow>> packs() = 0;  // in order of number
  [[nodiscard]] virtual Result<HeadRecord> head() = 0;             // sequence 0: none yet
  [[nodiscard]] virtual Result<IndexTotals> totals() = 0;
  // Up to `count` entries with ids above `after` (from the first one without), in order of id.
  [[nodiscard]] virtual Result<std::vector<IndexEntry>> entries_after(
      const std::optional<BlockId>& after, std::size_t count) = 0;
  [[nodiscard]] virtual Status commit(const IndexCommit& change) = 0;
  [[nodiscard]] virtual Status close() = 0;
};

// An index is of the second version from its first group or pack marked as gone on.
constexpr std::uint32_t kIndexVersionPlain = 1;
constexpr std::uint32_t kIndexVersionGroups = 2;
constexpr std::uint32_t kIndexVersionEncrypted = 3;              // from the beginning
constexpr std::uint32_t kIndexVersion = kIndexVersionEncrypted;  // the newest that is known
constexpr std::string_view kIndexDirectory = "index";
constexpr std::string_view kIndexFile = "index/data.mdb";

// `path` is the file of the index. Creating fails when it is there; opening when it is not.
// `cipher` is that of an encrypted store: with it the values are encrypted. Opening without it
// gives kKeyMissing then; with one that a plain index does not need, kBadRequest.
[[nodiscard]] Result<std::unique_ptr<Index>> create_lmdb_index(
    const std::string& path, std::uint64_t map_size_bytes,
    std::shared_ptr<const StoreCipher> cipher = nullptr);
[[nodiscard]] Result<std::unique_ptr<Index>> open_lmdb_index(
    const std::string& path, std::uint64_t map_size_bytes,
    std::shared_ptr<const StoreCipher> cipher = nullptr);
// LMDB keeps a table of readers in a file beside the index.
[[nodiscard]] inline std::string index_lock_path(const std::string& path) {
  return path + "-lock";
}

}  // namespace amberfs
