// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_format.h"

#include "blockstore/base/hash.h"

namespace amberfs {
namespace {

constexpr ByteView kSegmentMagic = "AMBERWAL";
constexpr std::size_t kChecksumSize = 8;

static_assert(Journal::kBatchSizeMax < (std::uint64_t{1} << 32), "sizes are u32 in a record");

std::unexpected<Error> not_a_header(const char* tried) {
  return fail(Errc::kCorrupt, 0, tried);
}

void append_checksum(Encoder& out) {
  out.u64(xxh3(out.view()));
}

bool checksum_matches(ByteView bytes) {
  const ByteView covered = bytes.substr(0, bytes.size() - kChecksumSize);
  return load_le<std::uint64_t>(bytes.data() + covered.size()) == xxh3(covered);
}

// Cut or padded to its field.
Bytes command_field(const std::string& command) {
  Bytes field = command.substr(0, RecordHeader::kCommandSizeMax);
  field.resize(RecordHeader::kCommandSizeMax, '\0');
  return field;
}

}  // namespace

Bytes encode_segment_header(const SegmentHeader& header) {
  Encoder out;
  out.bytes(kSegmentMagic);
  out.u32(header.sealed ? SegmentHeader::kSealedVersion : SegmentHeader::kPlainVersion);
  out.u32(SegmentHeader::kRecordsOffset);
  out.u64(header.number).u64(header.size_bytes).u64(header.salt).i64(header.time_ns).u64(0);
  append_checksum(out);
  return std::move(out).take();
}

Result<SegmentHeader> decode_segment_header(ByteView bytes) {
  constexpr const char* kTried = "read journal segment header";
  if (bytes.size() < SegmentHeader::kSize) return not_a_header(kTried);
  bytes = bytes.substr(0, SegmentHeader::kSize);
  if (!bytes.starts_with(kSegmentMagic) || !checksum_matches(bytes)) return not_a_header(kTried);
  Decoder in(bytes.substr(kSegmentMagic.size()));
  SegmentHeader header;
  const std::uint32_t version = in.u32();
  if (version > SegmentHeader::kVersion) return fail(Errc::kNewerFormat, 0, kTried);
  header.sealed = version == SegmentHeader::kSealedVersion;
  const std::uint32_t records_offset = in.u32();
  header.number = in.u64();
  header.size_bytes = in.u64();
  header.salt = in.u64();
  header.time_ns = in.i64();
  if (records_offset != SegmentHeader::kRecordsOffset || header.number == 0) {
    return not_a_header(kTried);
  }
  return header;
}

std::uint64_t make_salt() {
  Bytes bytes = random_bytes(sizeof(std::uint64_t));
  for (char& c : bytes) {
    if (c == '\0') c = '\1';
  }
  return load_le<std::uint64_t>(bytes.data());
}

Bytes encode_record_header(const RecordHeader& header) {
  Encoder out;
  const Origin& origin = header.origin;
  out.u32(RecordHeader::kMagic).u8(static_cast<std::uint8_t>(header.kind)).u8(0).u16(0);
  out.u64(header.salt).u64(header.segment).u64(header.seq).u64(header.durable_seq);
  out.u32(header.payload_size).u32(header.data_size).i64(header.time_ns);
  out.u64(origin.request_id).u32(origin.uid).u32(origin.gid).u32(origin.pid);
  out.bytes(command_field(origin.command)).u32(0);
  out.i64(header.inode_delta).i64(header.byte_delta).u64(header.body_checksum);
  append_checksum(out);
  return std::move(out).take();
}

Result<RecordHeader> decode_record_header(ByteView bytes) {
  constexpr const char* kTried = "read journal record header";
  if (bytes.size() < RecordHeader::kSize) return not_a_header(kTried);
  bytes = bytes.substr(0, RecordHeader::kSize);
  Decoder in(bytes);
  if (in.u32() != RecordHeader::kMagic || !checksum_matches(bytes)) return not_a_header(kTried);
  RecordHeader header;
  header.kind = static_cast<OpKind>(in.u8());
  in.bytes(3);
  header.salt = in.u64();
  header.segment = in.u64();
  header.seq = in.u64();
  header.durable_seq = in.u64();
  header.payload_size = in.u32();
  header.data_size = in.u32();
  header.time_ns = in.i64();
  header.origin.request_id = in.u64();
  header.origin.uid = in.u32();
  header.origin.gid = in.u32();
  header.origin.pid = in.u32();
  const ByteView command = in.bytes(RecordHeader::kCommandSizeMax);
  header.origin.command = command.substr(0, command.find('\0'));
  in.u32();
  header.inode_delta = in.i64();
  header.byte_delta = in.i64();
  header.body_checksum = in.u64();
  if (header.body_size() > Journal::kBatchSizeMax) return not_a_header(kTried);
  return header;
}

std::uint64_t body_checksum(ByteView payload, std::span<const ByteView> data) {
  return xxh3_of_parts(payload, data);
}

std::uint64_t sealed_body_checksum(ByteView payload, std::uint64_t data_hash) {
  char bytes[sizeof data_hash];
  store_le(bytes, data_hash);
  return xxh3_of_two({bytes, sizeof bytes}, payload);
}

}  // namespace amberfs
