// SPDX-License-Identifier: Apache-2.0
#include "fs/tampering.h"

#include "blockstore/base/clock.h"
#include "fs/config.h"
#include "fs/inode_edit.h"

#include <algorithm>

namespace amberfs {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kMergeNs = 60 * kSecondNs;
constexpr std::int64_t kHourNs = 3600 * kSecondNs;
constexpr std::uint32_t kEventsPerHour = 64;  // of one file
constexpr std::size_t kRangesMax = 4096;      // of one event
constexpr std::size_t kRememberedMax = 4096;  // files
constexpr std::size_t kNoticesMax = 10'000;
constexpr std::size_t kPathMax = 4096;

bool overlaps(const std::map<std::uint64_t, std::uint64_t>& ranges, ByteRange range) {
  auto it = ranges.upper_bound(range.begin);
  if (it != ranges.begin() && std::prev(it)->second > range.begin) return true;
  return it != ranges.end() && it->first < range.end;
}

// The parts of `range` that `ranges` do not cover.
std::vector<ByteRange> gaps(const std::map<std::uint64_t, std::uint64_t>& ranges, ByteRange range) {
  std::vector<ByteRange> found;
  std::uint64_t at = range.begin;
  auto it = ranges.upper_bound(range.begin);
  if (it != ranges.begin()) at = std::max(at, std::prev(it)->second);
  for (; it != ranges.end() && it->first < range.end; ++it) {
    if (at < it->first) found.push_back({at, it->first});
    at = it->second;
  }
  if (at < range.end) found.push_back({at, range.end});
  return found;
}

void add_range(std::map<std::uint64_t, std::uint64_t>& ranges, ByteRange range) {
  const auto next = ranges.find(range.end);
  if (next != ranges.end()) {
    range.end = next->second;
    ranges.erase(next);
  }
  const auto it = ranges.lower_bound(range.begin);
  if (it != ranges.begin() && std::prev(it)->second == range.begin) {
    std::prev(it)->second = range.end;
  } else {
    ranges[range.begin] = range.end;
  }
}

Bytes clip(Bytes path) {
  if (path.size() > kPathMax) path.erase(0, path.size() - kPathMax);
  return path;
}

bool holds_data(const InodeRecord& record) {
  return is_regular(record.mode) && record.size_bytes > 0;
}

}  // namespace

std::vector<std::string> default_ignore_globs() {
  return {"*.journal", "*.journal~", "lastlog", "faillog", "tallylog",  "utmp",   "*.db",
          "*.db-*",    "*.sqlite*",  "*-wal",   "*-shm",   "*-journal", "*.lock", "*.lck",
          "*.pid",     "*.swp",      "*.swo",   "*.swx",   "*.tmp",     ".#*"};
}

Tampering::Tampering(LiveMap& live, const DataReader& data, AuditOptions options)
    : live_(live), data_(data), options_(std::move(options)) {}

void Tampering::set_writers(Writers writers) {
  MutexLock lock(writers_mu_);
  writers_ = std::move(writers);
}

// ---- what is looked at

bool Tampering::is_watched(ByteView path) const {
  return matches_any(options_.watch, path) && !matches_any(options_.ignore, path);
}

// Of an inode without a name that is evidence: the path it had. "" of any other without a name.
Bytes Tampering::path_of(const View& view, Ino ino) const {
  const auto path = view.path_of(ino);
  if (!path) return "inode " + std::to_string(ino);
  if (*path) return **path;
  const auto value = view.get(evidence_key(ino));
  if (!value || !*value) return {};
  const auto evidence = decode_evidence(**value);
  return evidence ? evidence->path : "inode " + std::to_string(ino);
}

bool Tampering::watches(const View& view, Ino ino) {
  {
    MutexLock lock(mu_);
    const auto known = watched_.find(ino);
    if (known != watched_.end()) return known->second;
  }
  const Bytes path = path_of(view, ino);
  const bool watched = !path.empty() && is_watched(path);
  MutexLock lock(mu_);
  if (watched_.size() >= kRememberedMax) watched_.clear();
  watched_[ino] = watched;
  return watched;
}

void Tampering::names_changed() {
  MutexLock lock(mu_);
  watched_.clear();
}

