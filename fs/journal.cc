// SPDX-License-Identifier: Apache-2.0
// The journal on files. Three locks, taken in this order: sync state, append, the pool's.
#include "fs/journal.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/hash.h"
#include "blockstore/base/log.h"
#include "blockstore/base/mutex.h"
#include "fs/batch_format.h"
#include "fs/durable_mark.h"
#include "fs/journal_replay.h"
#include "fs/journal_salvage.h"
#include "fs/journal_seal.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>

namespace amberfs {
namespace {

class FileJournal final : public Journal {
 public:
  FileJournal(Io& io, const std::string& directory, const JournalOptions& options)
      : directory_(directory),
        pool_(io, directory, options),
        options_(options),
        mark_(io, directory) {}
  ~FileJournal() override { pool_.stop(); }

  [[nodiscard]] Status recover(const JournalPosition& from, const ReplayVisitor& visit);

  Result<Appended> append(const Batch& batch) override;
  Status sync_to(std::uint64_t seq) override;
  JournalPosition tail() override;
  std::uint64_t durable_seq() override { return durable_seq_.load(); }
  Status read(std::uint64_t segment, std::uint64_t position, char* target,
              std::size_t size) override;
  Status read_packed(const PackedCache::Key& area, std::uint64_t offset, char* target,
                     std::size_t size) override;
  Status check(const JournalPosition& from, const JournalPosition& to) override;
  Status release_before(std::uint64_t segment) override;
  std::uint64_t appended_bytes() override { return appended_bytes_.load(); }
  std::uint64_t size_bytes() override { return pool_.size_bytes(); }
  std::optional<Error> broken() override;
  std::optional<JournalLoss> loss() override;
  Status forget_loss() override;
  Status close() override;

 private:
  // A record before it has its place.
  struct NewRecord {
    RecordHeader header;
    Bytes payload;  // in an encrypted store: the changes, to be sealed when the place is known
    std::span<const ByteView> data;
    std::uint64_t data_hash = 0;
  };
  [[nodiscard]] Status set_aside(const Replayed& replayed);
  [[nodiscard]] Status begin_anew();
  void note_durable(const JournalPosition& end);
  [[nodiscard]] Result<NewRecord> make_record(const Batch& batch) const;
  [[nodiscard]] Result<Appended> append_locked(NewRecord& record) REQUIRES(append_mu_);
  [[nodiscard]] Status make_room(std::uint64_t record_size) REQUIRES(append_mu_);
  [[nodiscard]] Status write_record(std::span<const ByteView> parts) REQUIRES(append_mu_);
  [[nodiscard]] Status write_parts(std::span<const ByteView> parts) REQUIRES(append_mu_);
  [[nodiscard]] Result<Bytes> read_area(const PackedCache::Key& area);
  [[nodiscard]] Result<PackedCache::Data> unpack(const PackedCache::Key& area);
  [[nodiscard]] Status salvage(const Error& cause, const char* tried) REQUIRES(append_mu_);
  [[nodiscard]] Status clear_failed_write() REQUIRES(append_mu_);
  [[nodiscard]] Result<bool> become_flusher(std::uint64_t seq, std::uint64_t failures);
  // Returns up to where everything is durable.
  [[nodiscard]] Result<JournalPosition> flush();
  void end_flush(const Status& status);
  [[nodiscard]] Status check_not_broken();
  [[nodiscard]] Status check_writable();
  std::unexpected<Error> break_with(const Error& cause, const char* tried);

  const std::string directory_;
  SegmentPool pool_;
  const JournalOptions options_;
  const StoreCipher* const cipher_ = options_.packing.cipher.get();  // null: a plain store

  Mutex append_mu_;
  // The segment that is written to. Null until the first append of this life of the journal.
  SegmentPtr tail_ GUARDED_BY(append_mu_);
  JournalPosition position_ GUARDED_BY(append_mu_);
  std::uint64_t next_segment_ GUARDED_BY(append_mu_) = 1;
  struct Unsynced {
    SegmentPtr segment;
    std::uint64_t end = 0;  // of its records, once another one was begun
  };
  // Written to since they were last synced, oldest first; the last one is tail_.
  std::vector<Unsynced> unsynced_ GUARDED_BY(append_mu_);
  // At position_ stand bytes of a record that was not appended.
  bool failed_write_ GUARDED_BY(append_mu_) = false;
  bool asked_ahead_ GUARDED_BY(append_mu_) = false;

