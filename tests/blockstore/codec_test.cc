// SPDX-License-Identifier: Apache-2.0
#include "blockstore/codec.h"

#include "blockstore/blocks.h"
#include "tests/blockstore/store_fixture.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

using testing::log_text;
using testing::random_text;

Bytes round_trip(const Bytes& plain, int level) {
  Bytes buffer;
  const Encoded encoded = encode_block(plain, level, buffer);
  return testing::must(decode_block(encoded.codec, encoded.stored, plain.size()));
}

TEST(Codec, RoundTripsEverySizeAndLevel) {
  for (int level : {-7, 0, 1, 3, 9}) {
    for (std::size_t size : {0U, 1U, 2U, 100U, 65537U, 1U << 20}) {
      EXPECT_EQ(round_trip(log_text(size, size), level), log_text(size, size));
      EXPECT_EQ(round_trip(random_text(size, size), level), random_text(size, size));
    }
  }
}

TEST(Codec, CompressesLogText) {
  Bytes buffer;
  const Bytes text = log_text(1, 100'000);
  const Encoded encoded = encode_block(text, 3, buffer);
  EXPECT_EQ(encoded.codec, Codec::kZstd);
  EXPECT_LT(encoded.stored.size(), text.size() / 2);
}

TEST(Codec, StoresRawWhatDoesNotShrink) {
  Bytes buffer;
  const Bytes noise = random_text(1, 100'000);
  const Encoded encoded = encode_block(noise, 3, buffer);
  EXPECT_EQ(encoded.codec, Codec::kRaw);
  EXPECT_EQ(encoded.stored.data(), noise.data()) << "copied";
}

TEST(Codec, StopsCompressingWhenItIsTold) {
  Bytes buffer;
  const Bytes text = log_text(1, 1'000'000);
  int asked = 0;
  const Encoded all = encode_long(text, 19, buffer, [&] { return ++asked > 0; });
  EXPECT_EQ(asked, 8);
  EXPECT_EQ(testing::must(decode_block(all.codec, all.stored, text.size())), text);
  asked = 0;
  const Encoded stopped = encode_long(text, 19, buffer, [&] { return ++asked < 3; });
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(stopped.codec, Codec::kRaw);
  EXPECT_EQ(stopped.stored, text);
}

TEST(Codec, RefusesSizesAboveTheLimitBeforeAllocating) {
  auto decoded = decode_block(Codec::kZstd, "x", std::uint64_t{1} << 60);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Errc::kCorrupt);
  EXPECT_FALSE(decode_block(Codec::kRaw, "x", Blocks::kBlockSizeMax + 1));
}

TEST(Codec, RefusesADeclaredSizeThatDoesNotMatch) {
  Bytes buffer;
  const Bytes text = log_text(1, 10'000);
  const Encoded encoded = encode_block(text, 3, buffer);
  EXPECT_FALSE(decode_block(Codec::kZstd, encoded.stored, text.size() - 1));
  EXPECT_FALSE(decode_block(Codec::kZstd, encoded.stored, text.size() + 1));
  EXPECT_FALSE(decode_block(Codec::kZstd, encoded.stored.substr(0, 100), text.size()));
  EXPECT_FALSE(decode_block(Codec::kZstd, "", 0));
  EXPECT_FALSE(decode_block(Codec::kRaw, text, text.size() - 1));
}

TEST(Codec, NamesAnUnknownCodecAsNewer) {
  auto decoded = decode_block(Codec{77}, "x", 1);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Errc::kNewerFormat);
}

}  // namespace
}  // namespace amberfs