void Tampering::renamed(ByteView source, Ino directory, ByteView target) {
  names_changed();
  const auto generation = parse_generation(target);
  if (generation && generation->stem == source) pace_.rotated(directory, source);
}

// ---- what is kept

Evidence Tampering::describe(const Mutation& mutation, const Removal& removal) {
  const Origin& who = mutation.origin();
  Evidence evidence;
  evidence.kind = removal.kind;
  evidence.file = removal.ino;
  evidence.begin = removal.range.begin;
  evidence.end = removal.range.end;
  evidence.first_ns = evidence.last_ns = now_ns();
  evidence.path = clip(removal.path);
  evidence.other = clip(removal.other);
  evidence.uid = who.uid;
  evidence.gid = who.gid;
  evidence.pid = who.pid;
  evidence.command = who.command;
  if (who.pid != 0) return evidence;
  // Late pages of the kernel belong to whoever has the file open and can overwrite.
  std::vector<Writer> writers;
  {
    MutexLock lock(writers_mu_);
    if (writers_) writers = writers_(removal.ino);
  }
  const bool all_append = std::ranges::all_of(writers, &Writer::appends);
  if (!all_append) std::erase_if(writers, &Writer::appends);
  if (writers.empty()) return evidence;
  const Origin& newest = writers.back().who;
  evidence.uid = newest.uid;
  evidence.gid = newest.gid;
  evidence.pid = newest.pid;
  evidence.command = newest.command;
  evidence.one_of = std::ranges::any_of(
      writers, [&](const Writer& writer) { return writer.who.pid != newest.pid; });
  return evidence;
}

// A new event, or the one of this file that the removal belongs to.
Kept Tampering::begin_or_join(Evidence evidence, ByteRange range) {
  Kept kept;
  kept.ranges = {range};
  MutexLock lock(mu_);
  const auto it = events_.find(evidence.file);
  if (it != events_.end()) {
    const Event& event = it->second;
    const Evidence& before = event.evidence;
    const std::int64_t age = evidence.last_ns - before.first_ns;
    const bool same = before.kind == evidence.kind && before.uid == evidence.uid &&
                      before.pid == evidence.pid && before.path == evidence.path;
    const bool joins =
        age < kMergeNs && event.ranges.size() < kRangesMax && !overlaps(event.ranges, range);
    const bool flood = age < kHourNs && event.of_file >= kEventsPerHour;
    if (same && (joins || flood)) {
      kept.is_new = false;
      kept.number = event.number;
      kept.ranges = gaps(event.ranges, range);
      const std::int64_t now = evidence.last_ns;
      evidence = before;
      evidence.last_ns = now;
      evidence.begin = std::min(evidence.begin, range.begin);
      evidence.end = std::max(evidence.end, range.end);
      if (evidence.count < UINT32_MAX) ++evidence.count;
      evidence.missed_bytes += range.end - range.begin;
      for (const ByteRange& gap : kept.ranges) evidence.missed_bytes -= gap.end - gap.begin;
    }
  }
  kept.evidence = std::move(evidence);
  return kept;
}

// The extents of the removed range become those of the evidence as well: no byte is moved.
Result<std::optional<Kept>> Tampering::share(Mutation& mutation, const Removal& removal) {
  Kept kept = begin_or_join(describe(mutation, removal), removal.range);
  kept.stop = removal.range.end;
  std::vector<FileExtent> pieces;
  for (const ByteRange& range : kept.ranges) {
    if (pieces.size() == options_.pieces_max) break;
    TRY(mutation.view().extents(removal.ino, range.begin, range.end, [&](const FileExtent& extent) {
      const std::uint64_t from = std::max(extent.begin, range.begin);
      const std::uint64_t to = std::min(extent.end, range.end);
      if (from < to) pieces.push_back({from, to, slice(extent, from, to)});
      return pieces.size() < options_.pieces_max;
    }));
  }
  kept.complete = pieces.size() < options_.pieces_max;
  if (!kept.complete) kept.stop = pieces.back().end;
  if (pieces.empty() && kept.is_new) return std::nullopt;  // a hole: no bytes
  if (kept.is_new) kept.number = live_.allocate_ino();
  Batch& batch = mutation.batch();
  for (const FileExtent& piece : pieces) {
    batch.put(extent_key(kept.number, piece.end), encode(piece.extent));
    kept.evidence.kept_bytes += piece.end - piece.begin;
  }
  kept.evidence.end = std::max(kept.is_new ? 0 : kept.evidence.end, kept.stop);
  InodeRecord inode = removal.record;
  inode.nlink = 0;
  inode.size_bytes = kept.evidence.end;
  put_inode(batch, kept.number, inode);
  batch.put(evidence_key(kept.number), encode(kept.evidence));
  return kept;
}

