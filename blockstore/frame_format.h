// SPDX-License-Identifier: Apache-2.0
// Frame: one block, a group of blocks, or one published head, as it stands in a pack: a header,
//          then the stored bytes.
// Flow:    put: codec → frame_cipher → encode_frame_header → pack_writer;
//          get: pack_reader → check_frame → frame_cipher → codec.
// Threads: free functions on values, safe everywhere.
// Errors:  kCorrupt, saying what of the frame does not hold.
// Format:  docs/FORMAT.md#pack. The checksum covers the id of the pack as well, so that a frame
//          inside the bytes of a stored block, or one that landed in the wrong pack, is not valid.
#pragma once

#include "blockstore/base/cipher.h"
#include "blockstore/blocks.h"
#include "blockstore/codec.h"

#include <array>

namespace amberfs {

using PackId = std::array<std::uint8_t, 16>;

// On disk, never renumber. A block's type is its BlockKind. A group: blockstore/group_format.h.
// Encrypted: any of the others; which one only the key tells (blockstore/frame_cipher.h).
enum class FrameType : std::uint8_t { kData = 1, kNode = 2, kHead = 3, kGroup = 4, kEncrypted = 5 };
static_assert(static_cast<int>(FrameType::kData) == static_cast<int>(BlockKind::kData));
static_assert(static_cast<int>(FrameType::kNode) == static_cast<int>(BlockKind::kNode));

[[nodiscard]] constexpr bool is_block(FrameType type) {
  return type == FrameType::kData || type == FrameType::kNode;
}

// Of a frame as it can be seen.
[[nodiscard]] constexpr bool may_be_block(FrameType type) {
  return is_block(type) || type == FrameType::kEncrypted;
}
[[nodiscard]] constexpr bool may_be_group(FrameType type) {
  return type == FrameType::kGroup || type == FrameType::kEncrypted;
}

struct FrameHeader {
  FrameType type = FrameType::kData;
  Codec codec = Codec::kRaw;
  std::uint16_t flags = 0;  // none is known yet: dictionaries, several chunks a frame
  std::uint32_t stored_size = 0;
  std::uint32_t plain_size = 0;  // 0 where an encrypted frame can be seen
  BlockId id;                    // of the plain bytes, also for heads and groups
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

constexpr std::size_t kFrameHeaderSize = 56;
constexpr std::size_t kFrameFieldsSize = kFrameHeaderSize - 8;  // without the checksum
// What stands before the encoded bytes of an encrypted frame: its true type, codec and size.
constexpr std::size_t kInnerHeaderSize = 16;
constexpr std::size_t kEncryptedOverhead = kInnerHeaderSize + Sealer::kOverhead;
// A block that does not shrink, encrypted.
constexpr std::size_t kStoredSizeMax = Blocks::kBlockSizeMax + kEncryptedOverhead;
constexpr ByteView kFrameMagic{"AFRM", 4};
constexpr std::size_t kHeadSizeMax = 64 * kKiB;

[[nodiscard]] inline std::uint64_t frame_size(const FrameHeader& header) {
  return kFrameHeaderSize + header.stored_size;
}

// The first kFrameFieldsSize bytes of a frame.
[[nodiscard]] Bytes encode_frame_fields(const FrameHeader& header);

// kFrameHeaderSize bytes, with the checksum over them and `stored`.
[[nodiscard]] Bytes encode_frame_header(const PackId& pack, const FrameHeader& header,
                                        ByteView stored);

// Magic, type and bounds of the sizes; not yet the checksum. `raw` begins with the header.
[[nodiscard]] Result<FrameHeader> decode_frame_header(ByteView raw);

// The checksum of a frame whose header decoded: `raw_header` is its kFrameHeaderSize bytes.
[[nodiscard]] Status check_frame(const PackId& pack, ByteView raw_header, ByteView stored);

// The plain bytes of a head frame.
struct HeadRecord {
  std::uint64_t sequence = 0;  // of the publish; a higher one is newer
  Bytes head;
};
[[nodiscard]] Bytes encode_head(const HeadRecord& record);
[[nodiscard]] Result<HeadRecord> decode_head(ByteView plain);

}  // namespace amberfs