  Mutex sync_mu_;
  CondVar flushed_;
  bool flushing_ GUARDED_BY(sync_mu_) = false;
  std::uint64_t failures_ GUARDED_BY(sync_mu_) = 0;  // flushes that failed
  Error last_failure_ GUARDED_BY(sync_mu_);

  PackedCache unpacked_;

  DurableMark mark_;
  std::atomic<bool> mark_fails_{false};
  std::optional<JournalLoss> looked_at_;  // kOnlyLook: what recover() found

  Mutex broken_mu_;
  std::optional<Error> broken_ GUARDED_BY(broken_mu_);
  // Where a segment's records could not be read back: what stands behind may be anything.
  std::map<std::uint64_t, std::uint64_t> lost_from_ GUARDED_BY(broken_mu_);
  std::atomic<bool> is_broken_{false};

  std::atomic<std::uint64_t> durable_seq_{0};
  std::atomic<std::uint64_t> appended_bytes_{0};
};

// No stale record can come to life again, for each life of a segment file (each salt) is written by
// one mount, front to back: after a recovery appending goes on in a new segment, never behind the
// recovered records, where records of the same salt may stand beyond a torn one. What the recovery
// found torn stays torn, as nothing is written there any more; and segments behind the end, whose
// first record might one day have just the sequence that is expected, are unlinked here, durably,
// before the first append.
Status FileJournal::recover(const JournalPosition& from, const ReplayVisitor& visit) {
  const bool only_look = options_.on_damage == JournalOptions::OnDamage::kOnlyLook;
  TRY(mark_.load());
  TRY(pool_.load(from.segment));
  TRY_ASSIGN(const Replayed replayed,
             replay_journal(pool_, cipher_, from, mark_.state().end.next_seq, visit));
  if (replayed.damage && options_.on_damage == JournalOptions::OnDamage::kRefuse) {
    return fail(*replayed.damage);
  }
  const JournalPosition& end = replayed.end;
  if (!only_look) {
    // After a kill of the process records are valid that were never synced. What is built on them
    // from now on (answers to programs, records that call them durable) needs them to last.
    for (const SegmentPtr& segment : pool_.from(from.segment)) {
      if (segment->number > end.segment || end.next_seq == from.next_seq) break;
      TRY(segment->file->sync_data());
    }
  }
  if (replayed.lost_up_to != 0) TRY(set_aside(replayed));
  if (!only_look) TRY(pool_.drop_behind(replayed.has_segment ? end.segment : end.segment - 1));
  {
    MutexLock lock(append_mu_);
    position_ = end;
    // The head may name a place in a damaged segment: no other one takes its number.
    const bool number_is_free = !replayed.has_segment && !replayed.damage;
    next_segment_ = number_is_free ? end.segment : end.segment + 1;
    durable_seq_ = end.next_seq - 1;
  }
  if (only_look) {
    MutexLock lock(broken_mu_);
    broken_ = Error{Errc::kBroken, 0, "the journal is only looked at", directory_};
    is_broken_ = true;
    return ok();
  }
  if (replayed.damage) return begin_anew();
  note_durable(end);
  return ok();
}

// What is behind the end is lost to the journal: it is kept for people to look at, and remembered.
Status FileJournal::set_aside(const Replayed& replayed) {
  JournalLoss loss{.first_seq = replayed.end.next_seq,
                   .last_seq = replayed.lost_up_to,
                   .found_ns = now_ns(),
                   .durable_ns = mark_.state().time_ns};
  loss.why = replayed.damage ? replayed.damage->tried + ": " + replayed.damage->object
                             : fmt::format(
                                   "the journal ends behind batch {}, but had been durable "
                                   "up to batch {}",
                                   loss.first_seq - 1, loss.last_seq);
  // One that nobody has acknowledged stays in what is said.
  if (const auto earlier = mark_.state().loss) {
    loss.why +=
        fmt::format("; batches {} to {} were lost before", earlier->first_seq, earlier->last_seq);
    loss.first_seq = std::min(loss.first_seq, earlier->first_seq);
    loss.last_seq = std::max(loss.last_seq, earlier->last_seq);
  }
  if (options_.set_aside) {
    TRY(visit_behind(pool_, cipher_, replayed.end, options_.set_aside));
  }
  if (options_.on_damage == JournalOptions::OnDamage::kOnlyLook) {
    looked_at_ = std::move(loss);
    return ok();
  }
  log_error("journal: {}", loss.why);
  const std::string target = fmt::format("{}/set-aside-{}", directory_, loss.found_ns);
  const Result<bool> kept = pool_.set_aside_behind(replayed.end, replayed.has_segment, target);
  // Without damage nothing in it can be read as batches: not worth a refusal.
  if (!kept && replayed.damage) return fail(kept.error());
  if (!kept) log_error("journal: what is left of it is not kept: {}", kept.error().to_string());
  if (kept.value_or(false)) loss.kept_in = target;
  if (auto noted = mark_.note_loss(replayed.end, loss); !noted) {
    log_error("journal: the loss is not noted: {}", noted.error().to_string());
  }
  return ok();
}

// What is behind the damage in the last segment would be found again by the next replay. A batch in
// a segment of its own leads past it.
Status FileJournal::begin_anew() {
  Batch marker(OpKind::kMount);
  marker.set_time_ns(now_ns());
  TRY_ASSIGN(const Appended appended, append(marker));
  return sync_to(appended.seq);
}

// Without it nothing is lost but a later proof of what was there: no sync fails for it.
void FileJournal::note_durable(const JournalPosition& end) {
  Status noted = mark_.note(end);
  if (!noted && !mark_fails_.exchange(true)) {
    log_warning("journal: up to where it is durable is not noted: {}", noted.error().to_string());
  }
  if (noted) mark_fails_ = false;
}

std::optional<JournalLoss> FileJournal::loss() {
  return looked_at_ ? looked_at_ : mark_.state().loss;
}

Status FileJournal::forget_loss() {
  return mark_.note_loss(mark_.state().end, std::nullopt);
}

Result<FileJournal::NewRecord> FileJournal::make_record(const Batch& batch) const {
  NewRecord record{.header = {}, .payload = encode_changes(batch.changes()), .data = batch.data()};
  const std::uint64_t payload_size =
      cipher_ != nullptr ? sealed_payload_size(record.payload.size()) : record.payload.size();
  if (payload_size + batch.data_size() > kBatchSizeMax) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("append to the journal: a batch of {} bytes",
                            payload_size + batch.data_size()));
  }
  RecordHeader& header = record.header;
  header.kind = batch.kind();
  header.origin = batch.origin();
  header.time_ns = batch.time_ns();
  header.inode_delta = batch.inode_delta();
  header.byte_delta = batch.byte_delta();
  header.payload_size = static_cast<std::uint32_t>(payload_size);
  header.data_size = static_cast<std::uint32_t>(batch.data_size());
  if (cipher_ != nullptr) {
    record.data_hash = xxh3_of_parts({}, record.data);
  } else {
    header.body_checksum = body_checksum(record.payload, record.data);
  }
  return record;
}

