// SPDX-License-Identifier: Apache-2.0
#include "blockstore/frame_cipher.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

constexpr ByteView kLabel{"amberfs frame"};

Bytes encode_inner(const FrameHeader& header) {
  Encoder out;
  out.u8(static_cast<std::uint8_t>(header.type))
      .u8(static_cast<std::uint8_t>(header.codec))
      .u16(header.flags)
      .u32(header.plain_size)
      .u64(0);
  return std::move(out).take();
}

// What a frame may not be moved away from: its pack, and what can be seen of it, its id above all.
// Each part has a fixed size.
Bytes associated_with(const PackId& pack, const FrameHeader& seen) {
  Bytes bytes(reinterpret_cast<const char*>(pack.data()), pack.size());
  bytes += encode_frame_fields(seen);
  bytes += kLabel;
  return bytes;
}

Status take_inner(ByteView opened, FrameHeader& header) {
  Decoder in(opened);
  const std::uint8_t type = in.u8();
  header.codec = Codec{in.u8()};
  header.flags = in.u16();
  header.plain_size = in.u32();
  (void)in.u64();  // reserved
  if (!in.ok() || type < static_cast<std::uint8_t>(FrameType::kData) ||
      type > static_cast<std::uint8_t>(FrameType::kGroup)) {
    return fail(Errc::kCorrupt, 0, "frame type is unknown");
  }
  if (header.plain_size > Blocks::kBlockSizeMax) {
    return fail(Errc::kCorrupt, 0, "frame declares more than a block may hold");
  }
  header.type = FrameType{type};
  return ok();
}

}  // namespace

Result<Bytes> OpenedFrame::decode_in_place(Bytes raw) && {
  Bytes& bytes = opened_.empty() ? raw : opened_;
  const std::size_t size = encoded().size();
  if (header.codec != Codec::kRaw || header.plain_size != size) return decode();
  bytes.erase(0, bytes.size() - size);
  return std::move(bytes);
}

StoredFrame FrameCipher::store(const PackId& pack, FrameHeader header, ByteView encoded) const {
  return store_with(cipher_ ? random_bytes(Sealer::kNonceSize) : Bytes{}, pack, header, encoded);
}

StoredFrame FrameCipher::store_with(ByteView nonce, const PackId& pack, FrameHeader header,
                                    ByteView encoded) const {
  StoredFrame frame;
  frame.header = header;
  frame.header.stored_size = static_cast<std::uint32_t>(encoded.size());
  if (!cipher_) {
    frame.borrowed_ = encoded;
  } else {
    frame.header = {.type = FrameType::kEncrypted,
                    .stored_size = static_cast<std::uint32_t>(kEncryptedOverhead + encoded.size()),
                    .id = header.id};
    const Bytes inner = encode_inner(header);
    const Bytes associated = associated_with(pack, frame.header);
    const std::array<ByteView, 1> beside{associated};
    const std::array<ByteView, 2> parts{inner, encoded};
    frame.sealed_ = cipher_->frames().seal_with(nonce, beside, parts);
  }
  frame.raw_header = encode_frame_header(pack, frame.header, frame.stored());
  return frame;
}

Result<OpenedFrame> FrameCipher::open(const PackId& pack, const FrameHeader& seen,
                                      ByteView stored) const {
  OpenedFrame frame;
  frame.header = seen;
  if (!cipher_) {
    if (seen.type == FrameType::kEncrypted) {
      return fail(Errc::kCorrupt, 0, "the frame is encrypted, the store is not");
    }
    frame.borrowed_ = stored;
    return frame;
  }
  // Its id proves nothing here: whoever can write to the disk chose it.
  if (seen.type != FrameType::kEncrypted) {
    return fail(Errc::kCorrupt, 0, "the frame is not encrypted, the store is");
  }
  auto opened = cipher_->frames().open(associated_with(pack, seen), stored);
  if (!opened) {
    return fail(Errc::kCorrupt, 0, "the frame is not what this store's key encrypted");
  }
  TRY(take_inner(*opened, frame.header));
  frame.opened_ = *std::move(opened);
  return frame;
}

std::uint32_t FrameCipher::pack_version(bool groups) const {
  if (cipher_) return kPackVersionEncrypted;
  return groups ? kPackVersionGroups : kPackVersionPlain;
}

Status FrameCipher::check_pack(const PackHeader& header) const {
  if (header.encrypted() == (cipher_ != nullptr)) return ok();
  if (cipher_) return fail(Errc::kCorrupt, 0, "the pack is not encrypted, the store is");
  return fail(Errc::kKeyMissing, 0, "the pack is encrypted, the store is not");
}

}  // namespace amberfs
