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

// A broken record followed by one that says the journal was durable beyond it is no torn tail; nor
// is one that the mark calls durable while a later one can still be read.
// Records dropped by an earlier recovery never say so: their durable_seq was below the sequence at
// which that recovery ended, else it would have been reported then. And as a segment's header is
// durable before the first record is written, a record under a damaged header proves rot by itself.
Status check_tail(SegmentPool& pool, std::uint64_t durable_next_seq, Replayed& replayed) {
  const JournalPosition& end = replayed.end;
  const auto damaged = [&](const JournalPosition& where, const std::string& why) {
    replayed.damage = journal_damage(pool, where, why).error();
    return ok();
  };
  // So is its name, and a recovery removes the last one first: a gap is damage as well.
  std::uint64_t number = end.segment;
  for (const SegmentPtr& segment : pool.from(end.segment)) {
    if (segment->number != number) {
      return damaged({number, 0, end.next_seq}, "the segment is missing, later ones are there");
    }
    ++number;
    const auto proves_damage = [&](const RecordHeader& header) {
      if (!segment->header_valid) return header.seq >= end.next_seq;
      const bool durable = header.durable_seq >= end.next_seq || header.seq < durable_next_seq;
      return header.seq > end.next_seq && durable;
    };
    RecordReader reader(segment);
    const std::uint64_t begin = segment->number == end.segment ? end.offset : 0;
    TRY_ASSIGN(const std::optional<RecordView> proof, reader.search(begin, proves_damage));
    if (!proof) continue;
    replayed.lost_up_to = std::max(replayed.lost_up_to, proof->header.durable_seq);
    return damaged(end, fmt::format("record {} was written and cannot be read; record {} in "
                                    "segment {} says so",
                                    end.next_seq, proof->header.seq, segment->number));
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

namespace {

// Why there is nothing to replay at all; "": there is.
std::string missing_beginning(const SegmentPtr& first, const JournalPosition& from) {
  if (is_initial(from)) return "";
  if (!first) return "the segment is missing";
  return first->header_valid ? "" : "the segment's header is damaged";
}

// Up to the first record that is not valid. One that is valid and does not make sense is damage.
Status replay_records(SegmentPool& pool, const StoreCipher* cipher, const ReplayVisitor& visit,
                      Replayed& replayed) {
  RecordWalker walker(pool, replayed.end);
  while (true) {
    replayed.end = walker.position();
    TRY_ASSIGN(std::optional<RecordView> record, walker.next());
    if (!record) return ok();
    Result<Batch> batch = decode_batch(cipher, *record);
    if (!batch) {
      replayed.damage = journal_damage(pool, replayed.end, batch.error().tried).error();
      return ok();
    }
    TRY(visit(*batch, {record->header.seq, record->header.segment, record->data_position}));
  }
}

}  // namespace

Result<Replayed> replay_journal(SegmentPool& pool, const StoreCipher* cipher,
                                const JournalPosition& from, std::uint64_t durable_next_seq,
                                const ReplayVisitor& visit) {
  if (from.segment == 0 || from.next_seq == 0) {
    return journal_damage(pool, from, "no such position");
  }
  TRY(check_form(pool, cipher != nullptr));
  const SegmentPtr first = pool.find(from.segment);
  Replayed replayed{.end = from, .has_segment = first && first->header_valid};
  if (const std::string why = missing_beginning(first, from); !why.empty()) {
    replayed.damage = journal_damage(pool, from, why).error();
  } else {
    TRY(replay_records(pool, cipher, visit, replayed));
  }
  if (durable_next_seq > replayed.end.next_seq) replayed.lost_up_to = durable_next_seq - 1;
  if (!replayed.damage) TRY(check_tail(pool, durable_next_seq, replayed));
  if (replayed.damage) {
    replayed.lost_up_to = std::max(replayed.lost_up_to, replayed.end.next_seq);
  }
  if (replayed.has_segment) {
    replayed.end.offset =
        std::max<std::uint64_t>(replayed.end.offset, SegmentHeader::kRecordsOffset);
  }
  return replayed;
}

Status visit_behind(SegmentPool& pool, const StoreCipher* cipher, const JournalPosition& end,
                    const std::function<void(const Batch&)>& visit) {
  const auto is_behind = [&](const RecordHeader& header) { return header.seq >= end.next_seq; };
  for (const SegmentPtr& segment : pool.from(end.segment)) {
    RecordReader reader(segment);
    std::uint64_t at = segment->number == end.segment ? end.offset : 0;
    while (true) {
      TRY_ASSIGN(std::optional<RecordView> record, reader.search(at, is_behind));
      if (!record) break;
      at = record->end;
      if (auto batch = decode_batch(cipher, *record)) visit(*batch);
    }
  }
  return ok();
}

}  // namespace amberfs
