// SPDX-License-Identifier: Apache-2.0
// What an engine does unasked: commits, scheduled snapshots and collections, the journal's timer,
// and what keeps room on the disk.
#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "fs/audit_notes.h"
#include "fs/engine.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace amberfs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(250);
constexpr auto kRetryAfterFailure = std::chrono::seconds(5);
// Not in the rush of a start; but also where no server lives as long as the schedule asks for.
constexpr auto kFirstCollectMax = std::chrono::hours(1);
constexpr std::chrono::seconds kFirstScrubMax = std::chrono::hours(1);
constexpr std::chrono::seconds kScrubGoesOnAfter{30};
constexpr auto kProtectEvery = std::chrono::seconds(1);
// Who waits for room has a program waiting behind it.
constexpr auto kReliefMax = std::chrono::seconds(10);
// What one entry of the overlay costs in tree nodes, as a multiple of its size in memory: a guess
// on the high side.
constexpr std::uint64_t kNodeCost = 2;
// Packed data of the journal, cut in another way, may become a little larger: by this share of it.
constexpr std::uint64_t kPackedShare = 4;
// A journal that grew by so much more than what a commit is for must not grow on.
constexpr std::uint64_t kUrgentShare = 4;

// Compressing what is in the journal already must not slow down who writes to it now. Without the
// right to raise it again, a thread keeps its priority.
class BackgroundPriority {
 public:
  BackgroundPriority() : may_raise_(is_allowed_to_raise()) { set_urgent(false); }
  void set_urgent(bool urgent) {
    if (!may_raise_ || urgent == urgent_) return;
    urgent_ = urgent;
    constexpr int kNiceInBackground = 10;
    if (::setpriority(PRIO_PROCESS, kThisThread, urgent ? 0 : kNiceInBackground) != 0) {
      log_line(LogLevel::kDebug, fmt::format("priority of commits: {}", std::strerror(errno)));
    }
  }

 private:
  static constexpr id_t kThisThread = 0;
  static bool is_allowed_to_raise() {
    return ::setpriority(PRIO_PROCESS, kThisThread, 1) == 0 &&
           ::setpriority(PRIO_PROCESS, kThisThread, 0) == 0;
  }
  const bool may_raise_;
  bool urgent_ = true;
};

}  // namespace

void Engine::start_background() {
  MutexLock lock(background_mu_);  // requests may look already whether it runs
  background_ = std::thread([this] { background_loop(); });
  journal_sync_ = std::thread([this] { journal_sync_loop(); });
  if (config_.gc_every_s > 0) collector_ = std::thread([this] { collect_loop(); });
  scrubber_ = std::thread([this] { scrub_loop(); });
}

void Engine::guard_space(std::uint64_t dirty_max_bytes) {
  space_->start(dirty_max_bytes, [this] { wait_for_commit(); });
}

// An upper bound of what the next commit writes: the journal behind the head as it is there, and
// tree nodes.
std::uint64_t Engine::pending_bytes() {
  if (!journal_ || !live_) return 0;
  const JournalPosition from = head().journal;
  const JournalPosition tail = journal_->tail();
  if (tail.next_seq <= from.next_seq) return 0;
  std::uint64_t journal = tail.offset - std::min(tail.offset, from.offset);
  if (tail.segment != from.segment) {
    const std::uint64_t unused = config_.journal.segment_size_bytes -
                                 std::min(config_.journal.segment_size_bytes, tail.offset);
    const std::uint64_t all = journal_->size_bytes();
    journal = all - std::min(all, unused + from.offset);
  }
  return journal + journal / kPackedShare + kNodeCost * live_->overlay_bytes();
}

bool Engine::space_wants_commit() {
  space_->refill();
  const SpaceReport report = space_->refresh();
  const std::uint64_t worth = std::max(1 * kMiB, config_.journal.segment_size_bytes / 2);
  return space_->is_tight() && report.pending_bytes >= worth;
}

