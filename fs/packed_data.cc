// SPDX-License-Identifier: Apache-2.0
#include "fs/packed_data.h"

#include "blockstore/base/coding.h"
#include "blockstore/codec.h"

#include <algorithm>
#include <cstring>

namespace amberfs {

ByteView pack_data(ByteView plain, const Packing& packing, Bytes& buffer) {
  if (packing.zstd_level == 0 || plain.size() < packing.size_min) return {};
  thread_local Bytes frame_buffer;
  const Encoded encoded = encode_block(plain, packing.zstd_level, frame_buffer);
  const bool shrinks =
      encoded.stored.size() + PackedSizes::kHeaderSize <= plain.size() - plain.size() / 8;
  if (encoded.codec != Codec::kZstd || !shrinks) return {};
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

PackedCache::Data PackedCache::find(const Key& key) {
  MutexLock lock(mu_);
  auto it = std::ranges::find(entries_, key, &Entry::key);
  if (it == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it);
  return it->data;
}

void PackedCache::insert(const Key& key, Data data) {
  MutexLock lock(mu_);
  if (std::ranges::find(entries_, key, &Entry::key) != entries_.end()) return;
  size_ += data->size();
  entries_.push_front({key, std::move(data)});
  while (size_ > kSizeMax && entries_.size() > 1) {
    size_ -= entries_.back().data->size();
    entries_.pop_back();
  }
}

}  // namespace amberfs
