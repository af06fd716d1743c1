// SPDX-License-Identifier: Apache-2.0
// Space: how much room the disk beneath the store has, who may still take of it, and the reserve.
//
//   available ├─ pending ─┼─ floor ──────────────┼─ headroom ─────────────────┤     + reserve (a
//   file)
//
//   pending   what a commit of all that stands in the journal would write to packs
//   floor     what the kernel may hold of dirty pages, once for the journal and once for packs, and
//             the next journal segment: pages that a program has written already can be placed
//   headroom  what new data may take; below zero the store is full: write(2) and whatever makes a
//             new name get ENOSPC before anything was taken. Removing, cutting off and renaming go
//             on, out of the floor and then out of the reserve
//   reserve   STORE/reserve, allocated blocks that no other program can take. Given back to the
//             disk when a segment or a commit finds no room (spend), and taken again, before any
//             new data is let in, when there is room (refill)
//
// Flow:    FileSystem → admit(), admit_late();  journal, commit → spend();  Engine's thread →
// refill(), refresh();
//          fs/fuse asks is_tight() to know when the kernel must ask before it caches a write.
// Threads: every method from any thread. mu_ is a leaf; admit() may wait for a commit, so its
// caller
//          holds no lock and no Mutation.
// Owns:    the reserve file; borrows Io.
// Errors:  kNoSpace from admit(). A reserve that cannot be had is no error: the store is full then.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

namespace amberfs {

enum class SpaceState { kOk, kLow, kFull };

struct SpaceOptions {
  std::uint64_t reserve_bytes = 0;  // 0: chosen by the size of the disk
  std::uint64_t segment_bytes = 0;  // of the journal
};

struct SpaceReport {
  SpaceState state = SpaceState::kOk;
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::uint64_t pending_bytes = 0;
  std::uint64_t floor_bytes = 0;
  std::uint64_t headroom_bytes = 0;  // 0 when there is none
  std::uint64_t reserve_bytes = 0;   // what is held
  std::uint64_t reserve_wanted_bytes = 0;
  std::uint64_t dirty_max_bytes = 0;  // of the kernel's page cache
};

class Space {
 public:
  Space(Io& io, std::string store, const SpaceOptions& options,
        std::function<std::uint64_t()> pending);

  // Takes over a reserve that is there; makes none.
  [[nodiscard]] Status open();
  // From now on new data is refused when there is no room. `dirty_max_bytes` is what the kernel may
  // hold; `relieve` makes a commit and returns when it has ended, or after a time-out. Once.
  void start(std::uint64_t dirty_max_bytes, std::function<void()> relieve);

  // Whether so much new data may come. kNoSpace after everything was tried that makes room.
  [[nodiscard]] Status admit(std::uint64_t bytes);
  // The same for pages that the kernel took without asking: they may have the floor, and as much of
  // the reserve as the kernel may have held when someone else filled the disk. More come only from
  // a single write(2) that is larger than all the room there was, or through a shared mapping.
  [[nodiscard]] Status admit_late(std::uint64_t bytes);
  // Little headroom: whoever can hold data back from us must ask for each write.
  [[nodiscard]] bool is_tight();

  // Gives the reserve to the disk. False when there was nothing to give.
  bool spend();
  // Takes the reserve again as far as there is room.
  void refill();
  // Looks at the disk now.
  SpaceReport refresh();
  // Called with no lock held whenever is_tight() has changed. Once, before start().
  void on_tight_change(std::function<void()> changed) { tight_changed_ = std::move(changed); }

 private:
  using Clock = std::chrono::steady_clock;

  SpaceReport look_if_stale(std::uint64_t bytes);
  void judge(SpaceReport& report) REQUIRES(mu_);
  [[nodiscard]] bool worth_relieving(const SpaceReport& report);
  [[nodiscard]] bool has_place(const SpaceReport& report, std::uint64_t bytes) const;
  [[nodiscard]] SpaceReport relieve(const SpaceReport& report);
  [[nodiscard]] std::unexpected<Error> no_space(const SpaceReport& report) const;
  [[nodiscard]] std::uint64_t reserve_for(std::uint64_t total_bytes) const;
  [[nodiscard]] Status resize_reserve(std::uint64_t size_bytes) REQUIRES(reserve_mu_);

  Io& io_;
  const std::string store_;
  const std::string reserve_path_;
  const SpaceOptions options_;
  const std::function<std::uint64_t()> pending_;
  std::function<void()> tight_changed_;
  std::function<void()> relieve_;  // set by start()

  std::atomic<bool> started_{false};
  std::atomic<bool> tight_{false};
  std::atomic<std::uint64_t> dirty_max_{0};
  std::atomic<std::uint64_t> taken_{0};  // since the last look
  std::atomic<std::uint64_t> late_{0};   // late pages placed in the reserve
  std::atomic<std::uint64_t> held_{0};   // size of the reserve

  Mutex reserve_mu_;  // before mu_
  std::unique_ptr<File> reserve_ GUARDED_BY(reserve_mu_);

  Mutex mu_;
  SpaceReport last_ GUARDED_BY(mu_);
  Clock::time_point looked_ GUARDED_BY(mu_);
  Clock::time_point relieved_ GUARDED_BY(mu_);
  std::uint64_t pending_after_relief_ GUARDED_BY(mu_) = 0;
};

// "ok", "low", "full".
[[nodiscard]] std::string_view to_text(SpaceState state);

}  // namespace amberfs