Result<std::optional<Kept>> Tampering::before_write(Mutation& mutation, Ino ino,
                                                    const InodeRecord& record, std::uint64_t offset,
                                                    ByteView data) {
  if (!looks_at(mutation.origin())) return std::nullopt;
  if (tails_.goes_on(ino, record.size_bytes, offset, data, live_.data_changes())) {
    return std::nullopt;
  }
  if (!watches(mutation.view(), ino)) return std::nullopt;
  const std::uint64_t end = std::min(record.size_bytes, offset + data.size());
  TRY_ASSIGN(const auto changed,
             find_changed(mutation.view(), data_, ino, offset, data.substr(0, end - offset)));
  if (!changed) return std::nullopt;
  return share(
      mutation,
      {RemovalKind::kOverwritten, ino, record, *changed, path_of(mutation.view(), ino), {}});
}

Result<std::optional<Kept>> Tampering::before_removal(Mutation& mutation, RemovalKind kind, Ino ino,
                                                      const InodeRecord& record, ByteRange range) {
  range.end = std::min(range.end, record.size_bytes);
  if (range.begin >= range.end || !looks_at(mutation.origin())) return std::nullopt;
  if (!watches(mutation.view(), ino)) return std::nullopt;
  return share(mutation, {kind, ino, record, range, path_of(mutation.view(), ino), {}});
}

Result<bool> Tampering::is_rotation(const View& view, const Loss& loss) {
  if (loss.kind == RemovalKind::kReplaced) {
    if (loss.moved.empty()) return false;
    return is_shift(view, loss.directory, loss.moved, loss.name);
  }
  const auto generation = parse_generation(loss.name);
  if (!generation) return false;
  if (!pace_.may_look(loss.directory, generation->stem, now_ns())) return false;
  TRY_ASSIGN(const OldestGeneration found, find_oldest(view, loss.directory, *generation));
  return found.is_oldest && pace_.removed(loss.directory, generation->stem, found.younger);
}

Result<std::optional<Kept>> Tampering::before_loss(Mutation& mutation, const Loss& loss, Ino ino,
                                                   const InodeRecord& record) {
  const View& view = mutation.view();
  if (!looks_at(mutation.origin()) || !holds_data(record)) return std::nullopt;
  if (loss.goes_on || !watches(view, ino)) return std::nullopt;
  TRY_ASSIGN(const bool rotation, is_rotation(view, loss));
  if (rotation) return std::nullopt;
  Kept kept;
  kept.number = ino;
  kept.evidence = describe(
      mutation,
      {loss.kind, ino, record, {0, record.size_bytes}, path_of(view, ino), Bytes(loss.moved)});
  kept.evidence.kept_bytes = record.size_bytes;
  if (loss.kind == RemovalKind::kDeleted) {
    // Compressed by the look of it: what is beside it is not unpacked here, so the bytes stay.
    TRY_ASSIGN(kept.evidence.rotation, has_packed_form(view, loss.directory, loss.name, record));
  }
  mutation.batch().put(evidence_key(ino), encode(kept.evidence));
  return kept;
}

Result<std::optional<Kept>> Tampering::before_rename(Mutation& mutation, Ino ino,
                                                     std::pair<Ino, ByteView> source,
                                                     std::pair<Ino, ByteView> target) {
  const View& view = mutation.view();
  if (!looks_at(mutation.origin()) || !watches(view, ino)) return std::nullopt;
  const auto path_in = [&](const std::pair<Ino, ByteView>& name) -> Bytes {
    const auto directory = view.path_of(name.first);
    if (!directory || !*directory) return Bytes(name.second);
    return (*directory)->empty() ? Bytes(name.second) : **directory + "/" + Bytes(name.second);
  };
  const Bytes new_path = path_in(target);
  if (is_watched(new_path)) return std::nullopt;
  TRY_ASSIGN(const InodeRecord record, view.inode(ino));
  if (!holds_data(record)) return std::nullopt;
  return share(
      mutation,
      {RemovalKind::kHidden, ino, record, {0, record.size_bytes}, path_in(source), new_path});
}

