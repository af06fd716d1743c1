// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_seal.h"

#include "blockstore/store_cipher.h"

namespace amberfs {
namespace {

constexpr std::size_t kPrivateSize = 56;
// What stands before the two checksums.
constexpr std::size_t kBoundHeaderSize = RecordHeader::kSize - 16;

std::unexpected<Error> not_sealed(const char* why) {
  return fail(Errc::kCorrupt, 0, std::string("read journal record: ") + why);
}

Bytes encode_private(const RecordHeader& header) {
  const Origin& origin = header.origin;
  Bytes command = origin.command.substr(0, RecordHeader::kCommandSizeMax);
  command.resize(RecordHeader::kCommandSizeMax, '\0');
  Encoder out;
  out.u8(static_cast<std::uint8_t>(header.kind)).u8(0).u16(0);
  out.u32(origin.uid).u32(origin.gid).u32(origin.pid).u64(origin.request_id).bytes(command);
  out.i64(header.inode_delta).i64(header.byte_delta);
  return std::move(out).take();
}

void decode_private(ByteView bytes, RecordHeader& header) {
  Decoder in(bytes);
  Origin& origin = header.origin;
  header.kind = static_cast<OpKind>(in.u8());
  in.bytes(3);
  origin.uid = in.u32();
  origin.gid = in.u32();
  origin.pid = in.u32();
  origin.request_id = in.u64();
  const ByteView command = in.bytes(RecordHeader::kCommandSizeMax);
  origin.command = command.substr(0, command.find('\0'));
  header.inode_delta = in.i64();
  header.byte_delta = in.i64();
}

// Of each area its size and nonce, and its tag: no other bytes open under these.
bool bind_areas(ByteView data, std::vector<ByteView>& bound) {
  while (!data.empty()) {
    if (data.size() < SealedArea::kSizeMin) return false;
    const std::uint64_t size =
        std::uint64_t{SealedArea::kHeaderSize} + load_le<std::uint32_t>(data.data());
    if (size < SealedArea::kSizeMin || size > data.size()) return false;
    const ByteView area = data.substr(0, size);
    bound.push_back(area.substr(0, SealedArea::kHeaderSize + Sealer::kNonceSize));
    bound.push_back(area.substr(area.size() - Sealer::kTagSize));
    data.remove_prefix(size);
  }
  return true;
}

}  // namespace

std::uint64_t sealed_payload_size(std::uint64_t changes_size) {
  return changes_size + kPrivateSize + Sealer::kOverhead;
}

RecordHeader visible_part(const RecordHeader& header) {
  RecordHeader visible = header;
  visible.kind = OpKind::kOther;
  visible.origin = {};
  visible.inode_delta = visible.byte_delta = 0;
  return visible;
}

Result<Bytes> seal_payload(const StoreCipher& cipher, const RecordHeader& header, ByteView changes,
                           std::span<const ByteView> data) {
  const Bytes head = encode_record_header(visible_part(header));
  std::vector<ByteView> bound{ByteView(head).substr(0, kBoundHeaderSize)};
  for (const ByteView part : data) {
    if (bind_areas(part, bound)) continue;
    return fail(Errc::kBadRequest, 0, "append to the journal of an encrypted store: unsealed data");
  }
  const Bytes hidden = encode_private(header);
  const ByteView plain[] = {hidden, changes};
  return cipher.journal().seal(bound, plain);
}

Result<Bytes> open_record(const StoreCipher* cipher, RecordView& record) {
  if (cipher == nullptr) return Bytes(record.payload);
  std::vector<ByteView> bound{record.raw.substr(0, kBoundHeaderSize)};
  const ByteView data = record.raw.substr(RecordHeader::kSize + record.payload.size());
  if (!bind_areas(data, bound)) return not_sealed("its data area is not sealed");
  Result<Bytes> plain = cipher->journal().open(bound, record.payload);
  if (!plain || plain->size() < kPrivateSize) {
    return not_sealed("it is not what this store's key sealed");
  }
  decode_private(ByteView(*plain).substr(0, kPrivateSize), record.header);
  plain->erase(0, kPrivateSize);
  return plain;
}

}  // namespace amberfs
