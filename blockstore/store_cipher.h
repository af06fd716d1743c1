// SPDX-License-Identifier: Apache-2.0
// StoreCipher: what an encrypted store does with its data key: one key for each purpose, derived
// from it (HKDF-SHA-256, the purpose as info), and the keyed ids of blocks.
//   Ids: h = SHA-256(plain); r = HMAC-SHA-256(K_id, h); id = SHA-256(r | h). r is the block's
//   opening. Without K_id nobody can tell from an id whether the store holds a known block; and
//   whoever is given r and the plain bytes of one block can check its id, and learns nothing about
//   any other. (With HMAC(K_id, plain) as id a proof would have to give the key away.)
// Handed around as shared_ptr<const StoreCipher>; null means a plain store, whose ids are
// SHA-256(plain). A store is one or the other from init on.
// Threads: any, beside each other.
// Errors:  only of make(): kBadRequest (the key's size), kOutOfMemory. See base/cipher.h.
// Format:  docs/format/pack.md#encrypted-packs.
#pragma once

#include "blockstore/base/cipher.h"
#include "blockstore/block_id.h"

namespace amberfs {

class StoreCipher {
 public:
  // `data_key`: kKeySize bytes with the entropy of a key. It is not kept.
  [[nodiscard]] static Result<std::shared_ptr<const StoreCipher>> make(const SecretBytes& data_key);

  [[nodiscard]] const Sealer& frames() const { return frames_; }
  [[nodiscard]] const Sealer& journal() const { return journal_; }
  [[nodiscard]] const Sealer& manifests() const { return manifests_; }
  [[nodiscard]] const Sealer& heads() const { return heads_; }  // what stands outside the packs
  [[nodiscard]] const FixedSealer& index() const { return index_; }
  // Where chunks are cut is drawn from this: kKeySize bytes, valid as long as the cipher.
  [[nodiscard]] ByteView chunker_key() const { return chunker_key_.view(); }

  [[nodiscard]] BlockId id_of(ByteView plain) const;
  // r of a block whose plain bytes have this SHA-256.
  [[nodiscard]] Sha256 opening_of(const Sha256& plain_hash) const;

 private:
  // Of make(), in this order.
  struct Keys {
    SecretBytes frames, journal, manifests, heads, index, id, chunker;
  };
  explicit StoreCipher(Keys keys);

  Sealer frames_;
  Sealer journal_;
  Sealer manifests_;
  Sealer heads_;
  FixedSealer index_;
  SecretBytes id_key_;
  SecretBytes chunker_key_;
};

// The id of the block with this opening and this SHA-256 of its plain bytes: needs no key.
[[nodiscard]] BlockId id_from_opening(const Sha256& opening, const Sha256& plain_hash);

// The one way from plain bytes to an id. `cipher` may be null: a plain store.
[[nodiscard]] BlockId block_id(const StoreCipher* cipher, ByteView plain);

}  // namespace amberfs