Result<Appended> FileJournal::append(const Batch& batch) {
  TRY_ASSIGN(NewRecord record, make_record(batch));
  MutexLock lock(append_mu_);
  return append_locked(record);
}

Result<Appended> FileJournal::append_locked(NewRecord& record) {
  RecordHeader& header = record.header;
  TRY(check_writable());
  TRY(make_room(header.record_size()));
  header.salt = tail_->salt;
  header.segment = tail_->number;
  header.seq = position_.next_seq;
  header.durable_seq = durable_seq_.load();
  if (cipher_ != nullptr) {
    TRY_ASSIGN(record.payload, seal_payload(*cipher_, header, record.payload, record.data));
    header.body_checksum = sealed_body_checksum(record.payload, record.data_hash);
  }
  const Bytes head = encode_record_header(cipher_ != nullptr ? visible_part(header) : header);
  std::vector<ByteView> parts{head, record.payload};
  parts.insert(parts.end(), record.data.begin(), record.data.end());
  TRY(write_record(parts));

  const Appended appended{header.seq, header.segment,
                          position_.offset + RecordHeader::kSize + header.payload_size};
  position_.offset += header.record_size();
  ++position_.next_seq;
  appended_bytes_ += header.record_size();
  if (!asked_ahead_ && position_.offset > tail_->size_bytes / 2) {
    asked_ahead_ = true;
    pool_.prepare_ahead(next_segment_);
  }
  return appended;
}

