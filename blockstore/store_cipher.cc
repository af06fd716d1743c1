// SPDX-License-Identifier: Apache-2.0
#include "blockstore/store_cipher.h"

#include <array>
#include <cstring>

namespace amberfs {
namespace {

ByteView view_of(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

Result<std::shared_ptr<const StoreCipher>> StoreCipher::make(const SecretBytes& data_key) {
  if (data_key.size() != kKeySize) {
    return fail(Errc::kBadRequest, 0, "use the data key of a store: it has a wrong size");
  }
  Keys keys;
  TRY_ASSIGN(keys.frames, derive_key(data_key, "amberfs frame"));
  TRY_ASSIGN(keys.journal, derive_key(data_key, "amberfs journal"));
  TRY_ASSIGN(keys.manifests, derive_key(data_key, "amberfs manifest"));
  TRY_ASSIGN(keys.heads, derive_key(data_key, "amberfs head"));
  TRY_ASSIGN(keys.index, derive_key(data_key, "amberfs index", 2 * kKeySize));
  TRY_ASSIGN(keys.id, derive_key(data_key, "amberfs id"));
  TRY_ASSIGN(keys.chunker, derive_key(data_key, "amberfs chunker"));
  return std::shared_ptr<const StoreCipher>(new StoreCipher(std::move(keys)));
}

StoreCipher::StoreCipher(Keys keys)
    : frames_(std::move(keys.frames)),
      journal_(std::move(keys.journal)),
      manifests_(std::move(keys.manifests)),
      heads_(std::move(keys.heads)),
      index_(std::move(keys.index)),
      id_key_(std::move(keys.id)),
      chunker_key_(std::move(keys.chunker)) {}

BlockId StoreCipher::id_of(ByteView plain) const {
  const Sha256 hash = sha256(plain);
  return id_from_opening(opening_of(hash), hash);
}

Sha256 StoreCipher::opening_of(const Sha256& plain_hash) const {
  return hmac_sha256(id_key_.view(), view_of(plain_hash));
}

BlockId id_from_opening(const Sha256& opening, const Sha256& plain_hash) {
  std::array<char, 2 * sizeof(Sha256)> both{};
  std::memcpy(both.data(), opening.data(), opening.size());
  std::memcpy(both.data() + opening.size(), plain_hash.data(), plain_hash.size());
  return BlockId{sha256({both.data(), both.size()})};
}

BlockId block_id(const StoreCipher* cipher, ByteView plain) {
  return cipher == nullptr ? BlockId{sha256(plain)} : cipher->id_of(plain);
}

}  // namespace amberfs
