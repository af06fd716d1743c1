// SPDX-License-Identifier: Apache-2.0
// Journal: the write-ahead log. Every batch is appended here before it is applied or answered.
// Flow:       append → overlay → reply;  fsync → sync_to(seq);  mount → replay;  commit → release.
// Durability: after append() the batch survives a kill of the process (it is in the kernel); after
//             sync_to(seq) every batch up to seq survives a loss of power.
// Segments:   journal/000000000001.wal …, preallocated, numbered without gaps; released ones are
//             renamed to a coming number and used again, so a record is valid only if it carries
//             the number of the segment it stands in. A batch lies within one segment.
// Torn tails: replay ends at the first record that is not valid. Each record says up to which
//             sequence the journal was durable when it was written; when a valid record behind the
//             end proves that the broken one had been durable, it is damage (kJournalDamaged), not
//             a torn tail, and replay says so instead of dropping promised data. Where nothing
//             valid is behind the end, the mark (durable_mark.h) tells what was lost: there is
//             nothing left to protect by a refusal, so the journal opens without it, keeps what the
//             files hold, and says so (loss()).
// Threads:    every method from any thread. Appends are ordered by an internal lock; concurrent
//             sync_to() share one flush (group commit).
// Errors:     kNoSpace (nothing was appended, the journal goes on when there is space again). A
//             sync that failed is told to everyone who waits for it, and never tried again: what is
//             not durable yet is read back, proved by its checksums and rewritten into new files,
//             and the journal goes on (journal_salvage.h). When that fails, too, it is broken for
//             good: kReadOnlyDisk for every later append, kBroken for every later sync.
// Format:     docs/FORMAT.md#journal.
#pragma once

#include "blockstore/base/io.h"
#include "fs/batch.h"
#include "fs/packed_data.h"

#include <functional>
#include <memory>

namespace amberfs {

struct JournalOptions {
  Packing packing;  // of what writers give; the journal itself takes it as it comes
  std::uint64_t segment_size_bytes = 64 * kMiB;
  std::uint32_t spare_segments_max = 4;  // released segments kept for reuse
  bool prepare_ahead = true;             // a thread makes the next segment ready in time
  // Replay met damage with batches behind it that can still be read.
  enum class OnDamage {
    kRefuse,    // kJournalDamaged: to go on without these batches is for a person to decide
    kSetAside,  // goes on with what is before the damage; the files are kept below set-aside-TIME/
    kOnlyLook   // as kSetAside, but nothing is changed on disk, and nothing can be appended
  };
  OnDamage on_damage = OnDamage::kRefuse;
  // Is shown each batch that can be read behind the damage, and is not replayed.
  std::function<void(const Batch&)> set_aside = {};
  // Called when the disk has no place for a segment or a record: true when room was made, and it is
  // tried once more. May be called with locks of the journal held, so it takes none but its own.
  std::function<bool()> make_room = {};
};

// A place between two records.
struct JournalPosition {
  std::uint64_t segment = 1;
  std::uint64_t offset = 0;    // of the next record in the segment file; 0: right behind the header
  std::uint64_t next_seq = 1;  // sequence of the next record
  friend bool operator==(const JournalPosition&, const JournalPosition&) = default;
};

struct Appended {
  std::uint64_t seq = 0;
  std::uint64_t segment = 0;
  std::uint64_t data_position = 0;  // of the batch's data area in the segment file
};

// Batches that had been durable and are not part of the journal any more.
struct JournalLoss {
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;   // the highest that is known of
  std::int64_t found_ns = 0;    // when it was found
  std::int64_t durable_ns = 0;  // by then the last one was durable; 0: not known
  // Known only to the open that found it.
  std::string why;
  std::string kept_in;  // the directory with the files as they were; "": there was nothing to keep
};

[[nodiscard]] std::string to_text(const JournalLoss& loss);

// Called by replay for each batch, already resolved, its data views empty.
using ReplayVisitor = std::function<Status(const Batch& batch, const Appended& where)>;

class Journal {
 public:
  // Batches are limited so that one always fits a segment.
  static constexpr std::uint64_t kBatchSizeMax = 24 * kMiB;

  // `directory` exists. `from` is where the head of the store says replay starts. Replays every
  // valid batch from there into `visit`, then is ready to append behind the last one.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(Io& io, const std::string& directory,
                                                             const JournalOptions& options,
                                                             const JournalPosition& from,
                                                             const ReplayVisitor& visit);
  virtual ~Journal() = default;

  // Appends and returns where it landed; the caller then calls batch.resolve(). Not yet durable.
  [[nodiscard]] virtual Result<Appended> append(const Batch& batch) = 0;
  // Returns when every batch up to `seq` is durable.
  [[nodiscard]] virtual Status sync_to(std::uint64_t seq) = 0;
  // Where the next append will go. Taken with no append in flight it is a clean cut.
  [[nodiscard]] virtual JournalPosition tail() = 0;
  [[nodiscard]] virtual std::uint64_t durable_seq() = 0;
  // Reads data bytes that an absolute journal extent names. From any segment not yet released.
  [[nodiscard]] virtual Status read(std::uint64_t segment, std::uint64_t position, char* target,
                                    std::size_t size) = 0;
  // The same of a packed area: `size` of its plain bytes from `offset`.
  [[nodiscard]] virtual Status read_packed(const PackedCache::Key& area, std::uint64_t offset,
                                           char* target, std::size_t size) = 0;
  // Checks the checksum of every record in [from, to): called before its data is sealed, so that
  // rot in the journal is not given a valid block id. kJournalDamaged names the offset.
  [[nodiscard]] virtual Status check(const JournalPosition& from, const JournalPosition& to) = 0;
  // Segments with a number below `segment` are not needed any more: recycled or deleted.
  [[nodiscard]] virtual Status release_before(std::uint64_t segment) = 0;
  // Bytes appended since open, and the size of all segments in use.
  [[nodiscard]] virtual std::uint64_t appended_bytes() = 0;
  [[nodiscard]] virtual std::uint64_t size_bytes() = 0;
  // The error that broke it, if any.
  [[nodiscard]] virtual std::optional<Error> broken() = 0;
  // What this open, or one before it, found lost, until forget_loss().
  [[nodiscard]] virtual std::optional<JournalLoss> loss() = 0;
  [[nodiscard]] virtual Status forget_loss() = 0;
  [[nodiscard]] virtual Status close() = 0;  // syncs
};

}  // namespace amberfs