// Has the background thread commit, and waits for it: in a thread that serves a request, so never
// for a snapshot, which itself waits until requests are answered.
void Engine::wait_for_commit() {
  const auto deadline = Clock::now() + kReliefMax;
  MutexLock lock(background_mu_);
  if (!background_.joinable() || busy_ == Busy::kSnapshot) return;
  // A commit that runs already may have begun before the newest change.
  const std::uint64_t wanted = rounds_ + (busy_ == Busy::kCommit ? 2 : 1);
  while (rounds_ < wanted && !stopping_ && busy_ != Busy::kSnapshot && Clock::now() < deadline) {
    if (busy_ == Busy::kNo) commit_wanted_ = true;
    background_wake_.notify_all();
    commit_ended_.wait_for(background_mu_, std::chrono::milliseconds(100));
  }
}

// Who changes more than memory has room for waits for a commit; not again and again when commits
// fail.
void Engine::hold_back() {
  const std::uint64_t max = overlay_max_bytes(config_);
  if (live_->overlay_bytes() < max) return;
  const auto now = [] { return Clock::now().time_since_epoch().count(); };
  if (now() < hold_back_after_ns_.load()) return;
  wait_for_commit();
  constexpr std::chrono::nanoseconds kPause = std::chrono::seconds(1);
  if (live_->overlay_bytes() >= max) hold_back_after_ns_ = now() + kPause.count();
}

bool Engine::wait_for_work(bool& commit_wanted) {
  MutexLock lock(background_mu_);
  if (!stopping_ && !commit_wanted_) background_wake_.wait_for(background_mu_, kPollInterval);
  commit_wanted = std::exchange(commit_wanted_, false);
  return !stopping_;
}

void Engine::set_busy(Busy busy) {
  MutexLock lock(background_mu_);
  if (busy == Busy::kNo) ++rounds_;
  busy_ = busy;
  commit_ended_.notify_all();
}

// One thread commits and takes the scheduled snapshots. It looks every kPollInterval whether there
// is something to do, so that writers need not wake it.
void Engine::background_loop() {
  auto last_commit = Clock::now();
  auto last_snapshot = Clock::now();
  std::uint64_t committed_bytes = journal_->appended_bytes();
  auto not_before = Clock::now();
  bool commit_wanted = false;
  BackgroundPriority priority;
  while (wait_for_work(commit_wanted)) {
    const auto now = Clock::now();
    const bool room_wanted = space_wants_commit();
    if (now < not_before && !commit_wanted) continue;
    const std::uint64_t appended = journal_->appended_bytes();
    const bool snapshot_due = !commit_wanted && config_.snapshot_every_s > 0 &&
                              now - last_snapshot >= std::chrono::seconds(config_.snapshot_every_s);
    const bool commit_due = commit_wanted || room_wanted ||
                            live_->overlay_bytes() >= overlay_max_bytes(config_) / 2 ||
                            appended - committed_bytes >= config_.commit_journal_bytes ||
                            (config_.commit_every_s > 0 && live_->dirty() &&
                             now - last_commit >= std::chrono::seconds(config_.commit_every_s));
    if (!snapshot_due && !commit_due) continue;
    Status done = ok();
    priority.set_urgent(commit_wanted || room_wanted ||
                        appended - committed_bytes >= kUrgentShare * config_.commit_journal_bytes);
    set_busy(snapshot_due ? Busy::kSnapshot : Busy::kCommit);
    if (snapshot_due) {
      last_snapshot = now;
      SnapshotRequest request{
          .name = {}, .reason = {}, .kind = "scheduled", .skip_if_unchanged = true};
      if (auto taken = snapshot(request); !taken) done = fail(std::move(taken).error());
    } else {
      done = commit();
    }
    set_busy(Busy::kNo);
    note_result(snapshot_due ? "take the scheduled snapshot" : "commit", done);
    if (!done) not_before = Clock::now() + kRetryAfterFailure;
    last_commit = Clock::now();
    committed_bytes = appended;
  }
}

