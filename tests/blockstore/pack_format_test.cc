// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_format.h"

#include "blockstore/base/coding.h"
#include "tests/blockstore/store_fixture.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

using testing::must;

constexpr PackId kPack{0xab, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr std::uint64_t kFooterOffset = 1000;

std::vector<FrameSpot> some_frames() {
  FrameSpot first{64, {.stored_size = 100, .plain_size = 300, .id = BlockId{sha256("a")}}};
  FrameSpot second{64 + 156, {.type = FrameType::kHead, .stored_size = 9, .plain_size = 9}};
  return {first, second};
}

Result<std::vector<FrameSpot>> read_footer_of(ByteView raw, std::uint64_t file_size) {
  if (raw.size() < kTrailerSize) return fail(Errc::kCorrupt, 0, "short");
  TRY_ASSIGN(Trailer trailer, decode_trailer(raw.substr(raw.size() - kTrailerSize), file_size));
  return decode_footer(kPack, raw, trailer);
}

TEST(PackHeader, RoundTrips) {
  const PackHeader header{.id = kPack, .flags = 0, .created_ns = 1'763'632'800'000'000'000};
  const Bytes raw = encode_pack_header(header);
  ASSERT_EQ(raw.size(), kPackHeaderSize);
  EXPECT_EQ(must(decode_pack_header(raw)), header);
}

TEST(PackHeader, DetectsEveryFlippedByteAndTruncation) {
  const Bytes raw = encode_pack_header({.id = kPack, .created_ns = 5});
  for (std::size_t i = 0; i < raw.size(); ++i) {
    Bytes damaged = raw;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(decode_pack_header(damaged)) << i;
    EXPECT_FALSE(decode_pack_header(ByteView(raw).substr(0, i))) << i;
  }
}

TEST(PackHeader, NamesANewerVersion) {
  Bytes raw = encode_pack_header({.id = kPack});
  raw[8] = kPackVersion + 1;
  store_le(raw.data() + 56, xxh3(ByteView(raw).substr(0, 56)));
  auto header = decode_pack_header(raw);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Errc::kNewerFormat);
}

TEST(PackFooter, RoundTrips) {
  const Bytes raw = encode_footer(kPack, some_frames(), kFooterOffset);
  EXPECT_EQ(raw.size(), 2 * kFooterEntrySize + kTrailerSize);
  EXPECT_EQ(must(read_footer_of(raw, kFooterOffset + raw.size())), some_frames());
}

TEST(PackFooter, DetectsEveryFlippedByteAndTruncation) {
  const Bytes raw = encode_footer(kPack, some_frames(), kFooterOffset);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    Bytes damaged = raw;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(read_footer_of(damaged, kFooterOffset + raw.size())) << i;
    EXPECT_FALSE(read_footer_of(ByteView(raw).substr(0, i), kFooterOffset + i)) << i;
  }
}

TEST(PackFooter, RefusesFramesThatOverlapOrLieOutside) {
  std::vector<FrameSpot> frames = some_frames();
  frames[1].offset = 100;
  Bytes raw = encode_footer(kPack, frames, kFooterOffset);
  EXPECT_FALSE(read_footer_of(raw, kFooterOffset + raw.size()));
  frames = some_frames();
  frames[1].offset = kFooterOffset - 10;
  raw = encode_footer(kPack, frames, kFooterOffset);
  EXPECT_FALSE(read_footer_of(raw, kFooterOffset + raw.size()));
  frames[1].offset = ~std::uint64_t{0} - 5;
  raw = encode_footer(kPack, frames, kFooterOffset);
  EXPECT_FALSE(read_footer_of(raw, kFooterOffset + raw.size()));
}

// A sparse file is as large as its maker likes; its footer would be allocated.
TEST(PackFooter, RefusesATrailerOfMoreThanAPackCanHave) {
  const std::uint64_t count = (std::uint64_t{1} << 40) / kFooterEntrySize;
  Bytes trailer = encode_footer(kPack, {}, kPackHeaderSize);
  store_le(trailer.data() + 16, count);
  const std::uint64_t size = kPackHeaderSize + count * kFooterEntrySize + kTrailerSize;
  EXPECT_FALSE(decode_trailer(trailer, size));
}

TEST(PackFooter, RefusesATrailerThatPointsOutside) {
  Encoder trailer;
  trailer.bytes(kTrailerMagic).u64(5000).u64(0).u64(0).u64(0);
  EXPECT_FALSE(decode_trailer(trailer.view(), 1000));
  Encoder many;
  many.bytes(kTrailerMagic).u64(64).u64(~std::uint64_t{0} / 52).u64(0).u64(0);
  EXPECT_FALSE(decode_trailer(many.view(), 1000));
}

TEST(PackName, RoundTripsAndRefusesOthers) {
  const std::string name = pack_file_name(kPack);
  EXPECT_EQ(name, "ab/ab02030405060708090a0b0c0d0e0f10.pack");
  PackId id;
  EXPECT_TRUE(parse_pack_file_name(name.substr(3), &id));
  EXPECT_EQ(id, kPack);
  EXPECT_FALSE(parse_pack_file_name("ab.pack", &id));
  EXPECT_FALSE(parse_pack_file_name(name.substr(3) + ".new", &id));
}

}  // namespace
}  // namespace amberfs
