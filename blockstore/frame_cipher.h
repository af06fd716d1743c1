// SPDX-License-Identifier: Apache-2.0
// FrameCipher: between what a frame is and what stands in its pack. The one place that knows the
// difference between a plain and an encrypted store: in a plain one both are the same; in an
// encrypted one every frame is FrameType::kEncrypted, which shows only its id and its size.
// Flow:    put: codec → store → pack_writer; get: check_frame → open → codec.
// Threads: any, beside each other.
// Owns:    a share of the cipher. An OpenedFrame of a plain store borrows the stored bytes.
// Errors:  kCorrupt: the frame is not what this store's key encrypted for this place, or is of the
//          other kind of store. kKeyMissing: the pack is encrypted, the store is not.
// Format:  docs/format/pack.md#encrypted-packs.
#pragma once

#include "blockstore/pack_format.h"
#include "blockstore/store_cipher.h"

namespace amberfs {

// A frame as it is written.
class StoredFrame {
 public:
  FrameHeader header;  // as anybody can see it
  Bytes raw_header;
  [[nodiscard]] ByteView stored() const { return sealed_.empty() ? borrowed_ : ByteView(sealed_); }

 private:
  friend class FrameCipher;
  Bytes sealed_;
  ByteView borrowed_;
};

// A frame that was read.
class OpenedFrame {
 public:
  // What the frame is: type, codec, flags and plain_size. Size and id are those in the pack.
  FrameHeader header;
  // The bytes that the codec made. Valid as long as this, and what it was opened from.
  [[nodiscard]] ByteView encoded() const {
    return opened_.empty() ? borrowed_ : ByteView(opened_).substr(kInnerHeaderSize);
  }
  [[nodiscard]] Result<Bytes> decode() const {
    return decode_block(header.codec, encoded(), header.plain_size);
  }
  // decode() into `raw`, whose last bytes this was opened from; saves a copy of what is stored raw.
  [[nodiscard]] Result<Bytes> decode_in_place(Bytes raw) &&;

 private:
  friend class FrameCipher;
  Bytes opened_;  // inner header and encoded bytes
  ByteView borrowed_;
};

class FrameCipher {
 public:
  // Null: of a plain store.
  explicit FrameCipher(std::shared_ptr<const StoreCipher> cipher) : cipher_(std::move(cipher)) {}

  // A frame to be appended to `pack`. `header` says what `encoded` is; its stored_size is not
  // looked at. In a plain store the result borrows `encoded`.
  [[nodiscard]] StoredFrame store(const PackId& pack, FrameHeader header, ByteView encoded) const;
  // With a nonce of the caller's: for the documented example only.
  [[nodiscard]] StoredFrame store_with(ByteView nonce, const PackId& pack, FrameHeader header,
                                       ByteView encoded) const;
  // `seen` and `stored` passed check_frame().
  [[nodiscard]] Result<OpenedFrame> open(const PackId& pack, const FrameHeader& seen,
                                         ByteView stored) const;

  [[nodiscard]] BlockId id_of(ByteView plain) const { return block_id(cipher_.get(), plain); }

  // The version of the packs that this store makes.
  [[nodiscard]] std::uint32_t pack_version(bool groups) const;
  // Whether a pack is of this kind of store.
  [[nodiscard]] Status check_pack(const PackHeader& header) const;

 private:
  std::shared_ptr<const StoreCipher> cipher_;
};

}  // namespace amberfs
