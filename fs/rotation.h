// SPDX-License-Identifier: Apache-2.0
// Rotation: what programs that rotate logs (logrotate, newsyslog, rsyslog, savelog …) remove, told
// from what nobody should remove. By names and directory entries only; content is compared by
// content.h.
//
// A *generation* is a name made of a log's name and a number or a date, and perhaps the suffix of a
// compressor: app.log.3, app.log.3.gz, app.log-20261121, app.log-2026-11-21-1763700000.xz,
// app.1.log, app-20261121.log, app.log.old. Numbers grow with age, dates shrink.
//
// The rules, as docs/AUDIT.md has them:
//   shift     a generation is renamed over the next older one, and none is older than that
//   oldest    the oldest generation is deleted while a younger one is there; within an hour at most
//             half of the generations of a log, and one for each that came
//   packed    a file is deleted while NAME.gz (.xz, .zst, .bz2, .lz4, .Z) is there, made after it
//   copied    a file is cut to nothing while a generation of it has all of its bytes
// Renaming a log to a name that is free removes nothing.
// Threads: pure functions over a view; RemovalPace: any thread.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/view.h"

#include <map>
#include <optional>
#include <vector>

namespace amberfs {

struct Generation {
  Bytes before;                      // the name up to the number: "app.log."
  Bytes after;                       // behind it, without the compressor's suffix: "" or ".log"
  Bytes stem;                        // of the log itself: "app.log"
  std::vector<std::uint64_t> order;  // one number, or the parts of a date
  bool dated = false;
  bool packed = false;  // has a compressor's suffix
  // Of two generations of one log.
  [[nodiscard]] bool older_than(const Generation& other) const;
};

// nullopt: no generation.
[[nodiscard]] std::optional<Generation> parse_generation(ByteView name);

// True when `name` is the oldest generation of its log and `younger` others are there.
struct OldestGeneration {
  bool is_oldest = false;
  std::size_t younger = 0;
};
[[nodiscard]] Result<OldestGeneration> find_oldest(const View& view, Ino directory,
                                                   const Generation& generation);
// Whether a rename of `from` over `to` in one directory moves a generation on.
[[nodiscard]] Result<bool> is_shift(const View& view, Ino directory, ByteView from, ByteView to);
// Whether a compressed form of the file is beside it that was made after the file.
[[nodiscard]] Result<bool> has_packed_form(const View& view, Ino directory, ByteView name,
                                           const InodeRecord& record);
// The generations of the log `name` that are plain regular files of at least `size_min` bytes.
[[nodiscard]] Result<std::vector<Ino>> plain_generations(const View& view, Ino directory,
                                                         ByteView name, std::uint64_t size_min);

// How many generations of a log were deleted within the hour.
class RemovalPace {
 public:
  // Counts one more; false when that is more than `younger` allows, or when so many were asked for
  // that looking for the oldest is not worth it.
  [[nodiscard]] bool may_look(Ino directory, ByteView stem, std::int64_t now_ns);
  [[nodiscard]] bool removed(Ino directory, ByteView stem, std::size_t younger);
  // A generation came: one may go for it.
  void rotated(Ino directory, ByteView stem);

 private:
  struct Pace {
    std::int64_t since_ns = 0;
    std::size_t looks = 0;
    std::size_t removed = 0;
  };
  Mutex mu_;
  std::map<std::pair<Ino, Bytes>, Pace> logs_ GUARDED_BY(mu_);
};

}  // namespace amberfs
