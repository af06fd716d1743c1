// SPDX-License-Identifier: Apache-2.0
// HeldFiles: files that the kernel has locked for us, because we have not answered a SETATTR that a
// thread of ours (the holder) made through the mount. The kernel holds the inode's lock until the
// answer, so no write(2) to the file can run. FileChange (file_change.h) drives it.
//
//   kAsked ──chmod arrives──→ kHeld     Dirty pages are written out, writers wait. Now the content
//                                       is changed: the kernel's size is `before`, ours `after`.
//     ──release────────────→ kOpen      after < before: the kernel still appends at `before`, so
//                                       byte before + n belongs at after + n, and cached bytes
//                                       below `before` are of the old content: dropped.
//     ──truncate arrives───→ kShrinking Writers wait again. What was appended in between is taken
//                                       over, then the kernel is told the true size.
//     ──answered───────────→ kSettling  The kernel drops its old pages. What it writes out of them
//                                       meanwhile ends at or before the new size: dropped. What an
//                                       append dirties ends behind it.
//     ──holder is done─────→ forgotten
//
// Threads: handlers call the first group from any thread; the rest is FileChange's.
// Owns:    the requests it has not answered; abandon() answers them at the latest.
#pragma once

#define FUSE_USE_VERSION 314
#include "blockstore/base/mutex.h"
#include "blockstore/base/result.h"
#include "snapshot/record_format.h"

#include <fuse_lowlevel.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <unordered_map>
#include <vector>

namespace amberfs {

class HeldFiles {
 public:
  // ---- for handlers
  enum class Taken { kNo, kAnsweredLater, kAnswerUnchanged };
  // Whether a SETATTR is one of a holder's; `valid` is which attributes it sets.
  [[nodiscard]] Taken take(fuse_req_t request, Ino ino, unsigned valid);
  struct Range {
    std::uint64_t offset = 0;
    std::size_t size = 0;
  };
  struct Piece {
    std::size_t skip = 0;  // bytes into the request
    std::size_t size = 0;
    std::uint64_t offset = 0;  // in the file
  };
  // Where the bytes of a WRITE belong, in at most two pieces; what is in none is dropped.
  [[nodiscard]] std::vector<Piece> place_write(Ino ino, Range range, bool from_page_cache);
  [[nodiscard]] std::vector<Piece> place_read(Ino ino, Range range);
  // Cheap: whether the two above need to be asked.
  [[nodiscard]] bool any() const { return count_.load(std::memory_order_acquire) > 0; }
  // A program set the size: from now on the kernel's and ours are the same again.
  void size_was_set(Ino ino);

  // ---- for FileChange
  enum class State { kAsked, kHeld, kOpen, kShrinking, kSettling, kFailed };
  void expect(Ino ino, pid_t holder);
  // The holder's call came back although nobody answered it.
  void fail_held(Ino ino);
  // False after `until`, or when the file is kFailed.
  [[nodiscard]] bool wait_for(Ino ino, State state, std::chrono::steady_clock::time_point until);
  struct Sizes {
    std::uint64_t before = 0;
    std::uint64_t after = 0;
  };
  using Attributes = Result<struct stat>;
  // Answers the chmod. `sizes` when the kernel's size has to shrink.
  void release(Ino ino, const Attributes& attributes, std::optional<Sizes> sizes);
  // Nothing when a program set the size meanwhile.
  [[nodiscard]] std::optional<Sizes> sizes_of(Ino ino);
  // Answers the truncate with the size the file has now.
  void answer_truncate(Ino ino, const Attributes& attributes);
  // A request not yet answered gets an error, and one that still comes changes nothing.
  void abandon(Ino ino);
  void forget(Ino ino);

 private:
  struct Held {
    pid_t holder = 0;
    State state = State::kAsked;
    fuse_req_t request = nullptr;
    std::optional<Sizes> sizes;     // kOpen, kShrinking
    std::uint64_t settled_end = 0;  // kSettling
  };
  void set_state(Held& held, State state) REQUIRES(mu_);

  Mutex mu_;
  CondVar changed_;
  std::unordered_map<Ino, Held> files_ GUARDED_BY(mu_);
  std::atomic<std::size_t> count_{0};
};

}  // namespace amberfs
