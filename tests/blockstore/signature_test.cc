// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/signature.h"

#include "blockstore/base/hash.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

SigningKey key_of(std::string_view hex) {
  auto secret = SecretBytes::zeros(SigningKey::kSecretSize);
  EXPECT_TRUE(from_hex(hex, reinterpret_cast<std::uint8_t*>(secret->data()), secret->size()));
  return SigningKey::from(*std::move(secret));
}

std::string hex_of(const Signature& signature) {
  return to_hex({reinterpret_cast<const char*>(signature.data()), signature.size()});
}

// RFC 8032, 7.1, TEST 1 and TEST 3.
TEST(Signature, IsThatOfTheStandard) {
  const SigningKey one = key_of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  EXPECT_EQ(to_hex(one.public_key().view()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(hex_of(one.sign("")),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
  const SigningKey two = key_of("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
  EXPECT_EQ(hex_of(two.sign("\xaf\x82")),
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
}

TEST(Signature, FailsForAnyChangedBitAndAnyOtherKey) {
  const auto key = SigningKey::generate();
  const auto other = SigningKey::generate();
  ASSERT_TRUE(key && other);
  const Bytes message = "0123456789";
  const Signature signature = key->sign(message);
  EXPECT_TRUE(is_signed_by(key->public_key(), message, signature));
  EXPECT_FALSE(is_signed_by(other->public_key(), message, signature));
  EXPECT_FALSE(is_signed_by(PublicKey{}, message, signature));
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    Signature changed = signature;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(is_signed_by(key->public_key(), message, changed)) << bit;
  }
  for (std::size_t bit = 0; bit < message.size() * 8; ++bit) {
    Bytes changed = message;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(is_signed_by(key->public_key(), changed, signature)) << bit;
  }
}

TEST(Signature, KeysAsText) {
  const auto key = SigningKey::generate();
  ASSERT_TRUE(key);
  const std::string text = to_text(key->public_key());
  EXPECT_EQ(parse_public_key(text), key->public_key());
  EXPECT_EQ(parse_public_key(" " + text + "\n"), key->public_key());
  EXPECT_FALSE(parse_public_key(text + "0"));
  EXPECT_FALSE(parse_public_key(text.substr(0, text.size() - 1)));
  EXPECT_FALSE(parse_public_key(text.substr(1)));
  EXPECT_FALSE(parse_public_key(""));
  EXPECT_FALSE(parse_public_key(" \n"));
}

}  // namespace
}  // namespace amberfs
