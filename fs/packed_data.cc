// SPDX-License-Identifier: Apache-2.0
#include "fs/packed_data.h"

#include "blockstore/base/coding.h"
#include "blockstore/codec.h"
#include "blockstore/store_cipher.h"

namespace amberfs {
namespace {

static_assert(SealedArea::kSizeMin ==
              SealedArea::kHeaderSize + Sealer::kOverhead + SealedArea::kInnerHeaderSize);

// So that an area never passes for a record's payload, which the same key seals.
constexpr ByteView kAreaLabel = "amberfs journal area";

// What zstd makes of it when that is worth its time; else the bytes as they are.
Encoded encode_if_worth(ByteView plain, const Packing& packing, Bytes& buffer) {
  if (packing.zstd_level == 0 || plain.size() < packing.size_min) return {Codec::kRaw, plain};
  const Encoded encoded = encode_block(plain, packing.zstd_level, buffer);
  const bool shrinks =
      encoded.stored.size() + PackedSizes::kHeaderSize <= plain.size() - plain.size() / 8;
  if (encoded.codec != Codec::kZstd || !shrinks) return {Codec::kRaw, plain};
  return encoded;
}

Bytes seal_area(const StoreCipher& cipher, ByteView plain, const Encoded& encoded) {
  Encoder inner;
  inner.u8(static_cast<std::uint8_t>(encoded.codec)).u8(0).u16(0);
  inner.u32(static_cast<std::uint32_t>(plain.size()));
  const ByteView parts[] = {inner.view(), encoded.stored};
  const Bytes sealed = cipher.journal().seal(std::span(&kAreaLabel, 1), parts);
  Encoder out;
  out.buffer().reserve(SealedArea::kHeaderSize + sealed.size());
  out.u32(static_cast<std::uint32_t>(sealed.size())).bytes(sealed);
  return std::move(out).take();
}

}  // namespace

ByteView pack_data(ByteView plain, const Packing& packing, Bytes& buffer) {
  thread_local Bytes frame_buffer;
  const Encoded encoded = encode_if_worth(plain, packing, frame_buffer);
  if (packing.cipher) {
    buffer = seal_area(*packing.cipher, plain, encoded);
    return buffer;
  }
  if (encoded.codec != Codec::kZstd) return {};
  Encoder out;
  out.buffer().reserve(PackedSizes::kHeaderSize + encoded.stored.size());
  out.u32(static_cast<std::uint32_t>(encoded.stored.size()));
  out.u32(static_cast<std::uint32_t>(plain.size()));
  out.bytes(encoded.stored);
  buffer = std::move(out).take();
  return buffer;
}

Result<PackedSizes> decode_packed_sizes(ByteView header) {
  Decoder in(header);
  PackedSizes sizes;
  sizes.frame = in.u32();
  sizes.plain = in.u32();
  if (!in.done() || sizes.frame == 0 || sizes.frame >= sizes.plain) {
    return fail(Errc::kCorrupt, 0, "read packed data: no such sizes");
  }
  return sizes;
}

Result<Bytes> unpack_data(const PackedSizes& sizes, ByteView frame) {
  return decode_block(Codec::kZstd, frame, sizes.plain);
}

Result<Bytes> open_area(const StoreCipher& cipher, ByteView sealed) {
  auto opened = cipher.journal().open(kAreaLabel, sealed);
  if (!opened) return fail(std::move(opened).error());
  Bytes& inner = *opened;  // moved from here, g++ 12 takes its bytes for uninitialized
  Decoder in(inner);
  const auto codec = static_cast<Codec>(in.u8());
  in.bytes(3);
  const std::uint32_t size = in.u32();
  if (!in.ok()) return fail(Errc::kCorrupt, 0, "read sealed data: too short");
  if (codec == Codec::kRaw && size == in.remaining()) {
    inner.erase(0, SealedArea::kInnerHeaderSize);
    return opened;
  }
  if (codec == Codec::kZstd) return decode_block(codec, in.bytes(in.remaining()), size);
  return fail(Errc::kCorrupt, 0, "read sealed data: of no known form");
}

PackedCache::Data PackedCache::find(const Key& key) {
  MutexLock lock(mu_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->data;
}

void PackedCache::insert(const Key& key, Data data) {
  MutexLock lock(mu_);
  if (by_key_.contains(key)) return;
  size_ += data->size();
  entries_.push_front({key, std::move(data)});
  by_key_[key] = entries_.begin();
  while ((size_ > kSizeMax || entries_.size() > kEntriesMax) && entries_.size() > 1) {
    size_ -= entries_.back().data->size();
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

}  // namespace amberfs
