// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_replay.h"

#include "blockstore/base/log.h"
#include "fs/batch_format.h"
#include "fs/journal_seal.h"

#include <algorithm>

namespace amberfs {
namespace {

// Nothing was ever published behind it: the store may be so new that no segment exists.
bool is_initial(const JournalPosition& position) {
  return position.offset == 0 && position.next_seq == 1;
}

Result<Batch> decode_batch(const StoreCipher* cipher, RecordView& record) {
  TRY_ASSIGN(const Bytes payload, open_record(cipher, record));
  const RecordHeader& header = record.header;
  TRY_ASSIGN(std::vector<Change> changes, decode_changes(payload, header.data_size));
  Batch batch(header.kind, header.origin);
  batch.set_time_ns(header.time_ns);
  batch.add_totals(header.inode_delta, header.byte_delta);
  for (Change& change : changes) {
    if (change.value) {
      batch.put(std::move(change.key), *std::move(change.value));
    } else {
      batch.remove(std::move(change.key));
    }
  }
  batch.resolve(header.segment, record.data_position);
  return batch;
}

// A broken record followed by one that says the journal was durable beyond it is no torn tail.
// Records dropped by an earlier recovery never say so: their durable_seq was below the sequence at
// which that recovery ended, else it would have been reported then. And as a segment's header is
// durable before the first record is written, a record under a damaged header proves rot by itself.
Status check_tail(SegmentPool& pool, const JournalPosition& end) {
  // So is its name, and a recovery removes the last one first: a gap is damage as well.
  std::uint64_t number = end.segment;
  for (const SegmentPtr& segment : pool.from(end.segment)) {
    if (segment->number != number) {
      return journal_damage(pool, {number, 0, end.next_seq},
                            "the segment is missing, later ones are there");
    }
    ++number;
    const auto proves_damage = [&](const RecordHeader& header) {
      if (!segment->header_valid) return header.seq >= end.next_seq;
      return header.seq > end.next_seq && header.durable_seq >= end.next_seq;
    };
    RecordReader reader(segment);
    const std::uint64_t begin = segment->number == end.segment ? end.offset : 0;
    TRY_ASSIGN(const std::optional<RecordView> proof, reader.search(begin, proves_damage));
    if (proof) {
      return journal_damage(pool, end,
                            fmt::format("record {} was written and cannot be read; record {} in "
                                        "segment {} says so",
                                        end.next_seq, proof->header.seq, segment->number));
    }
  }
  return ok();
}

// All of it is sealed, or nothing: who can write the store must not give it records of his own.
Status check_form(SegmentPool& pool, bool sealed) {
  for (const SegmentPtr& segment : pool.from(1)) {
    if (!segment->header_valid || segment->sealed == sealed) continue;
    return journal_damage(pool, {segment->number, 0, 0},
                          sealed ? "a segment of an encrypted store that is not sealed"
                                 : "a sealed segment in a store that is not encrypted");
  }
  return ok();
}

}  // namespace

std::unexpected<Error> journal_damage(SegmentPool& pool, const JournalPosition& position,
                                      const std::string& why) {
  const SegmentPtr segment = pool.find(position.segment);
  std::string object =
      segment ? segment->file->path() : "segment " + std::to_string(position.segment);
  const std::uint64_t offset =
      std::max<std::uint64_t>(position.offset, SegmentHeader::kRecordsOffset);
  object += " at offset " + std::to_string(offset);
  return fail(Errc::kJournalDamaged, 0, "read the journal: " + why, std::move(object));
}

Result<Replayed> replay_journal(SegmentPool& pool, const StoreCipher* cipher,
                                const JournalPosition& from, const ReplayVisitor& visit) {
  if (from.segment == 0 || from.next_seq == 0) {
    return journal_damage(pool, from, "no such position");
  }
  TRY(check_form(pool, cipher != nullptr));
  const SegmentPtr first = pool.find(from.segment);
  if (!first && !is_initial(from)) return journal_damage(pool, from, "the segment is missing");
  if (first && !first->header_valid && !is_initial(from)) {
    return journal_damage(pool, from, "the segment's header is damaged");
  }

  RecordWalker walker(pool, from);
  while (true) {
    const JournalPosition here = walker.position();
    TRY_ASSIGN(std::optional<RecordView> record, walker.next());
    if (!record) break;
    Result<Batch> batch = decode_batch(cipher, *record);
    if (!batch) return journal_damage(pool, here, batch.error().tried);
    TRY(visit(*batch, {record->header.seq, record->header.segment, record->data_position}));
  }
  TRY(check_tail(pool, walker.position()));

  Replayed replayed{walker.position(), first && first->header_valid};
  if (replayed.has_segment) {
    replayed.end.offset =
        std::max<std::uint64_t>(replayed.end.offset, SegmentHeader::kRecordsOffset);
  }
  return replayed;
}

}  // namespace amberfs
