// SPDX-License-Identifier: Apache-2.0
#include "fs/space.h"

#include "blockstore/base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(20);
// A commit that made no room will not make any a moment later.
constexpr auto kRelieveEvery = std::chrono::milliseconds(500);
constexpr std::uint64_t kSlack = 1 * kMiB;  // index pages, directory blocks, the server's log
constexpr std::uint64_t kReserveMin = 4 * kMiB;
constexpr std::uint64_t kReserveMax = 128 * kMiB;
constexpr std::uint64_t kLowMax = 1024 * kMiB;

}  // namespace

Space::Space(Io& io, std::string store, const SpaceOptions& options,
             std::function<std::uint64_t()> pending)
    : io_(io),
      store_(std::move(store)),
      reserve_path_(store_ + "/reserve"),
      options_(options),
      pending_(std::move(pending)) {}

Status Space::open() {
  TRY_ASSIGN(const bool there, io_.exists(reserve_path_));
  if (!there) return ok();
  MutexLock lock(reserve_mu_);
  TRY_ASSIGN(reserve_, io_.open(reserve_path_, OpenMode::kReadWrite));
  TRY_ASSIGN(const std::uint64_t size, reserve_->size());
  held_ = size;
  return ok();
}

void Space::start(std::uint64_t dirty_max_bytes, std::function<void()> relieve) {
  dirty_max_ = dirty_max_bytes;
  relieve_ = std::move(relieve);
  started_ = true;
  refill();
}

std::uint64_t Space::reserve_for(std::uint64_t total_bytes) const {
  if (options_.reserve_bytes != 0) return options_.reserve_bytes;
  const std::uint64_t wanted = std::clamp(total_bytes / 12, kReserveMin, kReserveMax);
  // At least every page that the kernel holds fits, once, whoever else has filled the disk.
  return std::max(wanted, dirty_max_ + options_.segment_bytes + kSlack);
}

Status Space::admit(std::uint64_t bytes) {
  if (!started_) return ok();
  SpaceReport report = look_if_stale(bytes);
  if (report.state == SpaceState::kFull) report = relieve(report);
  if (report.state != SpaceState::kFull) return ok();
  return no_space(report);
}

Status Space::admit_late(std::uint64_t bytes) {
  if (!started_) return ok();
  SpaceReport report = look_if_stale(bytes);
  if (!has_place(report, bytes)) report = relieve(report);
  if (has_place(report, bytes)) {
    late_ = 0;
    return ok();
  }
  // Someone else has filled the disk. What the kernel may have held then fits into the reserve.
  if ((late_ += bytes) <= report.dirty_max_bytes) return ok();
  late_ -= bytes;
  return no_space(report);
}

// For data, in the journal and in packs, without touching the reserve.
bool Space::has_place(const SpaceReport& report, std::uint64_t bytes) const {
  return report.available_bytes >= report.pending_bytes + bytes + options_.segment_bytes + kSlack;
}

SpaceReport Space::relieve(const SpaceReport& report) {
  if (!worth_relieving(report)) return report;
  relieve_();
  refill();
  SpaceReport after = refresh();
  MutexLock lock(mu_);
  relieved_ = Clock::now();
  pending_after_relief_ = after.pending_bytes;
  return after;
}

std::unexpected<Error> Space::no_space(const SpaceReport& report) const {
  return fail(Errc::kNoSpace, ENOSPC,
              fmt::format("take new data: the disk has {} bytes left, of which {} are needed for "
                          "what was taken already; the reserve has {} of {} bytes",
                          report.available_bytes, report.pending_bytes + report.floor_bytes,
                          report.reserve_bytes, report.reserve_wanted_bytes),
              store_);
}

bool Space::is_tight() {
  return tight_.load();
}

// Pending data may shrink when it is packed, and its journal segments come free.
bool Space::worth_relieving(const SpaceReport& report) {
  if (!relieve_) return false;
  const bool reserve_short = report.reserve_bytes < report.reserve_wanted_bytes;
  const std::uint64_t worth = std::max(options_.segment_bytes / 4, kSlack);
  if (report.pending_bytes < worth && !reserve_short) return false;
  MutexLock lock(mu_);
  return Clock::now() - relieved_ >= kRelieveEvery ||
         report.pending_bytes >= pending_after_relief_ + worth;
}

