// SPDX-License-Identifier: Apache-2.0
#include "blockstore/frame_format.h"

#include "tests/blockstore/store_fixture.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

constexpr PackId kPack{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

FrameHeader header_of(ByteView stored) {
  return {.type = FrameType::kNode,
          .codec = Codec::kRaw,
          .stored_size = static_cast<std::uint32_t>(stored.size()),
          .plain_size = static_cast<std::uint32_t>(stored.size()),
          .id = BlockId{sha256(stored)}};
}

bool is_valid(const PackId& pack, ByteView frame) {
  auto header = decode_frame_header(frame);
  return header && frame.size() == frame_size(*header) &&
         check_frame(pack, frame, frame.substr(kFrameHeaderSize)).has_value();
}

TEST(FrameFormat, RoundTrips) {
  const Bytes stored = "some bytes of a block";
  const Bytes raw = encode_frame_header(kPack, header_of(stored), stored);
  ASSERT_EQ(raw.size(), kFrameHeaderSize);
  EXPECT_EQ(testing::must(decode_frame_header(raw)), header_of(stored));
  EXPECT_TRUE(check_frame(kPack, raw, stored));
}

TEST(FrameFormat, DetectsEveryFlippedBit) {
  const Bytes stored = "some bytes of a block";
  Bytes frame = encode_frame_header(kPack, header_of(stored), stored) + stored;
  ASSERT_TRUE(is_valid(kPack, frame));
  for (std::size_t i = 0; i < frame.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = frame;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_FALSE(is_valid(kPack, damaged)) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(FrameFormat, DetectsEveryTruncation) {
  const Bytes stored = "some bytes of a block";
  const Bytes frame = encode_frame_header(kPack, header_of(stored), stored) + stored;
  for (std::size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(is_valid(kPack, ByteView(frame).substr(0, size))) << size;
  }
}

TEST(FrameFormat, RefusesAFrameOfAnotherPack) {
  const Bytes stored = "x";
  const Bytes frame = encode_frame_header(kPack, header_of(stored), stored) + stored;
  PackId other = kPack;
  other[15] ^= 1;
  EXPECT_FALSE(is_valid(other, frame));
}

TEST(FrameFormat, RefusesSizesAboveABlock) {
  FrameHeader header = header_of("x");
  header.stored_size = Blocks::kBlockSizeMax + 1;
  EXPECT_FALSE(decode_frame_header(encode_frame_header(kPack, header, "x")));
  header = header_of("x");
  header.plain_size = 0xffffffff;
  EXPECT_FALSE(decode_frame_header(encode_frame_header(kPack, header, "x")));
}

TEST(HeadRecord, RoundTripsAndRefusesWrongSizes) {
  const HeadRecord record = testing::must(decode_head(encode_head({7, "root"})));
  EXPECT_EQ(record.sequence, 7U);
  EXPECT_EQ(record.head, "root");
  EXPECT_FALSE(decode_head("short"));
  EXPECT_FALSE(decode_head(Bytes(8 + kHeadSizeMax + 1, 'x')));
}

}  // namespace
}  // namespace amberfs