std::uint64_t Tampering::copied_bytes(const Origin& who, Ino ino) {
  if (!looks_at(who)) return 0;
  const auto view = [this] { return live_.view(); };
  const auto now = view();
  const auto record = now->find_inode(ino);
  if (!record || !*record || !holds_data(**record) || !watches(*now, ino)) return 0;
  const auto names = now->parents(ino);
  if (!names) return 0;
  for (const View::Parent& name : *names) {
    const auto copies = plain_generations(*now, name.ino, name.name, (*record)->size_bytes);
    if (!copies) continue;
    for (const Ino copy : *copies) {
      const auto same = same_beginning(view, data_, ino, copy, (*record)->size_bytes);
      if (copy == ino || !same || !*same) continue;
      pace_.rotated(name.ino, name.name);
      return (*record)->size_bytes;
    }
  }
  return 0;
}

bool Tampering::goes_on(const Origin& who, Ino moved, Ino victim) {
  if (!looks_at(who)) return false;
  const auto view = [this] { return live_.view(); };
  const auto now = view();
  const auto old = now->find_inode(victim);
  const auto fresh = now->find_inode(moved);
  if (!old || !fresh || !*old || !*fresh || !holds_data(**old) || !holds_data(**fresh))
    return false;
  if ((*fresh)->size_bytes < (*old)->size_bytes || !watches(*now, victim)) return false;
  const auto same = same_beginning(view, data_, moved, victim, (*old)->size_bytes);
  return same && *same;
}

// ---- what is remembered

void Tampering::forget_old_events(std::int64_t now_ns) {
  std::erase_if(events_, [&](const auto& event) {
    return now_ns - event.second.evidence.first_ns > kHourNs;
  });
  if (events_.size() >= kRememberedMax) events_.erase(events_.begin());
}

void Tampering::done(Kept kept) {
  MutexLock lock(mu_);
  const Evidence& evidence = kept.evidence;
  // Only what goes on may be among them already: thousands may be, while a tree is removed.
  const auto told =
      kept.is_new ? notices_.end() : std::ranges::find(notices_, kept.number, &Notice::number);
  if (told != notices_.end()) {
    told->evidence = evidence;
  } else if (notices_.size() < kNoticesMax) {
    notices_.push_back({kept.number, evidence});
  } else {
    ++left_out_;
  }
  if (kept.number == evidence.file) return;  // nothing can be added to it
  if (events_.size() >= kRememberedMax) forget_old_events(evidence.last_ns);
  Event& event = events_[evidence.file];
  if (kept.is_new) {
    const bool this_hour = evidence.first_ns - event.hour_ns < kHourNs;
    const std::uint32_t count = this_hour ? event.of_file + 1 : 1;
    event = Event{.number = kept.number,
                  .evidence = {},
                  .ranges = {},
                  .of_file = count,
                  .hour_ns = this_hour ? event.hour_ns : evidence.first_ns};
  }
  event.evidence = evidence;
  for (ByteRange range : kept.ranges) {
    range.end = std::min(range.end, kept.stop);
    if (range.begin < range.end) add_range(event.ranges, range);
  }
}

std::vector<Notice> Tampering::take_notices() {
  MutexLock lock(mu_);
  std::vector<Notice> taken(std::make_move_iterator(notices_.begin()),
                            std::make_move_iterator(notices_.end()));
  notices_.clear();
  return taken;
}

std::uint64_t Tampering::take_left_out() {
  MutexLock lock(mu_);
  return std::exchange(left_out_, 0);
}

void Tampering::close_event(Ino file) {
  MutexLock lock(mu_);
  events_.erase(file);
}

bool Tampering::is_open(Ino number) {
  MutexLock lock(mu_);
  return std::ranges::any_of(events_, [&](const auto& event) {
    return event.second.number == number && now_ns() - event.second.evidence.first_ns < kHourNs;
  });
}

}  // namespace amberfs
