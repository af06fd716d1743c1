// SPDX-License-Identifier: Apache-2.0
#include "blockstore/group_format.h"

#include "blockstore/base/coding.h"

#include <unordered_set>

namespace amberfs {

std::uint64_t GroupBuilder::plain_bytes_with(std::uint64_t block_size) const {
  const std::uint64_t table = kGroupHeadSize + kGroupEntrySize * (members_.size() + 1);
  return table + bytes_.size() + block_size;
}

bool GroupBuilder::has_room(std::uint64_t block_size) const {
  return plain_bytes_with(block_size) <= kGroupSizeMax;
}

void GroupBuilder::add(const BlockId& id, BlockKind kind, ByteView block) {
  members_.push_back({id, kind, static_cast<std::uint32_t>(bytes_.size()),
                      static_cast<std::uint32_t>(block.size())});
  bytes_ += block;
}

GroupBuilder::Group GroupBuilder::take() {
  Encoder out;
  out.u32(static_cast<std::uint32_t>(members_.size()));
  const auto first = static_cast<std::uint32_t>(kGroupHeadSize + kGroupEntrySize * members_.size());
  for (GroupMember& member : members_) {
    out.bytes(member.id.view()).u8(static_cast<std::uint8_t>(member.kind)).u32(member.size);
    member.offset += first;
  }
  out.bytes(bytes_);
  bytes_.clear();
  return {std::move(out).take(), std::exchange(members_, {})};
}

Result<std::vector<GroupMember>> decode_group(ByteView plain) {
  Decoder in(plain);
  const std::uint64_t count = in.u32();
  if (!in.ok() || count == 0 || count > in.remaining() / kGroupEntrySize) {
    return fail(Errc::kCorrupt, 0, "group table does not fit in the group");
  }
  std::vector<GroupMember> members;
  members.reserve(count);
  std::unordered_set<BlockId> ids;
  std::uint64_t offset = kGroupHeadSize + kGroupEntrySize * count;
  for (std::uint64_t i = 0; i < count; ++i) {
    GroupMember member;
    member.id = BlockId::from(in.bytes(BlockId::kSize));
    const std::uint8_t kind = in.u8();
    member.size = in.u32();
    if (kind < 1 || kind > 2) return fail(Errc::kCorrupt, 0, "group lists an unknown kind");
    if (member.size > plain.size() - offset) {
      return fail(Errc::kCorrupt, 0, "group lists a block outside itself");
    }
    if (!ids.insert(member.id).second) return fail(Errc::kCorrupt, 0, "group lists a block twice");
    member.kind = BlockKind{kind};
    member.offset = static_cast<std::uint32_t>(offset);
    offset += member.size;
    members.push_back(member);
  }
  if (offset != plain.size()) return fail(Errc::kCorrupt, 0, "group has bytes of no block");
  return members;
}

}  // namespace amberfs
