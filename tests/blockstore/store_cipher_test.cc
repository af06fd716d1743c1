// SPDX-License-Identifier: Apache-2.0
// Keys and keyed ids of an encrypted store, against what another implementation (Python's hashlib,
// hmac and cryptography) gives.
#include "blockstore/store_cipher.h"

#include <gtest/gtest.h>

#include <set>

namespace amberfs {
namespace {

std::shared_ptr<const StoreCipher> cipher_of(char byte) {
  return StoreCipher::make(SecretBytes::copy_of(Bytes(kKeySize, byte)).value()).value();
}

std::string hex(const Sha256& digest) {
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// What this key seals under a nonce of As, as a name of the key.
Bytes print_of(const Sealer& sealer) {
  const ByteView empty;
  return sealer.seal_with(Bytes(Sealer::kNonceSize, 'A'), {}, std::span(&empty, 1));
}

TEST(StoreCipher, GivesTheIdsAndKeysThatAreDocumented) {
  const auto cipher = cipher_of(5);
  const Sha256 hash = sha256("hello, amberfs\n");
  EXPECT_EQ(hex(cipher->opening_of(hash)),
            "7c3eaa5551013b48b4fb1118d8b6c793458502aa3fffaed877937d85a1c9e282");
  EXPECT_EQ(cipher->id_of("hello, amberfs\n").to_hex(),
            "9a2262da9db27340c986936e127f4c2de0d3c60a430c49f48f42f4d0008d77e8");
  EXPECT_EQ(to_hex(cipher->chunker_key()),
            "e0614739610f4b65ade24c985fc1996142a562ef012234a1314081100d515582");
  EXPECT_EQ(to_hex(cipher->index().seal("id", "a location")),
            "2caf927a7240b2c798fa640b7a1056e619739599aa25068db9ab");
  const std::pair<const Sealer*, const char*> sealers[] = {
      {&cipher->frames(), "05170f5a218b3df81fc86cee475d79a736984f6707f2ea2d5e75d0eb94545c79"},
      {&cipher->journal(), "4ec50b8d64e553b4111c61ac2772c7e4faf5b13ae0ad920ff6a2889bc1353a39"},
      {&cipher->manifests(), "7d97a52d89e0047b473ac3a09cf9ccd5c25167ed5b97e3425dfffe9da536c05f"},
      {&cipher->heads(), "09f8469119a2a80496e5607948237569bc0ae51f4d119c675585bf0c246607b0"}};
  for (const auto& [sealer, key_hex] : sealers) {
    Bytes key(kKeySize, '\0');
    ASSERT_TRUE(from_hex(key_hex, reinterpret_cast<std::uint8_t*>(key.data()), key.size()));
    EXPECT_EQ(print_of(*sealer), print_of(Sealer(SecretBytes::copy_of(key).value()))) << key_hex;
  }
}

TEST(StoreCipher, IdsCanBeCheckedWithTheOpeningAlone) {
  const auto cipher = cipher_of(5);
  const Sha256 hash = sha256("a block");
  const BlockId id = cipher->id_of("a block");
  EXPECT_EQ(id_from_opening(cipher->opening_of(hash), hash), id);
  EXPECT_NE(id_from_opening(cipher->opening_of(hash), sha256("b block")), id);
  EXPECT_NE(id_from_opening(cipher_of(6)->opening_of(hash), hash), id);
}

TEST(StoreCipher, IdsOfStoresWithOtherKeysAndOfPlainStoresDiffer) {
  const std::set<BlockId> ids{block_id(cipher_of(1).get(), "x"), block_id(cipher_of(2).get(), "x"),
                              block_id(nullptr, "x")};
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_EQ(block_id(nullptr, "x"), BlockId{sha256("x")});
  EXPECT_EQ(block_id(cipher_of(1).get(), "x"), cipher_of(1)->id_of("x"));
}

TEST(StoreCipher, RefusesKeysOfAnotherSize) {
  for (const std::size_t size : {0, 16, 31, 33}) {
    const auto cipher = StoreCipher::make(SecretBytes::copy_of(Bytes(size, 'k')).value());
    ASSERT_FALSE(cipher) << size;
    EXPECT_EQ(cipher.error().code, Errc::kBadRequest);
  }
}

}  // namespace
}  // namespace amberfs
