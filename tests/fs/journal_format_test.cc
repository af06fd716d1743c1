// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_format.h"

#include "fs/batch_format.h"
#include "tests/fs/journal_support.h"

#include <gtest/gtest.h>

#include <sstream>

namespace amberfs {
namespace {

SegmentHeader sample_segment() {
  SegmentHeader header;
  header.number = 7;
  header.size_bytes = 64 * kMiB;
  header.salt = 0x1122334455667788;
  header.time_ns = 1'795'170'785'000'000'000;
  return header;
}

const char kSamplePayloadKey[] = "key";

RecordHeader sample_record() {
  const std::vector<Change> changes{{kSamplePayloadKey, "value"}, {"old", std::nullopt}};
  const Bytes payload = encode_changes(changes);
  const std::vector<ByteView> data{"log ", "line\n"};
  RecordHeader header;
  header.salt = sample_segment().salt;
  header.segment = 7;
  header.seq = 42;
  header.durable_seq = 40;
  header.payload_size = static_cast<std::uint32_t>(payload.size());
  header.data_size = 9;
  header.time_ns = 1'795'170'785'123'456'789;
  header.kind = OpKind::kWrite;
  header.origin = {0x1234, 1000, 100, 4711, "rsyslogd"};
  header.inode_delta = -1;
  header.byte_delta = 9;
  header.body_checksum = body_checksum(payload, data);
  return header;
}

TEST(SegmentHeader, RoundTrips) {
  const Bytes bytes = encode_segment_header(sample_segment());
  ASSERT_EQ(bytes.size(), SegmentHeader::kSize);
  auto decoded = decode_segment_header(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->number, 7U);
  EXPECT_EQ(decoded->size_bytes, 64 * kMiB);
  EXPECT_EQ(decoded->salt, sample_segment().salt);
  EXPECT_EQ(decoded->time_ns, sample_segment().time_ns);
}

TEST(SegmentHeader, RefusesEveryFlippedBitAndEveryTruncation) {
  const Bytes bytes = encode_segment_header(sample_segment());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_segment_header(flipped)) << bit;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_segment_header(ByteView(bytes).substr(0, size)));
  }
}

TEST(SegmentHeader, SaysWhenTheFormatIsNewer) {
  Bytes bytes = encode_segment_header(sample_segment());
  store_le<std::uint32_t>(bytes.data() + 8, SegmentHeader::kVersion + 1);
  store_le(bytes.data() + 56, xxh3(ByteView(bytes).substr(0, 56)));
  auto decoded = decode_segment_header(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Errc::kNewerFormat);
}

TEST(SegmentHeader, SaltsDifferAndHaveNoZeroByte) {
  EXPECT_NE(make_salt(), make_salt());
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t salt = make_salt();
    Bytes raw(8, '\0');
    store_le(raw.data(), salt);
    EXPECT_EQ(raw.find('\0'), Bytes::npos);
  }
}

TEST(RecordHeader, RoundTrips) {
  const RecordHeader header = sample_record();
  const Bytes bytes = encode_record_header(header);
  ASSERT_EQ(bytes.size(), RecordHeader::kSize);
  auto decoded = decode_record_header(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->salt, header.salt);
  EXPECT_EQ(decoded->segment, 7U);
  EXPECT_EQ(decoded->seq, 42U);
  EXPECT_EQ(decoded->durable_seq, 40U);
  EXPECT_EQ(decoded->payload_size, header.payload_size);
  EXPECT_EQ(decoded->data_size, 9U);
  EXPECT_EQ(decoded->time_ns, header.time_ns);
  EXPECT_EQ(decoded->kind, OpKind::kWrite);
  EXPECT_EQ(decoded->origin.request_id, 0x1234U);
  EXPECT_EQ(decoded->origin.uid, 1000U);
  EXPECT_EQ(decoded->origin.gid, 100U);
  EXPECT_EQ(decoded->origin.pid, 4711U);
  EXPECT_EQ(decoded->origin.command, "rsyslogd");
  EXPECT_EQ(decoded->inode_delta, -1);
  EXPECT_EQ(decoded->byte_delta, 9);
  EXPECT_EQ(decoded->body_checksum, header.body_checksum);
  EXPECT_EQ(encode_record_header(*decoded), bytes);
}

TEST(RecordHeader, CutsALongCommand) {
  RecordHeader header = sample_record();
  header.origin.command = "a-command-longer-than-16-bytes";
  EXPECT_EQ(decode_record_header(encode_record_header(header))->origin.command, "a-command-longer");
}

TEST(RecordHeader, RefusesEveryFlippedBit) {
  const Bytes bytes = encode_record_header(sample_record());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_record_header(flipped)) << bit;
  }
}

TEST(RecordHeader, RefusesABodyBeyondTheLimit) {
  RecordHeader header = sample_record();
  header.payload_size = 20 * kMiB;
  header.data_size = 4 * kMiB;
  EXPECT_TRUE(decode_record_header(encode_record_header(header)));
  ++header.data_size;
  EXPECT_FALSE(decode_record_header(encode_record_header(header)));
}

TEST(JournalFormat, WritesTheExampleOfTheDocument) {
  const std::string document = testing::read_bytes(AMBERFS_JOURNAL_FORMAT_DOC);
  ASSERT_FALSE(document.empty());
  EXPECT_EQ(to_hex(testing::hex_block(document, 0)),
            to_hex(encode_segment_header(sample_segment())));
  const std::vector<Change> changes{{kSamplePayloadKey, "value"}, {"old", std::nullopt}};
  const Bytes record =
      encode_record_header(sample_record()) + encode_changes(changes) + "log line\n";
  EXPECT_EQ(to_hex(testing::hex_block(document, 1)), to_hex(record));
}

}  // namespace
}  // namespace amberfs