Status FileJournal::make_room(std::uint64_t record_size) {
  if (tail_ && position_.offset + record_size <= tail_->size_bytes) return ok();
  TRY(clear_failed_write());
  TRY_ASSIGN(SegmentPtr segment, pool_.take(next_segment_, record_size));
  if (!unsynced_.empty()) unsynced_.back().end = position_.offset;
  tail_ = segment;
  unsynced_.push_back({std::move(segment), 0});
  position_.segment = next_segment_++;
  position_.offset = SegmentHeader::kRecordsOffset;
  asked_ahead_ = false;
  return ok();
}

// The segment's blocks are allocated, but some disks still need room to write to them.
Status FileJournal::write_parts(std::span<const ByteView> parts) {
  Status status = tail_->file->pwritev(parts, position_.offset);
  const bool no_space = !status && status.error().code == Errc::kNoSpace;
  if (!no_space || !options_.make_room || !options_.make_room()) return status;
  return tail_->file->pwritev(parts, position_.offset);
}

Status FileJournal::write_record(std::span<const ByteView> parts) {
  Status status = write_parts(parts);
  if (!status && status.error().code != Errc::kNoSpace) {
    // Nobody was promised anything about this record yet, so it may be tried again elsewhere.
    TRY(salvage(status.error(), "append"));
    status = write_parts(parts);
    if (!status && status.error().code != Errc::kNoSpace) {
      return break_with(status.error(), "append");
    }
  }
  if (status) {
    failed_write_ = false;
    return ok();
  }
  // Not appended: the next record takes the same place. Until then the place must not look like a
  // record either.
  failed_write_ = true;
  if (auto cleared = clear_failed_write(); !cleared) {
    log_warning("journal: {}", cleared.error().to_string());
  }
  return fail(std::move(status).error());
}

Status FileJournal::clear_failed_write() {
  if (!failed_write_) return ok();
  const Bytes zeros(RecordHeader::kSize, '\0');
  const std::uint64_t room = tail_->size_bytes - position_.offset;
  TRY(tail_->file->pwrite(ByteView(zeros).substr(0, room), position_.offset));
  failed_write_ = false;
  return ok();
}

// The disk does not take what was written to some segment. All that is not durable yet is rewritten
// into new files; what cannot be ends the journal's life: nothing can be changed any more.
Status FileJournal::salvage(const Error& cause, const char* tried) {
  log_error("journal: {}; what its segment holds is rewritten", cause.to_string());
  for (Unsynced& unsynced : unsynced_) {
    const bool is_tail = unsynced.segment == tail_;
    Result<SegmentPtr> fresh =
        pool_.rewrite(unsynced.segment, is_tail ? position_.offset : unsynced.end);
    if (!fresh) {
      log_error("journal: {}", fresh.error().to_string());
      if (fresh.error().code == Errc::kJournalDamaged) {
        MutexLock lock(broken_mu_);
        lost_from_[unsynced.segment->number] = readable_end(unsynced.segment);
      }
      return break_with(cause, tried);
    }
    unsynced.segment = *std::move(fresh);
    if (is_tail) tail_ = unsynced.segment;
  }
  failed_write_ = false;  // the new file has zeros there
  durable_seq_ = position_.next_seq - 1;
  if (unsynced_.size() > 1) unsynced_.erase(unsynced_.begin(), unsynced_.end() - 1);
  log_info("journal: rewritten, everything up to batch {} is durable", durable_seq_.load());
  return ok();
}

