// SPDX-License-Identifier: Apache-2.0
// Tampering: a log only grows. What takes captured bytes away (overwrites, cuts off, deletes them)
// is judged here, before it happens: nothing, a rotation, or tampering; and what has to stay is
// kept as evidence (snapshot/evidence.h) by the same batch that removes it: a crash leaves both or
// none.
//   overwritten, cut off  the removed extents are shared into an inode of their own, without a name
//   deleted, replaced     the inode itself stays, without a name
// Removals from one file by one program within a minute are one event, as long as none hits bytes
// that the event has already: what is removed twice are two events. A file that has had many events
// in an hour goes on with the last one: only what was captured before that is kept, the rest is
// counted.
// Flow:    op_*.cc → before_…() → Kept → apply → done(); the audit thread → take_notices(), drop().
// Threads: any. before_…() and done() are called with the file's inode locked.
// Owns:    what it remembers of files: bounded. Borrows the live map.
// Errors:  what cannot be judged is tampering; errors are those of reading the view.
#pragma once

#include "fs/audit_options.h"
#include "fs/content.h"
#include "fs/live_map.h"
#include "fs/rotation.h"
#include "fs/tail_pages.h"
#include "snapshot/evidence.h"

#include <deque>
#include <unordered_map>

namespace amberfs {

// A program that has a file open for writing.
struct Writer {
  Origin who;
  bool appends = false;  // O_APPEND: write(2) cannot overwrite
};

// Evidence in the making: goes into the batch at hand, and is remembered once that is applied.
struct Kept {
  Ino number = kNoIno;     // of the evidence
  std::uint64_t stop = 0;  // everything below is kept
  bool complete = true;    // else the operation must not go further than that
  Evidence evidence;
  std::vector<ByteRange> ranges;
  bool is_new = true;
};

struct Notice {
  Ino number = kNoIno;
  Evidence evidence;
};

// A removal of a name that is a file's last.
struct Loss {
  RemovalKind kind = RemovalKind::kDeleted;
  Ino directory = kNoIno;
  ByteView name;
  ByteView moved;        // kReplaced: the name, in the same directory, of what comes instead
  bool goes_on = false;  // kReplaced: what comes instead begins with the same bytes
};

class Tampering {
 public:
  Tampering(LiveMap& live, const DataReader& data, AuditOptions options);
  // Who has a file open for writing, oldest first. Once, at first.
  using Writers = std::function<std::vector<Writer>(Ino)>;
  void set_writers(Writers writers) EXCLUDES(writers_mu_);

  // ---- for operations. nullopt: nothing to keep.
  [[nodiscard]] Result<std::optional<Kept>> before_write(Mutation& mutation, Ino ino,
                                                         const InodeRecord& record,
                                                         std::uint64_t offset, ByteView data);
  // The write is applied; the file ends at `file_size`.
  void after_write(Ino ino, std::uint64_t file_size, std::uint64_t offset, ByteView data) {
    tails_.wrote(ino, file_size, offset, data, live_.data_changes());
  }
  // [begin, end) is about to become a hole, or other bytes.
  [[nodiscard]] Result<std::optional<Kept>> before_removal(Mutation& mutation, RemovalKind kind,
                                                           Ino ino, const InodeRecord& record,
                                                           ByteRange range);
  // The last name of a file is about to go. With a Kept the inode stays as it is.
  [[nodiscard]] Result<std::optional<Kept>> before_loss(Mutation& mutation, const Loss& loss,
                                                        Ino ino, const InodeRecord& record);
  // `source` is about to become `target`: kept when the new name is not watched.
  [[nodiscard]] Result<std::optional<Kept>> before_rename(Mutation& mutation, Ino ino,
                                                          std::pair<Ino, ByteView> source,
                                                          std::pair<Ino, ByteView> target);
  // A file is about to be cut to nothing by a program: how many of its bytes a generation beside
  // it begins with (0: none). With no lock held.
  [[nodiscard]] std::uint64_t copied_bytes(const Origin& who, Ino ino);
  // Whether `moved` begins with all that `victim` has. With no lock held.
  [[nodiscard]] bool goes_on(const Origin& who, Ino moved, Ino victim);
  // The batch is applied.
  void done(Kept kept) EXCLUDES(mu_);
  void names_changed() EXCLUDES(mu_);
  // The file that was `source` is now `target` in `directory`.
  void renamed(ByteView source, Ino directory, ByteView target) EXCLUDES(mu_);

  // ---- for the audit thread and commands
  [[nodiscard]] std::vector<Notice> take_notices() EXCLUDES(mu_);
  // How many there were besides since the last time: too many at once. Their evidence is kept.
  [[nodiscard]] std::uint64_t take_left_out() EXCLUDES(mu_);
  // Events that are not over yet keep their evidence.
  [[nodiscard]] bool is_open(Ino number) EXCLUDES(mu_);
  // Nothing is added any more to the event that is open for this file.
  void close_event(Ino file) EXCLUDES(mu_);
  [[nodiscard]] const AuditOptions& options() const { return options_; }

 private:
  struct Event {
    Ino number = kNoIno;
    Evidence evidence;
    std::map<std::uint64_t, std::uint64_t> ranges;  // kept: begin → end
    std::uint32_t of_file = 1;                      // events of this file within the hour
    std::int64_t hour_ns = 0;
  };
  struct Removal {
    RemovalKind kind;
    Ino ino;
    const InodeRecord& record;
    ByteRange range;
    Bytes path;
    Bytes other;
  };

  [[nodiscard]] bool looks_at(const Origin& who) const {
    return !options_.watch.empty() && who.request_id != 0;
  }
  [[nodiscard]] bool is_watched(ByteView path) const;
  [[nodiscard]] Bytes path_of(const View& view, Ino ino) const;
  [[nodiscard]] bool watches(const View& view, Ino ino) EXCLUDES(mu_);
  [[nodiscard]] Evidence describe(const Mutation& mutation, const Removal& removal)
      EXCLUDES(writers_mu_);
  [[nodiscard]] Kept begin_or_join(Evidence evidence, ByteRange range) EXCLUDES(mu_);
  [[nodiscard]] Result<std::optional<Kept>> share(Mutation& mutation, const Removal& removal);
  [[nodiscard]] Result<bool> is_rotation(const View& view, const Loss& loss);
  void forget_old_events(std::int64_t now_ns) REQUIRES(mu_);

  LiveMap& live_;
  const DataReader& data_;
  const AuditOptions options_;
  RemovalPace pace_;
  TailPages tails_;
  Mutex writers_mu_;  // held while it is called: once it is taken away nobody is in it
  Writers writers_ GUARDED_BY(writers_mu_);
  Mutex mu_;
  std::unordered_map<Ino, Event> events_ GUARDED_BY(mu_);  // by file
  std::unordered_map<Ino, bool> watched_ GUARDED_BY(mu_);  // files that were looked at
  std::deque<Notice> notices_ GUARDED_BY(mu_);
  std::uint64_t left_out_ GUARDED_BY(mu_) = 0;
};

}  // namespace amberfs
