// SPDX-License-Identifier: Apache-2.0
// Group: several blocks in one frame, so that what they have in common is stored once. Its plain
// bytes are a table, then the bytes of the blocks, one behind the other.
//
//   OFFSET     SIZE      FIELD
//   0          4         block count n, never 0
//   4          37 * n    of each block: id (32), kind (u8), size (u32)
//   4+37n      …         the blocks' bytes, in the order of the table
//
// Flow:    compaction: add … take → encode_long → frame; get: read_group → decode_group.
// Threads: a GroupBuilder belongs to one thread; decode_group is safe everywhere.
// Errors:  kCorrupt: a table that does not fill the plain bytes exactly, or holds an id twice.
// Format:  docs/format/pack.md.
#pragma once

#include "blockstore/blocks.h"

#include <vector>

namespace amberfs {

constexpr std::size_t kGroupHeadSize = 4;
constexpr std::size_t kGroupEntrySize = 37;
// Readers allocate the plain bytes of a whole group.
constexpr std::size_t kGroupSizeMax = Blocks::kBlockSizeMax;

struct GroupMember {
  BlockId id;
  BlockKind kind = BlockKind::kData;
  std::uint32_t offset = 0;  // in the group's plain bytes
  std::uint32_t size = 0;
};

// Whether a block of this size can be in a group at all.
[[nodiscard]] constexpr bool fits_in_group(std::uint64_t block_size) {
  return block_size <= kGroupSizeMax - kGroupHeadSize - kGroupEntrySize;
}

class GroupBuilder {
 public:
  [[nodiscard]] bool empty() const { return members_.empty(); }
  // Of the table and the blocks, after one more block of this size.
  [[nodiscard]] std::uint64_t plain_bytes_with(std::uint64_t block_size) const;
  // Whether one more block keeps the plain bytes within kGroupSizeMax.
  [[nodiscard]] bool has_room(std::uint64_t block_size) const;
  void add(const BlockId& id, BlockKind kind, ByteView block);

  struct Group {
    Bytes plain;
    std::vector<GroupMember> members;
  };
  // The builder is empty afterwards.
  [[nodiscard]] Group take();

 private:
  std::vector<GroupMember> members_;  // offsets from the first block's byte until take()
  Bytes bytes_;
};

// The members of a group, in the order of its table. Offsets and sizes lie within `plain`.
[[nodiscard]] Result<std::vector<GroupMember>> decode_group(ByteView plain);

}  // namespace amberfs