Status FileJournal::sync_to(std::uint64_t seq) {
  seq = std::min(seq, tail().next_seq - 1);
  std::uint64_t failures = 0;
  {
    MutexLock lock(sync_mu_);
    failures = failures_;
  }
  while (true) {
    TRY_ASSIGN(const bool flusher, become_flusher(seq, failures));
    if (!flusher) return ok();
    Result<JournalPosition> durable = flush();
    // The mark before anybody is told, so that what was promised is known to have been there.
    if (durable) {
      note_durable(*durable);
      MutexLock lock(append_mu_);
      durable_seq_ = std::max(durable->next_seq - 1, durable_seq_.load());
    }
    Status status = durable ? ok() : Status(fail(std::move(durable).error()));
    end_flush(status);
    TRY(std::move(status));
  }
}

// One caller flushes, the others wait. A flush covers what was appended before it began, so who
// came later wakes up, sees that its sequence is not durable yet and flushes for all that wait.
// Whoever waited while a flush failed is told, also when its records were rewritten: to each it was
// its own sync that failed.
Result<bool> FileJournal::become_flusher(std::uint64_t seq, std::uint64_t failures) {
  MutexLock lock(sync_mu_);
  while (true) {
    TRY(check_not_broken());
    if (failures_ != failures) return fail(last_failure_);
    if (durable_seq_.load() >= seq) return false;
    if (!flushing_) return flushing_ = true;
    flushed_.wait(sync_mu_);
  }
}

Result<JournalPosition> FileJournal::flush() {
  std::vector<SegmentPtr> segments;
  JournalPosition end;
  {
    MutexLock lock(append_mu_);
    for (const Unsynced& unsynced : unsynced_) segments.push_back(unsynced.segment);
    end = position_;
  }
  // Oldest first, so that what is durable has no gap.
  for (const SegmentPtr& segment : segments) {
    if (auto status = segment->file->sync_data(); !status) {
      MutexLock lock(append_mu_);
      TRY(check_not_broken());
      TRY(salvage(status.error(), "sync"));
      // All is durable now, but those who waited for this sync are told that it failed.
      return fail(std::move(status).error());
    }
  }
  MutexLock lock(append_mu_);
  TRY(check_not_broken());
  // All but the tail were left before the flush began: nothing is written to them any more.
  std::erase_if(unsynced_, [&segments, tail = tail_](const Unsynced& unsynced) {
    return unsynced.segment != tail && std::ranges::count(segments, unsynced.segment) > 0;
  });
  return end;
}

void FileJournal::end_flush(const Status& status) {
  MutexLock lock(sync_mu_);
  flushing_ = false;
  if (!status) {
    ++failures_;
    last_failure_ = status.error();
  }
  flushed_.notify_all();
}

JournalPosition FileJournal::tail() {
  MutexLock lock(append_mu_);
  return position_;
}

Status FileJournal::read(std::uint64_t segment, std::uint64_t position, char* target,
                         std::size_t size) {
  const SegmentPtr found = pool_.find(segment);
  if (!found || position > found->size_bytes || size > found->size_bytes - position) {
    return journal_damage(pool_, {segment, position, 0},
                          fmt::format("there are no {} bytes of data", size));
  }
  if (is_broken_.load()) {
    MutexLock lock(broken_mu_);
    const auto lost = lost_from_.find(segment);
    if (lost != lost_from_.end() && position + size > lost->second) {
      return journal_damage(pool_, {segment, position, 0}, "the disk lost it");
    }
  }
  return found->file->pread_exact(target, size, position);
}

// The plain bytes of a packed area, or of a sealed one.
Result<Bytes> FileJournal::read_area(const PackedCache::Key& area) {
  Bytes header(cipher_ != nullptr ? SealedArea::kHeaderSize : PackedSizes::kHeaderSize, '\0');
  TRY(read(area.segment, area.position, header.data(), header.size()));
  PackedSizes sizes;
  if (cipher_ != nullptr) {
    sizes.frame = load_le<std::uint32_t>(header.data());
  } else {
    TRY_ASSIGN(sizes, decode_packed_sizes(header));
  }
  if (sizes.frame > kBatchSizeMax) return fail(Errc::kCorrupt, 0, "no packed data");
  Bytes frame(sizes.frame, '\0');
  TRY(read(area.segment, area.position + header.size(), frame.data(), frame.size()));
  return cipher_ != nullptr ? open_area(*cipher_, frame) : unpack_data(sizes, frame);
}