SpaceReport Space::look_if_stale(std::uint64_t bytes) {
  const std::uint64_t taken = taken_ += bytes;
  {
    MutexLock lock(mu_);
    if (Clock::now() - looked_ < kLookEvery && taken * 8 < last_.headroom_bytes) return last_;
  }
  return refresh();
}

SpaceReport Space::refresh() {
  const auto disk = io_.disk_space(store_);
  const std::uint64_t pending = pending_();
  const bool was_tight = tight_.load();
  SpaceReport report;
  {
    MutexLock lock(mu_);
    if (disk) {
      last_.total_bytes = disk->total_bytes;
      last_.available_bytes = disk->available_bytes;
    } else {
      log_warning("look at the free space: {}", disk.error().to_string());
    }
    last_.pending_bytes = pending;
    judge(last_);
    looked_ = Clock::now();
    taken_ = 0;
    report = last_;
  }
  if (tight_.load() != was_tight && tight_changed_) tight_changed_();
  return report;
}

void Space::judge(SpaceReport& report) {
  const bool was_full = report.state == SpaceState::kFull;
  report.dirty_max_bytes = dirty_max_;
  report.reserve_bytes = held_;
  report.reserve_wanted_bytes = started_ ? reserve_for(report.total_bytes) : held_.load();
  report.floor_bytes = 2 * report.dirty_max_bytes + options_.segment_bytes + kSlack;
  const std::uint64_t used = report.pending_bytes + report.floor_bytes;
  report.headroom_bytes = report.available_bytes - std::min(report.available_bytes, used);
  const bool whole = report.reserve_bytes >= report.reserve_wanted_bytes;
  // Once full, it takes some room to be called not full: programs would see it flicker.
  const std::uint64_t enough = was_full ? report.floor_bytes / 4 : 0;
  const std::uint64_t low =
      std::max(report.floor_bytes, std::min(report.total_bytes / 20, kLowMax));
  const SpaceState before = report.state;
  if (!whole || report.headroom_bytes <= enough) {
    report.state = SpaceState::kFull;
  } else {
    report.state = report.headroom_bytes < low ? SpaceState::kLow : SpaceState::kOk;
  }
  if (!started_) return;
  tight_ = report.state == SpaceState::kFull || report.headroom_bytes < 2 * report.floor_bytes;
  if (report.state == before) return;
  log_info("disk space: {} ({} bytes available, {} for new data, reserve {} of {})",
           to_text(report.state), report.available_bytes, report.headroom_bytes,
           report.reserve_bytes, report.reserve_wanted_bytes);
}

bool Space::spend() {
  MutexLock lock(reserve_mu_);
  if (held_ == 0) return false;
  if (Status spent = resize_reserve(0); !spent) {
    log_error("give the reserve to the disk: {}", spent.error().to_string());
    return false;
  }
  log_info("the reserve is given to the disk: there was no room for what had to be written");
  return true;
}

void Space::refill() {
  if (!started_) return;
  const auto disk = io_.disk_space(store_);
  if (!disk) return;  // refresh() tells
  MutexLock lock(reserve_mu_);
  const std::uint64_t wanted = reserve_for(disk->total_bytes);
  const std::uint64_t held = held_;
  if (held >= wanted) return;
  // All or nothing, and not the last block: what failed half way would take room from a commit.
  if (disk->available_bytes < wanted - held + kSlack / 4) return;
  if (Status grown = resize_reserve(wanted); !grown) {
    log_warning("take the reserve: {}", grown.error().to_string());
    if (Status back = resize_reserve(held); !back) {
      log_warning("take the reserve: {}", back.error().to_string());
    }
  }
}

// The blocks need not survive a power cut: the next mount takes them anew.
Status Space::resize_reserve(std::uint64_t size_bytes) {
  if (!reserve_) {
    TRY_ASSIGN(reserve_, io_.open(reserve_path_, OpenMode::kCreateOrOpen));
  }
  if (size_bytes > held_) {
    TRY(reserve_->allocate(0, size_bytes));
  } else {
    TRY(reserve_->truncate(size_bytes));
  }
  held_ = size_bytes;
  return ok();
}

std::string_view to_text(SpaceState state) {
  switch (state) {
    case SpaceState::kOk:
      return "ok";
    case SpaceState::kLow:
      return "low";
    case SpaceState::kFull:
      return "full";
  }
  return "";
}

}  // namespace amberfs
