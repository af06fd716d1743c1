// SPDX-License-Identifier: Apache-2.0
// Reading records: RecordReader at any place of one segment, RecordWalker in order of sequence from
// segment to segment, find_record_behind() for what lies where no record is expected.
// Threads: each object belongs to one thread; appends may go on meanwhile.
// Owns:    shares segments; a buffer of at most the largest record.
// Errors:  those of Io. Bytes that are no record are no error but nullopt.
#pragma once

#include "fs/segment_pool.h"

namespace amberfs {

struct RecordView {
  RecordHeader header;
  ByteView raw;      // all of it; valid until the next read
  ByteView payload;  // in it
  std::uint64_t data_position = 0;
  std::uint64_t end = 0;  // of the record
};

class RecordReader {
 public:
  explicit RecordReader(SegmentPtr segment) : segment_(std::move(segment)) {}

  // The record that starts at `offset`: nullopt when its checksums or its segment do not match.
  [[nodiscard]] Result<std::optional<RecordView>> read(std::uint64_t offset);
  // The first record that starts at or behind `offset` and satisfies `wanted`, wherever it stands.
  [[nodiscard]] Result<std::optional<RecordView>> search(
      std::uint64_t offset, const std::function<bool(const RecordHeader&)>& wanted);
  [[nodiscard]] const Segment& segment() const { return *segment_; }

 private:
  // All that the window holds from `offset` on: `size` bytes at least, fewer at the file's end.
  [[nodiscard]] Result<ByteView> bytes(std::uint64_t offset, std::uint64_t size);
  [[nodiscard]] bool body_matches(const RecordHeader& header, ByteView body) const;

  SegmentPtr segment_;
  Bytes window_;
  std::uint64_t window_offset_ = 0;
};

class RecordWalker {
 public:
  RecordWalker(SegmentPool& pool, const JournalPosition& from) : pool_(pool), position_(from) {}

  // The record with sequence position().next_seq, and moves behind it; nullopt when there is none
  // valid, neither here nor at the beginning of the next segment.
  [[nodiscard]] Result<std::optional<RecordView>> next();
  [[nodiscard]] const JournalPosition& position() const { return position_; }

 private:
  [[nodiscard]] Result<std::optional<RecordView>> read_at(std::uint64_t segment,
                                                          std::uint64_t offset);

  SegmentPool& pool_;
  JournalPosition position_;
  std::optional<RecordReader> reader_;
};

}  // namespace amberfs
