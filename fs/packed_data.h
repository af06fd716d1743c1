// SPDX-License-Identifier: Apache-2.0
// Packed data: bytes of a large write as they stand in the journal: compressed, so that a stream is
// not held to the speed of a disk that is slower than the codec. Small writes stay as they are:
// they gain little, and reading them would cost more.
//
//   packed area:  u32 size of the frame | u32 size of the plain bytes | zstd frame
//
// In an encrypted store every write, however small, becomes a sealed area, which is read in the
// same way:
//
//   sealed area:  u32 size of what follows | nonce | sealed { u8 codec | 3 zeros | u32 size of the
//                 plain bytes | zstd frame or the bytes themselves } | tag
//
// Flow:    FileSystem::write → pack_data (before any lock) → batch → journal;
//          Journal::read_packed → unpack_data → PackedCache.
// Threads: functions from any thread; PackedCache every method from any thread.
// Errors:  kCorrupt for bytes that are no packed area.
// Format:  docs/FORMAT.md#journal.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/mutex.h"
#include "blockstore/base/result.h"

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

namespace amberfs {

class StoreCipher;

struct Packing {
  int zstd_level = 1;                  // 0: nothing is packed
  std::uint64_t size_min = 64 * kKiB;  // smaller writes are not packed
  // Of an encrypted store: what is written is sealed, packed or not.
  std::shared_ptr<const StoreCipher> cipher = {};
};

// The packed area of `plain` in `buffer`. Empty when it is too small for it, or does not shrink by
// an eighth. With a cipher the sealed area, which is never empty.
[[nodiscard]] ByteView pack_data(ByteView plain, const Packing& packing, Bytes& buffer);

struct PackedSizes {
  static constexpr std::size_t kHeaderSize = 8;
  std::uint32_t frame = 0;
  std::uint32_t plain = 0;
};
[[nodiscard]] Result<PackedSizes> decode_packed_sizes(ByteView header);
[[nodiscard]] Result<Bytes> unpack_data(const PackedSizes& sizes, ByteView frame);

struct SealedArea {
  static constexpr std::size_t kHeaderSize = 4;
  static constexpr std::size_t kInnerHeaderSize = 8;
  static constexpr std::size_t kSizeMin = kHeaderSize + 40 + kInnerHeaderSize;  // 40: Sealer
};
// The plain bytes of what stands behind a sealed area's header.
[[nodiscard]] Result<Bytes> open_area(const StoreCipher& cipher, ByteView sealed);

// The areas that were unpacked last: a large write is read in pieces. In an encrypted store there
// are small ones, too, so it is bounded by their number as well.
class PackedCache {
 public:
  // A segment number is never given out twice, so nothing ever has to be dropped.
  struct Key {
    std::uint64_t segment = 0;
    std::uint64_t position = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  using Data = std::shared_ptr<const Bytes>;

  [[nodiscard]] Data find(const Key& key);  // null when it is not there
  void insert(const Key& key, Data data);

 private:
  static constexpr std::uint64_t kSizeMax = 16 * kMiB;
  static constexpr std::size_t kEntriesMax = 4096;

  struct Entry {
    Key key;
    Data data;
  };
  struct HashOfKey {
    std::size_t operator()(const Key& key) const {
      return std::hash<std::uint64_t>()(key.segment * 0x9E3779B97F4A7C15 ^ key.position);
    }
  };
  using Entries = std::list<Entry>;
  Mutex mu_;
  Entries entries_ GUARDED_BY(mu_);  // most recently used first
  std::unordered_map<Key, Entries::iterator, HashOfKey> by_key_ GUARDED_BY(mu_);
  std::uint64_t size_ GUARDED_BY(mu_) = 0;
};

}  // namespace amberfs
