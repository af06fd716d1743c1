// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_format.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

constexpr std::size_t kChecksumSize = 8;
// Readers allocate it. Twice what the smallest frames make of a pack of full size.
constexpr std::uint64_t kFooterSizeMax = 512 * kMiB;
constexpr std::string_view kPackSuffix = ".pack";

ByteView view_of(const PackId& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

// Of the pack id, then everything between footer offset and the checksum itself.
std::uint64_t footer_checksum(const PackId& pack, ByteView footer) {
  return xxh3_of_two(view_of(pack), footer);
}

void encode_entry(Encoder& out, const FrameSpot& spot) {
  out.bytes(spot.header.id.view())
      .u64(spot.offset)
      .u32(spot.header.stored_size)
      .u32(spot.header.plain_size)
      .u8(static_cast<std::uint8_t>(spot.header.type))
      .u8(static_cast<std::uint8_t>(spot.header.codec))
      .u16(spot.header.flags);
}

FrameSpot decode_entry(Decoder& in) {
  FrameSpot spot;
  const ByteView id = in.bytes(BlockId::kSize);
  if (!in.ok()) return spot;
  spot.header.id = BlockId::from(id);
  spot.offset = in.u64();
  spot.header.stored_size = in.u32();
  spot.header.plain_size = in.u32();
  spot.header.type = FrameType{in.u8()};
  spot.header.codec = Codec{in.u8()};
  spot.header.flags = in.u16();
  return spot;
}

}  // namespace

Bytes encode_pack_header(const PackHeader& header) {
  Encoder out;
  out.bytes(kPackMagic).u32(header.version).u32(header.flags).bytes(view_of(header.id));
  out.i64(header.created_ns).u64(0).u64(0);
  const std::uint64_t checksum = xxh3(out.view());
  out.u64(checksum);
  return std::move(out).take();
}

Result<PackHeader> decode_pack_header(ByteView raw) {
  if (raw.size() < kPackHeaderSize) return fail(Errc::kCorrupt, 0, "pack header is cut short");
  raw = raw.substr(0, kPackHeaderSize);
  Decoder in(raw);
  const ByteView magic = in.bytes(kPackMagic.size());
  PackHeader header;
  header.version = in.u32();
  header.flags = in.u32();
  const ByteView id = in.bytes(header.id.size());
  std::memcpy(header.id.data(), id.data(), id.size());
  header.created_ns = in.i64();
  (void)in.bytes(16);  // reserved
  const std::uint64_t checksum = in.u64();
  if (magic != kPackMagic) return fail(Errc::kCorrupt, 0, "pack magic does not match");
  if (checksum != xxh3(raw.substr(0, kPackHeaderSize - kChecksumSize))) {
    return fail(Errc::kCorrupt, 0, "pack header checksum does not match");
  }
  if (header.version > kPackVersion) {
    return fail(Errc::kNewerFormat, 0, "pack has version " + std::to_string(header.version));
  }
  if (header.version == 0) return fail(Errc::kCorrupt, 0, "pack has version 0");
  if (header.version >= kPackVersionEncrypted && (header.flags & ~kPackEncryptedFlag) != 0) {
    return fail(Errc::kNewerFormat, 0, "pack has flags " + std::to_string(header.flags));
  }
  return header;
}

Bytes encode_footer(const PackId& pack, const std::vector<FrameSpot>& frames,
                    std::uint64_t footer_offset) {
  Encoder out;
  for (const FrameSpot& spot : frames) encode_entry(out, spot);
  out.bytes(kTrailerMagic).u64(footer_offset).u64(frames.size()).u64(0);
  const std::uint64_t checksum = footer_checksum(pack, out.view());
  out.u64(checksum);
  return std::move(out).take();
}

Result<Trailer> decode_trailer(ByteView raw, std::uint64_t file_size) {
  Decoder in(raw);
  const ByteView magic = in.bytes(kTrailerMagic.size());
  Trailer trailer;
  trailer.footer_offset = in.u64();
  trailer.frame_count = in.u64();
  (void)in.u64();  // reserved
  (void)in.u64();  // checksum
  if (!in.ok() || magic != kTrailerMagic) {
    return fail(Errc::kCorrupt, 0, "pack trailer is missing");
  }
  if (file_size < kPackHeaderSize + kTrailerSize || trailer.footer_offset < kPackHeaderSize ||
      trailer.footer_offset > file_size - kTrailerSize) {
    return fail(Errc::kCorrupt, 0, "pack trailer points outside the pack");
  }
  const std::uint64_t entries_size = file_size - kTrailerSize - trailer.footer_offset;
  if (trailer.frame_count != entries_size / kFooterEntrySize ||
      entries_size % kFooterEntrySize != 0) {
    return fail(Errc::kCorrupt, 0, "pack footer has a wrong size");
  }
  if (entries_size > kFooterSizeMax) {
    return fail(Errc::kCorrupt, 0, "pack footer is larger than any can be");
  }
  return trailer;
}

Result<std::vector<FrameSpot>> decode_footer(const PackId& pack, ByteView raw,
                                             const Trailer& trailer) {
  if (raw.size() != trailer.frame_count * kFooterEntrySize + kTrailerSize) {
    return fail(Errc::kCorrupt, 0, "pack footer has a wrong size");
  }
  const ByteView checked = raw.substr(0, raw.size() - kChecksumSize);
  if (load_le<std::uint64_t>(raw.data() + checked.size()) != footer_checksum(pack, checked)) {
    return fail(Errc::kCorrupt, 0, "pack footer checksum does not match");
  }
  std::vector<FrameSpot> frames;
  frames.reserve(trailer.frame_count);
  Decoder in(raw);
  std::uint64_t end = kPackHeaderSize;
  for (std::uint64_t i = 0; i < trailer.frame_count; ++i) {
    FrameSpot spot = decode_entry(in);
    if (!in.ok() || spot.offset < end || spot.offset > trailer.footer_offset ||
        frame_size(spot.header) > trailer.footer_offset - spot.offset) {
      return fail(Errc::kCorrupt, 0, "pack footer lists frames that overlap or lie outside");
    }
    end = spot.offset + frame_size(spot.header);
    frames.push_back(spot);
  }
  return frames;
}

std::string pack_directory(const PackId& id) {
  return to_hex(view_of(id)).substr(0, 2);
}

std::string pack_file_name(const PackId& id) {
  const std::string hex = to_hex(view_of(id));
  return hex.substr(0, 2) + "/" + hex + std::string(kPackSuffix);
}

bool parse_pack_file_name(std::string_view name, PackId* id) {
  if (!name.ends_with(kPackSuffix)) return false;
  name.remove_suffix(kPackSuffix.size());
  return from_hex(name, id->data(), id->size());
}

}  // namespace amberfs
