// SPDX-License-Identifier: Apache-2.0
#include "fs/segment_pool.h"

#include "blockstore/base/log.h"
#include "fs/journal_salvage.h"

#include <algorithm>

namespace amberfs {

SegmentPool::SegmentPool(Io& io, std::string directory, const JournalOptions& options)
    : io_(io), directory_(std::move(directory)), options_(options) {}

SegmentPool::~SegmentPool() {
  stop();
}

std::string SegmentPool::path_of(std::uint64_t number) const {
  return directory_ + "/" + segment_file_name(number);
}

Status SegmentPool::load(std::uint64_t lowest_needed) {
  TRY_ASSIGN(const std::vector<DirEntry> entries, io_.list(directory_));
  MutexLock prepare_lock(prepare_mu_);
  MutexLock lock(mu_);
  for (const DirEntry& entry : entries) {
    const auto number = parse_segment_file_name(entry.name);
    if (!number) continue;
    TRY_ASSIGN(SegmentPtr segment, open_segment(io_, path_of(*number), *number));
    if (*number < lowest_needed && !segment->header_valid) {
      retire(*segment);
    } else {
      segments_.emplace(*number, std::move(segment));
      taken_ = std::max(taken_, *number);
    }
  }
  return ok();
}

SegmentPtr SegmentPool::find(std::uint64_t number) {
  MutexLock lock(mu_);
  auto it = segments_.find(number);
  return it == segments_.end() ? nullptr : it->second;
}

std::vector<SegmentPtr> SegmentPool::from(std::uint64_t number) {
  MutexLock lock(mu_);
  std::vector<SegmentPtr> found;
  for (auto it = segments_.lower_bound(number); it != segments_.end(); ++it) {
    found.push_back(it->second);
  }
  return found;
}

Status SegmentPool::take_out_behind(std::uint64_t number, const RemoveSegment& remove) {
  MutexLock prepare_lock(prepare_mu_);
  MutexLock lock(mu_);
  while (!segments_.empty() && segments_.rbegin()->first > number) {
    const std::uint64_t last = segments_.rbegin()->first;
    TRY(remove(path_of(last), last));
    TRY(io_.sync_directory(directory_));
    segments_.erase(last);
  }
  taken_ = segments_.empty() ? 0 : segments_.rbegin()->first;
  return ok();
}

Status SegmentPool::drop_behind(std::uint64_t number) {
  return take_out_behind(
      number, [this](const std::string& path, std::uint64_t) { return io_.unlink(path); });
}

Result<bool> SegmentPool::set_aside_behind(const JournalPosition& end, bool has_segment,
                                           const std::string& target) {
  const std::uint64_t last_kept = has_segment ? end.segment : end.segment - 1;
  SegmentPtr cut = has_segment ? find(end.segment) : nullptr;
  if (cut) {
    TRY_ASSIGN(const std::uint64_t used, used_size(*cut));
    if (used <= end.offset) cut = nullptr;
  }
  if (!cut && from(last_kept + 1).empty()) return false;
  TRY(io_.make_directory(target));
  TRY(io_.sync_directory(directory_));
  // The copy is durable before anything is moved: who is cut short here does it all again.
  if (cut) TRY(copy_segment(io_, *cut, target + "/" + segment_file_name(cut->number)));
  const auto move = [&](const std::string& path, std::uint64_t number) -> Status {
    TRY(io_.rename(path, target + "/" + segment_file_name(number)));
    return io_.sync_directory(target);
  };
  TRY(take_out_behind(last_kept, move));
  TRY(io_.sync_directory(target));
  return true;
}

Result<SegmentPtr> SegmentPool::take(std::uint64_t number, std::uint64_t record_size) {
  MutexLock prepare_lock(prepare_mu_);
  const std::uint64_t size_min = SegmentHeader::kRecordsOffset + record_size;
  SegmentPtr segment = std::exchange(ahead_, nullptr);
  if (!segment || segment->number != number || segment->size_bytes < size_min) {
    TRY_ASSIGN(segment, prepare_or_make_room(number, size_min));
  }
  taken_ = number;
  MutexLock lock(mu_);
  segments_.emplace(number, segment);
  return segment;
}

Result<SegmentPtr> SegmentPool::rewrite(const SegmentPtr& bad, std::uint64_t end) {
  MutexLock prepare_lock(prepare_mu_);
  Result<SegmentPtr> fresh = rewrite_segment(io_, directory_, bad, end);
  const bool no_space = !fresh && fresh.error().code == Errc::kNoSpace;
  if (no_space && options_.make_room && options_.make_room()) {
    fresh = rewrite_segment(io_, directory_, bad, end);
  }
  if (!fresh) return fresh;
  MutexLock lock(mu_);
  segments_[bad->number] = *fresh;
  return fresh;
}

Result<SegmentPtr> SegmentPool::prepare_or_make_room(std::uint64_t number, std::uint64_t size_min) {
  const std::uint64_t size = std::max(options_.segment_size_bytes, size_min);
  Result<SegmentPtr> segment = prepare(number, size);
  const bool no_space = !segment && segment.error().code == Errc::kNoSpace;
  if (!no_space || !options_.make_room || !options_.make_room()) return segment;
  return prepare(number, size);
}

Result<SegmentPtr> SegmentPool::prepare(std::uint64_t number, std::uint64_t size_bytes) {
  const bool sealed = options_.packing.cipher != nullptr;
  if (size_bytes == options_.segment_size_bytes) {
    if (auto spare = pop_spare()) return recycle_segment(io_, directory_, number, *spare, sealed);
  }
  return create_segment(io_, directory_, number, size_bytes, sealed);
}

std::optional<std::string> SegmentPool::pop_spare() {
  MutexLock lock(mu_);
  if (spares_.empty()) return std::nullopt;
  std::string path = std::move(spares_.back());
  spares_.pop_back();
  return path;
}

void SegmentPool::prepare_ahead(std::uint64_t number) {
  if (!options_.prepare_ahead) return;
  MutexLock lock(mu_);
  if (stopping_) return;
  wanted_ = number;
  if (!thread_.joinable()) thread_ = std::thread([this] { prepare_loop(); });
  wake_.notify_one();
}

void SegmentPool::prepare_loop() {
  while (true) {
    std::uint64_t number = 0;
    {
      MutexLock lock(mu_);
      while (wanted_ == 0 && !stopping_) wake_.wait(mu_);
      if (stopping_) return;
      number = std::exchange(wanted_, 0);
    }
    prepare_wanted(number);
  }
}

void SegmentPool::prepare_wanted(std::uint64_t number) {
  MutexLock prepare_lock(prepare_mu_);
  if (number <= taken_ || ahead_) return;  // an append was faster
  auto segment = prepare(number, options_.segment_size_bytes);
  if (segment) {
    ahead_ = *std::move(segment);
  } else {
    log_warning("journal: the next segment is not prepared yet: {}", segment.error().to_string());
  }
}

Status SegmentPool::release_before(std::uint64_t number) {
  std::vector<std::string> unlinks;
  {
    MutexLock lock(mu_);
    while (!segments_.empty() && segments_.begin()->first < number) {
      retire(*segments_.begin()->second);
      segments_.erase(segments_.begin());
    }
    unlinks.swap(to_unlink_);
  }
  // A name that a crash brings back is that of a whole segment below the head's: harmless.
  for (const std::string& path : unlinks) TRY(io_.unlink(path));
  return ok();
}

void SegmentPool::retire(const Segment& segment) {
  const bool keep = segment.size_bytes == options_.segment_size_bytes &&
                    spares_.size() < options_.spare_segments_max;
  (keep ? spares_ : to_unlink_).push_back(path_of(segment.number));
}

std::uint64_t SegmentPool::size_bytes() {
  MutexLock lock(mu_);
  std::uint64_t sum = 0;
  for (const auto& [number, segment] : segments_) sum += segment->size_bytes;
  return sum;
}

void SegmentPool::stop() {
  std::thread thread;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.notify_all();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace amberfs