// False when the engine stops before.
bool Engine::wait_until(Clock::time_point when) {
  MutexLock lock(background_mu_);
  while (!stopping_ && Clock::now() < when) {
    background_wake_.wait_for(background_mu_, when - Clock::now());
  }
  return !stopping_;
}

// In a thread of its own, as it may take long; commits and snapshots go on.
void Engine::collect_loop() {
  const BackgroundPriority priority;
  const auto every = std::chrono::seconds(config_.gc_every_s);
  CollectOptions options;
  options.compact.zstd_level = config_.gc_zstd_level;
  for (auto next = Clock::now() + std::min<Clock::duration>(every, kFirstCollectMax);
       wait_until(next); next = Clock::now() + every) {
    const auto report = collect(options);
    if (!report) {
      log_error("scheduled gc: {}", report.error().to_string());
      continue;
    }
    log_info("scheduled gc: packs from {} to {} bytes, {} blocks dropped, {} damaged",
             report->bytes_before, report->bytes_after, report->blocks_dropped,
             report->damage.size());
  }
}

// Schedules are kept across restarts: a pass that was cut off goes on, the next one is due when the
// time since the last one began has passed.
std::chrono::seconds Engine::until_next_scrub() {
  const std::chrono::seconds every(config_.scrub_every_s);
  const BlockStore::ScrubPasses passes = blocks_->scrub_passes();
  if (passes.current.begin_ns != 0) return std::min(every, kScrubGoesOnAfter);
  const std::chrono::seconds first = std::min(every, kFirstScrubMax);
  if (passes.last.begin_ns == 0) return first;
  const std::chrono::seconds since((now_ns() - passes.last.begin_ns) / 1'000'000'000);
  return std::clamp(every - since, first, every);
}

Result<ScrubReport> Engine::scrub(ScrubOptions options) {
  options.keep_going = [this, asked = options.keep_going] {
    return !collecting_stopped_ && (!asked || asked());
  };
  return blocks_->scrub(options);
}

// What was sealed gets its parity within seconds, and a pack in which a read met damage is healed;
// now and then everything is looked at.
void Engine::scrub_loop() {
  const BackgroundPriority priority;
  const auto keep_going = [this] { return !collecting_stopped_; };
  auto next = Clock::now() + until_next_scrub();
  std::string told;
  while (wait_until(Clock::now() + kProtectEvery)) {
    // Parity must not take the room that a commit will need.
    if (space_->is_tight()) continue;
    const Status done = blocks_->protect(keep_going);
    // Tried each second, told once.
    const std::string failure = done ? std::string() : done.error().to_string();
    if (!failure.empty() && failure != told) log_error("protect packs: {}", failure);
    told = failure;
    if (config_.scrub_every_s == 0 || Clock::now() < next) continue;
    const auto report = scrub({.rate_bytes_per_s = config_.scrub_rate, .is_scheduled = true});
    if (!report) {
      log_error("scheduled scrub: {}", report.error().to_string());
      next = Clock::now() + kFirstScrubMax;
      continue;
    }
    if (report->stopped) continue;
    log_info(
        "scheduled scrub: {} bytes looked at, {} places repaired, {} damaged and not to be "
        "repaired, parity written for {} packs",
        report->pass.bytes, report->pass.repaired, report->pass.lost, report->parity_written);
    note_scrub(*audit_, *report);
    next = Clock::now() + until_next_scrub();
  }
}

// Bounds what a loss of power can take from programs that never fsync.
void Engine::journal_sync_loop() {
  while (true) {
    {
      MutexLock lock(background_mu_);
      if (!stopping_) {
        background_wake_.wait_for(background_mu_,
                                  std::chrono::milliseconds(config_.journal_sync_ms));
      }
      if (stopping_) return;
    }
    if (live_->last_seq() > journal_->durable_seq()) {
      if (auto synced = live_->sync(); !synced) note_result("sync the journal", synced);
    }
    audit_->tick(true);
  }
}

}  // namespace amberfs
