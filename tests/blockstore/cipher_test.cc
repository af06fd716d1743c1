// SPDX-License-Identifier: Apache-2.0
// Ciphers against published vectors, and what is not authentic.
#include "blockstore/base/cipher.h"

#include <gtest/gtest.h>

#include <array>

namespace amberfs {
namespace {

SecretBytes key_of(char byte, std::size_t size = kKeySize) {
  return SecretBytes::copy_of(Bytes(size, byte)).value();
}

std::string hex(ByteView bytes) {
  return to_hex(bytes);
}

std::string hex(const Sha256& digest) {
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Bytes unhex(std::string_view text) {
  Bytes bytes(text.size() / 2, '\0');
  EXPECT_TRUE(from_hex(text, reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()));
  return bytes;
}

Bytes sealed_with(char key, ByteView associated, ByteView plain) {
  const Sealer sealer(key_of(key));
  const std::array<ByteView, 1> parts{plain};
  const std::array<ByteView, 1> more{associated};
  return sealer.seal_with("ABCDEFGHIJKLMNOPQRSTUVWX", more, parts);
}

// c2sp.org/XAES-256-GCM, both branches of the doubling.
TEST(Sealer, GivesThePublishedVectors) {
  EXPECT_EQ(hex(sealed_with(1, "", "XAES-256-GCM").substr(Sealer::kNonceSize)),
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
  EXPECT_EQ(hex(sealed_with(3, "c2sp.org/XAES-256-GCM", "XAES-256-GCM").substr(Sealer::kNonceSize)),
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
}

TEST(Sealer, OpensWhatItSealed) {
  const Sealer sealer(key_of(7));
  for (const std::size_t size : {0, 1, 15, 16, 17, 4096, 1'000'000}) {
    const Bytes plain(size, 'x');
    const Bytes sealed = sealer.seal("name", plain);
    EXPECT_EQ(sealed.size(), size + Sealer::kOverhead);
    EXPECT_EQ(sealer.open("name", sealed).value(), plain);
  }
}

TEST(Sealer, SealsEqualBytesDifferentlyEachTime) {
  const Sealer sealer(key_of(7));
  EXPECT_NE(sealer.seal("", "equal"), sealer.seal("", "equal"));
}

TEST(Sealer, RefusesEveryFlippedBitAndEveryCut) {
  const Sealer sealer(key_of(7));
  const Bytes sealed = sealer.seal("name", "some bytes");
  for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
    Bytes bad = sealed;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    const auto opened = sealer.open("name", bad);
    ASSERT_FALSE(opened) << i;
    EXPECT_EQ(opened.error().code, Errc::kCorrupt);
  }
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    EXPECT_FALSE(sealer.open("name", ByteView(sealed).substr(0, i))) << i;
  }
  EXPECT_FALSE(sealer.open("another name", sealed));
  EXPECT_FALSE(Sealer(key_of(8)).open("name", sealed));
}

// The bytes that another implementation (Python's cryptography) gives for the same key.
TEST(FixedSealer, OpensWhatItSealedAndNothingElse) {
  const FixedSealer sealer(key_of(9, 2 * kKeySize));
  const Bytes sealed = sealer.seal("id", "a location");
  EXPECT_EQ(hex(sealed), "802ba6f6a4698565b3973db32c36b18928a3a07932eb94f079de");
  EXPECT_EQ(sealed, sealer.seal("id", "a location"));
  EXPECT_NE(sealed, sealer.seal("ie", "a location"));
  EXPECT_EQ(sealed.size(), 10 + FixedSealer::kOverhead);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(sealer.open("id", sealed).value(), "a location");
    for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
      Bytes bad = sealed;
      bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
      EXPECT_FALSE(sealer.open("id", bad)) << i;
    }
  }
  EXPECT_FALSE(sealer.open("ie", sealed));
  EXPECT_FALSE(sealer.open("id", "short"));
}

// RFC 5869, case 1 and 3; RFC 7914; RFC 4231, case 2.
TEST(Keys, AreDerivedAsPublished) {
  const auto input = SecretBytes::copy_of(Bytes(22, 0x0b)).value();
  EXPECT_EQ(
      hex(derive_key(input, unhex("f0f1f2f3f4f5f6f7f8f9"), 42, unhex("000102030405060708090a0b0c"))
              ->view()),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(hex(derive_key(input, "", 42)->view()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
  const auto passphrase = SecretBytes::copy_of("password").value();
  EXPECT_EQ(hex(scrypt(passphrase, "NaCl", {.n = 1024, .r = 8, .p = 16})->view()),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162");
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Keys, ScryptRefusesCostsThatAreNone) {
  const auto passphrase = SecretBytes::copy_of("password").value();
  for (const ScryptCost cost : {ScryptCost{0, 8, 1}, ScryptCost{1, 8, 1}, ScryptCost{1023, 8, 1},
                                ScryptCost{1U << 30, 8, 1}, ScryptCost{1024, 0, 1},
                                ScryptCost{1024, 8, 0}, ScryptCost{1ULL << 63, 1, 1}}) {
    const auto derived = scrypt(passphrase, "salt", cost);
    ASSERT_FALSE(derived) << cost.n << ' ' << cost.r << ' ' << cost.p;
    EXPECT_EQ(derived.error().code, Errc::kBadRequest);
  }
}

TEST(Secret, IsWhatWasPutInAndMovesWithoutACopy) {
  auto secret = SecretBytes::copy_of("a passphrase").value();
  EXPECT_TRUE(secret.is_locked());
  const char* where = secret.data();
  SecretBytes moved = std::move(secret);
  EXPECT_EQ(moved.data(), where);
  EXPECT_EQ(moved.view(), "a passphrase");
  moved.shrink(1);
  EXPECT_EQ(moved.view(), "a");
  EXPECT_EQ(where[1], '\0');
  EXPECT_NE(SecretBytes::random(32)->view(), SecretBytes::random(32)->view());
  EXPECT_TRUE(equal_secretly("ab", "ab"));
  EXPECT_FALSE(equal_secretly("ab", "ac"));
  EXPECT_FALSE(equal_secretly("ab", "abc"));
}

}  // namespace
}  // namespace amberfs
