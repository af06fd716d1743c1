// SPDX-License-Identifier: Apache-2.0
#include "blockstore/frame_format.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

std::uint64_t frame_checksum(const PackId& pack, ByteView header, ByteView stored) {
  std::array<char, sizeof(PackId) + kFrameFieldsSize> first{};
  std::memcpy(first.data(), pack.data(), pack.size());
  std::memcpy(first.data() + pack.size(), header.data(), kFrameFieldsSize);
  return xxh3_of_two({first.data(), first.size()}, stored);
}

bool known_type(std::uint8_t type) {
  return type >= static_cast<std::uint8_t>(FrameType::kData) &&
         type <= static_cast<std::uint8_t>(FrameType::kEncrypted);
}

// They bound what a reader allocates.
bool sizes_in_bounds(const FrameHeader& header) {
  if (header.plain_size > Blocks::kBlockSizeMax) return false;
  if (header.type != FrameType::kEncrypted) return header.stored_size <= Blocks::kBlockSizeMax;
  return header.stored_size >= kEncryptedOverhead && header.stored_size <= kStoredSizeMax;
}

}  // namespace

Bytes encode_frame_fields(const FrameHeader& header) {
  Encoder out;
  out.bytes(kFrameMagic)
      .u8(static_cast<std::uint8_t>(header.type))
      .u8(static_cast<std::uint8_t>(header.codec))
      .u16(header.flags)
      .u32(header.stored_size)
      .u32(header.plain_size)
      .bytes(header.id.view());
  return std::move(out).take();
}

Bytes encode_frame_header(const PackId& pack, const FrameHeader& header, ByteView stored) {
  Bytes raw = encode_frame_fields(header);
  const std::uint64_t checksum = frame_checksum(pack, raw, stored);
  raw.resize(kFrameHeaderSize);
  store_le(raw.data() + kFrameFieldsSize, checksum);
  return raw;
}

Result<FrameHeader> decode_frame_header(ByteView raw) {
  Decoder in(raw);
  const ByteView magic = in.bytes(kFrameMagic.size());
  const std::uint8_t type = in.u8();
  FrameHeader header;
  header.codec = Codec{in.u8()};
  header.flags = in.u16();
  header.stored_size = in.u32();
  header.plain_size = in.u32();
  const ByteView id = in.bytes(BlockId::kSize);
  (void)in.u64();
  if (!in.ok()) return fail(Errc::kCorrupt, 0, "frame header is cut short");
  if (magic != kFrameMagic) return fail(Errc::kCorrupt, 0, "frame magic does not match");
  if (!known_type(type)) return fail(Errc::kCorrupt, 0, "frame type is unknown");
  header.type = FrameType{type};
  if (!sizes_in_bounds(header)) {
    return fail(Errc::kCorrupt, 0, "frame declares more, or less, than a block may hold");
  }
  header.id = BlockId::from(id);
  return header;
}

Status check_frame(const PackId& pack, ByteView raw_header, ByteView stored) {
  if (raw_header.size() < kFrameHeaderSize) {
    return fail(Errc::kCorrupt, 0, "frame header is cut short");
  }
  const auto declared = load_le<std::uint64_t>(raw_header.data() + kFrameFieldsSize);
  if (frame_checksum(pack, raw_header, stored) != declared) {
    return fail(Errc::kCorrupt, 0, "frame checksum does not match");
  }
  return ok();
}

Bytes encode_head(const HeadRecord& record) {
  Encoder out;
  out.u64(record.sequence).bytes(record.head);
  return std::move(out).take();
}

Result<HeadRecord> decode_head(ByteView plain) {
  Decoder in(plain);
  HeadRecord record;
  record.sequence = in.u64();
  if (!in.ok() || in.remaining() > kHeadSizeMax) {
    return fail(Errc::kCorrupt, 0, "head record has a wrong size");
  }
  record.head = Bytes(in.bytes(in.remaining()));
  return record;
}

}  // namespace amberfs
