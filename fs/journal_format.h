// SPDX-License-Identifier: Apache-2.0
// The bytes of a journal segment: its header and the header of each record.
//
//   segment:  SegmentHeader | zeros up to kRecordsOffset | record | record | … | zeros or old bytes
//   record:   RecordHeader | payload (fs/batch_format.h) | data area
//
// The salt is random and new in each life of a segment file. A record is valid only in the life
// whose salt it carries: neither a record of an earlier life nor bytes that a program wrote into a
// file of the mount (it cannot know the salt) can pass for one.
// Errors: kCorrupt for bytes that are no header, kNewerFormat.
// Format: docs/FORMAT.md#journal.
#pragma once

#include "fs/journal.h"

#include <span>

namespace amberfs {

struct SegmentHeader {
  static constexpr std::uint32_t kPlainVersion = 2;          // 1 had no packed data
  static constexpr std::uint32_t kSealedVersion = 3;         // of an encrypted store
  static constexpr std::uint32_t kVersion = kSealedVersion;  // the highest known
  static constexpr std::size_t kSize = 64;
  // Records never share a disk sector with the header.
  static constexpr std::uint32_t kRecordsOffset = 4096;

  std::uint64_t number = 0;
  std::uint64_t size_bytes = 0;  // of the file, preallocated
  std::uint64_t salt = 0;
  std::int64_t time_ns = 0;  // when this life began
  bool sealed = false;       // its records are: fs/journal_seal.h
};

[[nodiscard]] Bytes encode_segment_header(const SegmentHeader& header);
[[nodiscard]] Result<SegmentHeader> decode_segment_header(ByteView bytes);
// No byte of it is zero, so that a search for it runs through zeros fast.
[[nodiscard]] std::uint64_t make_salt();

struct RecordHeader {
  static constexpr std::uint32_t kMagic = 0x31524A41;  // "AJR1"
  static constexpr std::size_t kSize = 128;
  static constexpr std::size_t kSaltOffset = 8;
  static constexpr std::size_t kCommandSizeMax = 16;

  std::uint64_t salt = 0;
  std::uint64_t segment = 0;
  std::uint64_t seq = 0;
  std::uint64_t durable_seq = 0;  // up to here the journal was durable when this was written
  std::uint32_t payload_size = 0;
  std::uint32_t data_size = 0;
  std::int64_t time_ns = 0;
  OpKind kind = OpKind::kOther;
  Origin origin;
  std::int64_t inode_delta = 0;
  std::int64_t byte_delta = 0;
  std::uint64_t body_checksum = 0;

  [[nodiscard]] std::uint64_t body_size() const { return std::uint64_t{payload_size} + data_size; }
  [[nodiscard]] std::uint64_t record_size() const { return kSize + body_size(); }
};

[[nodiscard]] Bytes encode_record_header(const RecordHeader& header);
// Sizes are within Journal::kBatchSizeMax when it succeeds. Does not look at the body.
[[nodiscard]] Result<RecordHeader> decode_record_header(ByteView bytes);
[[nodiscard]] std::uint64_t body_checksum(ByteView payload, std::span<const ByteView> data);
// Of a sealed record, whose payload comes last: XXH3-64 of (XXH3-64 of the data area | payload).
[[nodiscard]] std::uint64_t sealed_body_checksum(ByteView payload, std::uint64_t data_hash);

}  // namespace amberfs