Result<PackedCache::Data> FileJournal::unpack(const PackedCache::Key& area) {
  if (PackedCache::Data cached = unpacked_.find(area)) return cached;
  Result<Bytes> plain = read_area(area);
  if (!plain && plain.error().code == Errc::kCorrupt) {
    return journal_damage(pool_, {area.segment, area.position, 0}, plain.error().tried);
  }
  if (!plain) return fail(std::move(plain).error());
  auto data = std::make_shared<const Bytes>(*std::move(plain));
  unpacked_.insert(area, data);
  return data;
}

Status FileJournal::read_packed(const PackedCache::Key& area, std::uint64_t offset, char* target,
                                std::size_t size) {
  TRY_ASSIGN(const PackedCache::Data data, unpack(area));
  if (offset > data->size() || size > data->size() - offset) {
    return journal_damage(pool_, {area.segment, area.position, 0},
                          "packed data ends before its extent");
  }
  std::memcpy(target, data->data() + offset, size);
  return ok();
}

Status FileJournal::check(const JournalPosition& from, const JournalPosition& to) {
  RecordWalker walker(pool_, from);
  while (walker.position().next_seq < to.next_seq) {
    const JournalPosition here = walker.position();
    TRY_ASSIGN(std::optional<RecordView> record, walker.next());
    if (!record) {
      return journal_damage(pool_, here,
                            fmt::format("record {} does not match its checksum", here.next_seq));
    }
    if (cipher_ == nullptr) continue;
    if (auto opened = open_record(cipher_, *record); !opened) {
      return journal_damage(pool_, here, opened.error().tried);
    }
  }
  return ok();
}

Status FileJournal::release_before(std::uint64_t segment) {
  std::uint64_t below = segment;
  {
    MutexLock lock(append_mu_);
    below = std::min(below, position_.segment);
  }
  return pool_.release_before(below);
}

std::optional<Error> FileJournal::broken() {
  MutexLock lock(broken_mu_);
  return broken_;
}

Status FileJournal::check_not_broken() {
  if (!is_broken_.load()) return ok();
  MutexLock lock(broken_mu_);
  return fail(*broken_);
}

// What changes something is refused as on any file system that had to be made read-only.
Status FileJournal::check_writable() {
  Status whole = check_not_broken();
  if (whole) return whole;
  return fail(Errc::kReadOnlyDisk, EROFS, "the mount is read-only: " + whole.error().tried,
              whole.error().object);
}

// Returns the first error, also when another one came before this.
std::unexpected<Error> FileJournal::break_with(const Error& cause, const char* tried) {
  MutexLock lock(broken_mu_);
  if (!broken_) {
    broken_ = Error{Errc::kBroken, cause.sys_errno,
                    fmt::format("{} to the journal ({})", tried, cause.tried), cause.object};
    is_broken_ = true;
    log_error("journal: {}", broken_->to_string());
  }
  return fail(*broken_);
}

Status FileJournal::close() {
  Status synced = sync_to(tail().next_seq - 1);
  pool_.stop();
  if (auto closed = mark_.close(); !closed) log_warning("journal: {}", closed.error().to_string());
  return synced;
}

}  // namespace

std::string to_text(const JournalLoss& loss) {
  std::string text =
      fmt::format("batches {} to {} had been durable and are lost", loss.first_seq, loss.last_seq);
  if (!loss.why.empty()) text += ": " + loss.why;
  if (!loss.kept_in.empty()) text += "; what is left of them is kept in " + loss.kept_in;
  return text;
}

Result<std::unique_ptr<Journal>> Journal::open(Io& io, const std::string& directory,
                                               const JournalOptions& options,
                                               const JournalPosition& from,
                                               const ReplayVisitor& visit) {
  auto journal = std::make_unique<FileJournal>(io, directory, options);
  TRY(journal->recover(from, visit));
  return std::unique_ptr<Journal>(std::move(journal));
}

}  // namespace amberfs
