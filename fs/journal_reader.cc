// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_reader.h"

#include "blockstore/base/hash.h"

#include <algorithm>

namespace amberfs {
namespace {

constexpr std::uint64_t kWindowSize = kMiB;

}  // namespace

Result<ByteView> RecordReader::bytes(std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t window_end = window_offset_ + window_.size();
  if (offset < window_offset_ || offset + size > window_end) {
    const std::uint64_t left = segment_->size_bytes - std::min(segment_->size_bytes, offset);
    window_.resize(std::max(size, std::min(kWindowSize, left)));
    window_offset_ = offset;
    auto got = segment_->file->pread_some(window_.data(), window_.size(), offset);
    window_.resize(got.value_or(0));
    if (!got) return fail(std::move(got).error());
  }
  const ByteView all = window_;
  const std::uint64_t skip = std::min<std::uint64_t>(offset - window_offset_, all.size());
  return all.substr(skip);
}

bool RecordReader::body_matches(const RecordHeader& header, ByteView body) const {
  const auto sealed_checksum = [&] {
    return sealed_body_checksum(body.substr(0, header.payload_size),
                                xxh3(body.substr(header.payload_size)));
  };
  if (segment_->sealed) return header.body_checksum == sealed_checksum();
  if (header.body_checksum == body_checksum(body, {})) return true;
  return !segment_->header_valid && header.body_checksum == sealed_checksum();
}

Result<std::optional<RecordView>> RecordReader::read(std::uint64_t offset) {
  if (offset < SegmentHeader::kRecordsOffset || offset > segment_->size_bytes) return std::nullopt;
  TRY_ASSIGN(const ByteView head, bytes(offset, RecordHeader::kSize));
  Result<RecordHeader> header = decode_record_header(head);
  if (!header || header->segment != segment_->number) return std::nullopt;
  if (segment_->header_valid && header->salt != segment_->salt) return std::nullopt;
  if (header->record_size() > segment_->size_bytes - offset) return std::nullopt;
  TRY_ASSIGN(ByteView raw, bytes(offset, header->record_size()));
  if (raw.size() < header->record_size()) return std::nullopt;
  raw = raw.substr(0, header->record_size());
  const ByteView body = raw.substr(RecordHeader::kSize);
  if (!body_matches(*header, body)) return std::nullopt;
  RecordView record;
  record.raw = raw;
  record.payload = body.substr(0, header->payload_size);
  record.data_position = offset + RecordHeader::kSize + header->payload_size;
  record.end = offset + header->record_size();
  record.header = *std::move(header);
  return record;
}

Result<std::optional<RecordView>> RecordReader::search(
    std::uint64_t offset, const std::function<bool(const RecordHeader&)>& wanted) {
  // A needle that stands `skip` bytes into every record of this life.
  Encoder needle;
  if (segment_->header_valid) {
    needle.u64(segment_->salt);
  } else {
    needle.u32(RecordHeader::kMagic);
  }
  const std::uint64_t skip = segment_->header_valid ? RecordHeader::kSaltOffset : 0;
  std::uint64_t at = std::max<std::uint64_t>(offset, SegmentHeader::kRecordsOffset);
  while (at + RecordHeader::kSize <= segment_->size_bytes) {
    TRY_ASSIGN(const ByteView window, bytes(at, RecordHeader::kSize));
    if (window.size() < RecordHeader::kSize) break;
    const std::size_t found = window.find(needle.view(), skip);
    if (found == ByteView::npos) {
      // The needle may stand across the window's end.
      at += window.size() - RecordHeader::kSize + 1;
      continue;
    }
    at += found - skip;
    TRY_ASSIGN(std::optional<RecordView> record, read(at));
    if (record && wanted(record->header)) return record;
    at = record ? record->end : at + 1;
  }
  return std::nullopt;
}

Result<std::optional<RecordView>> RecordWalker::read_at(std::uint64_t segment,
                                                        std::uint64_t offset) {
  if (!reader_ || reader_->segment().number != segment) {
    SegmentPtr found = pool_.find(segment);
    if (!found || !found->header_valid) return std::nullopt;
    reader_.emplace(std::move(found));
  }
  TRY_ASSIGN(std::optional<RecordView> record, reader_->read(offset));
  if (record && record->header.seq != position_.next_seq) return std::nullopt;
  return record;
}

Result<std::optional<RecordView>> RecordWalker::next() {
  std::uint64_t offset = std::max<std::uint64_t>(position_.offset, SegmentHeader::kRecordsOffset);
  TRY_ASSIGN(std::optional<RecordView> record, read_at(position_.segment, offset));
  if (!record) {
    // A segment ends where its next record would not fit, or where a recovery ended it.
    TRY_ASSIGN(record, read_at(position_.segment + 1, SegmentHeader::kRecordsOffset));
    if (!record) return std::nullopt;
  }
  position_ = {record->header.segment, record->end, record->header.seq + 1};
  return record;
}

}  // namespace amberfs
