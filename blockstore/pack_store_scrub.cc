// SPDX-License-Identifier: Apache-2.0
// Scrubbing: every pack is looked at, healed from its parity where it is damaged, and given parity
// where it has none; which blocks cannot be read is noted, so that put() stores them again when
// they come again, and all that refer to them are whole again.
//
// One pack after the other, in order of id, so that a pass that was stopped goes on whatever was
// made or removed meanwhile. A pack that a collection removes while it is looked at is forgotten.
#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "blockstore/pack_heal.h"
#include "blockstore/pack_store.h"
#include "blockstore/parity_writer.h"
#include "blockstore/verify.h"

#include <algorithm>
#include <cerrno>
#include <set>

namespace amberfs {
namespace {

constexpr std::size_t kEntriesAtOnce = 4096;
constexpr auto kNoteVerifyEvery = std::chrono::seconds(10);
constexpr std::uint64_t kStateSizeMax = 256 * kMiB;

bool touches(const BlockLocation& at, const std::vector<FrameGap>& gaps) {
  const std::uint64_t end = at.offset + kFrameHeaderSize + at.stored_size;
  return std::ranges::any_of(
      gaps, [&](const FrameGap& gap) { return at.offset < gap.end && end > gap.begin; });
}

}  // namespace

class PackStore::Scrub {
 public:
  Scrub(PackStore& store, const ScrubOptions& options)
      : store_(store), options_(options), pace_(options.rate_bytes_per_s, [this] {
          return !store_.closing_ && (!options_.keep_going || options_.keep_going());
        }) {}

  // All packs.
  Result<ScrubReport> run();
  // One. When it was stopped, stopped_at_ says where to go on.
  Status heal(const PackRow& row, std::uint64_t begin);
  [[nodiscard]] const ScrubReport& report() const { return report_; }

 private:
  Result<HealReport> heal_sealed(const PackToLookAt& pack, File& file, PackLook look);
  Status note(const PackRow& row, const HealReport& healed);
  void tell(const std::string& path, const HealReport& healed);
  Status mark_lost(const PackRow& row, const std::vector<FrameGap>& lost);
  Status unmark_healed(const PackRow& row, const std::vector<FrameGap>& lost);
  PackPlace begin_pass();
  Status note_place(const PackPlace& place);
  Status end_pass();

  PackStore& store_;
  const ScrubOptions& options_;
  Pace pace_;
  ScrubReport report_;
  std::uint64_t stopped_at_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

Result<ScrubReport> PackStore::Scrub::run() {
  TRY_ASSIGN(std::vector<PackRow> rows, store_.index_->packs());
  std::erase_if(rows, [](const PackRow& row) { return row.gone; });
  std::ranges::sort(rows, {}, &PackRow::id);
  for (const PackRow& row : rows) total_ += row.length;
  {
    WriteLock lock(store_.mu_);
    store_.parity_failed_.clear();
  }
  const PackPlace place = begin_pass();
  for (const PackRow& row : rows) {
    if (row.id < place.pack) {
      done_ += row.length;
      continue;
    }
    const std::uint64_t begin = row.id == place.pack ? place.offset : 0;
    TRY(note_place({row.id, begin}));
    TRY(heal(row, begin));
    if (report_.stopped) {
      TRY(note_place({row.id, stopped_at_}));
      return std::move(report_);
    }
    done_ += row.length;
    report_.pass.bytes += row.length - begin;
    if (options_.progress) options_.progress(done_, total_);
    // What was sealed meanwhile does not wait for the end of a pass, which may take days.
    if (options_.is_scheduled) TRY(store_.protect([this] { return pace_.goes_on(); }));
  }
  TRY(end_pass());
  return std::move(report_);
}

Status PackStore::Scrub::heal(const PackRow& row, std::uint64_t begin) {
  MutexLock heal_lock(store_.heal_mu_);
  const std::string path = store_.packs_directory_ + "/" + pack_file_name(row.id);
  const PackToLookAt pack{.id = row.id, .length = row.length, .sealed = row.sealed, .begin = begin};
  const auto file = store_.io_.open(path, OpenMode::kRead);
  HealReport healed;
  if (!file) {
    const bool gone = file.error().sys_errno == ENOENT;
    healed.lost.push_back({0, row.length, gone ? "the pack is gone" : file.error().to_string()});
    return note(row, healed);
  }
  TRY_ASSIGN(PackLook look, look_at_pack(**file, pack, pace_, [&](std::uint64_t offset) {
               if (options_.progress) options_.progress(done_ + offset, total_);
             }));
  if (look.stopped) {
    report_.stopped = true;
    stopped_at_ = look.gaps.empty() ? look.stopped_at : 0;  // damage is healed as a whole
    return ok();
  }
  if (!row.sealed) {
    healed.lost = look.damage(row.length);
    return note(row, healed);
  }
  auto done = heal_sealed(pack, **file, std::move(look));
  if (!done && !pace_.goes_on()) {
    report_.stopped = true;
    stopped_at_ = 0;
    return ok();
  }
  if (!done) return fail(std::move(done).error());
  return note(row, *done);
}

Result<HealReport> PackStore::Scrub::heal_sealed(const PackToLookAt& pack, File& file,
                                                 PackLook look) {
  PackToLookAt all = pack;
  all.begin = 0;
  if (!look.is_sound() && pack.begin > 0) {
    TRY_ASSIGN(look, look_at_pack(file, all, pace_));
    if (look.stopped) return fail(Errc::kBroken, 0, "stopped", file.path());
  }
  return heal_pack(store_.io_, store_.packs_directory_, all, look,
                   {.parity_percent = store_.options_.parity_percent, .dry_run = options_.dry_run},
                   pace_);
}

Status PackStore::Scrub::note(const PackRow& row, const HealReport& healed) {
  const std::string parity = store_.packs_directory_ + "/" + parity_file_name(row.id);
  if (!store_.is_known(row.number)) {
    // Removed meanwhile: what was just made for it must not stay.
    if (!healed.parity_written || options_.dry_run) return ok();
    Status removed = store_.io_.unlink(parity);
    return !removed && removed.error().sys_errno != ENOENT ? removed : ok();
  }
  tell(store_.packs_directory_ + "/" + pack_file_name(row.id), healed);
  for (const FileRange& range : healed.parity_damaged) {
    report_.parity.push_back({parity, range.offset, range.size, std::nullopt, range.what});
  }
  if (healed.parity_missing && healed.parity_written) {
    report_.parity.push_back({parity, 0, 0, std::nullopt, "there was none"});
  }
  if (options_.dry_run) return ok();
  if (healed.parity_written) {
    TRY_ASSIGN(auto file, store_.io_.open(parity, OpenMode::kRead));
    TRY_ASSIGN(const std::uint64_t size, file->size());
    store_.note_parity(row, size);
  }
  if (!healed.lost.empty()) TRY(mark_lost(row, healed.lost));
  TRY(unmark_healed(row, healed.lost));
  WriteLock lock(store_.mu_);
  store_.suspects_.erase(row.number);
  // What is lost in it is marked block by block.
  store_.checked_ns_[row.number] = now_ns();
  return ok();
}

void PackStore::Scrub::tell(const std::string& path, const HealReport& healed) {
  report_.pass.repaired += healed.repaired.size();
  report_.pass.lost += healed.lost.size();
  report_.parity_written += healed.parity_written ? 1 : 0;
  for (const FileRange& range : healed.repaired) {
    report_.repaired.push_back({path, range.offset, range.size, std::nullopt, range.what});
    if (!options_.dry_run) {
      log_warning("repaired from parity: {} bytes at {} of {}", range.size, range.offset, path);
    }
  }
  for (const FrameGap& gap : healed.lost) {
    report_.lost.push_back({path, gap.begin, gap.end - gap.begin, std::nullopt, gap.what});
    log_error("damaged: {} bytes at {} of {}: {}", gap.end - gap.begin, gap.begin, path, gap.what);
  }
  if (!healed.failure.empty()) log_error("heal {}: {}", path, healed.failure);
}

Status PackStore::Scrub::mark_lost(const PackRow& row, const std::vector<FrameGap>& lost) {
  std::optional<BlockId> after;
  while (true) {
    TRY_ASSIGN(auto entries, store_.index_->entries_after(after, kEntriesAtOnce));
    if (entries.empty()) return ok();
    for (const IndexEntry& entry : entries) {
      if (entry.location.pack == row.number && touches(entry.location, lost)) {
        store_.mark_damaged(entry.id);
      }
    }
    after = entries.back().id;
  }
}

// Each is read once more: a mark may stand for what no checksum of a frame shows.
Status PackStore::Scrub::unmark_healed(const PackRow& row, const std::vector<FrameGap>& lost) {
  std::vector<BlockId> marked;
  {
    ReadLock lock(store_.mu_);
    marked.assign(store_.damaged_.begin(), store_.damaged_.end());
  }
  for (const BlockId& id : marked) {
    TRY_ASSIGN(const auto location, store_.index_->lookup(id));
    if (location && (location->pack != row.number || touches(*location, lost))) continue;
    if (location) {
      const auto data = store_.load_from(id, *location);
      if (!data || store_.frames_.id_of(**data) != id) continue;
    }
    WriteLock lock(store_.mu_);
    if (store_.damaged_.erase(id) != 0) store_.marks_changed_ = true;
  }
  return ok();
}

PackPlace PackStore::Scrub::begin_pass() {
  report_.pass.begin_ns = now_ns();
  if (!options_.is_scheduled) return {};
  MutexLock lock(store_.scrub_mu_);
  if (store_.scrub_.current.begin_ns == 0) {
    store_.scrub_.current = report_.pass;
    store_.scrub_.place = {};
  }
  report_.pass = store_.scrub_.current;
  return store_.scrub_.place;
}

Status PackStore::Scrub::note_place(const PackPlace& place) {
  if (!options_.is_scheduled) return ok();
  {
    MutexLock lock(store_.scrub_mu_);
    store_.scrub_.current = report_.pass;
    store_.scrub_.place = place;
  }
  return store_.save_scrub_state();
}

Status PackStore::Scrub::end_pass() {
  report_.pass.end_ns = now_ns();
  if (options_.dry_run) return ok();
  {
    MutexLock lock(store_.scrub_mu_);
    store_.scrub_.last = report_.pass;
    if (options_.is_scheduled) {
      store_.scrub_.current = {};
      store_.scrub_.place = {};
    }
  }
  return store_.save_scrub_state();
}

Result<ScrubReport> PackStore::scrub(const ScrubOptions& options) {
  return Scrub(*this, options).run();
}

Status PackStore::protect(const std::function<bool()>& keep_going) {
  ScrubOptions options;
  options.keep_going = keep_going;
  std::vector<PackRow> suspects;
  {
    WriteLock lock(mu_);
    for (const PackNumber number : std::exchange(suspects_, {})) {
      if (const auto it = packs_.find(number); it != packs_.end()) suspects.push_back(it->second);
    }
  }
  for (const PackRow& row : suspects) TRY(Scrub(*this, options).heal(row, 0));
  for (const PackRow& row : packs_without_parity()) {
    if (closing_ || (keep_going && !keep_going())) return ok();
    TRY(make_parity(row, keep_going));
  }
  return marks_changed_ ? save_scrub_state() : ok();
}

Status PackStore::make_parity(const PackRow& row, const std::function<bool()>& keep_going) {
  MutexLock heal_lock(heal_mu_);
  if (!is_known(row.number)) return ok();
  Pace pace(0, [&] { return !closing_ && (!keep_going || keep_going()); });
  const auto written =
      write_parity(io_, packs_directory_, row.id, row.length, options_.parity_percent, pace);
  if (written) {
    note_parity(row, *written);
    if (is_known(row.number)) return ok();
    Status removed = io_.unlink(packs_directory_ + "/" + parity_file_name(row.id));
    return !removed && removed.error().sys_errno != ENOENT ? removed : ok();
  }
  if (!pace.goes_on() || !is_known(row.number)) return ok();
  log_warning("a pack stays without parity: {}", written.error().to_string());
  WriteLock lock(mu_);
  parity_failed_.insert(row.number);
  return ok();
}

// Notes in the store how far it is, so that one that is cut short, in whatever way, can be resumed.
Result<std::vector<Damage>> PackStore::verify(const VerifyOptions& options) {
  ScrubPass pass{.begin_ns = now_ns()};
  VerifyPlace place;
  {
    MutexLock lock(scrub_mu_);
    if (options.resume && scrub_.verify.begin_ns != 0) {
      pass = scrub_.verify;
      place.first = scrub_.verify_place.pack;
    }
  }
  const auto note = [&](const ScrubPass& now, const PackId& pack) {
    {
      MutexLock lock(scrub_mu_);
      scrub_.verify = now;
      scrub_.verify_place = {pack, 0};
    }
    return save_scrub_state();
  };
  PackId at = place.first;
  bool noted = options.resume;
  auto note_again = std::chrono::steady_clock::now() + kNoteVerifyEvery;
  place.begins = [&](const PackId& pack, std::uint64_t damage_count) -> Status {
    at = pack;
    pass.lost = damage_count;
    if (std::chrono::steady_clock::now() < note_again) return ok();
    note_again = std::chrono::steady_clock::now() + kNoteVerifyEvery;
    noted = true;
    return note(pass, pack);
  };
  VerifyOptions own = options;
  own.keep_going = [&] { return !closing_ && (!options.keep_going || options.keep_going()); };
  auto damage = verify_packs(io_, packs_directory_, *index_, frames_, place, own);
  if (!damage) {
    if (!own.keep_going()) TRY(note(pass, at));
    return damage;
  }
  for (const Damage& finding : *damage) {
    if (finding.block) mark_damaged(*finding.block);
  }
  if (noted) TRY(note({}, {}));
  return damage;
}

bool PackStore::is_known(PackNumber number) {
  ReadLock lock(mu_);
  return packs_.contains(number);
}

void PackStore::note_parity(const PackRow& row, std::uint64_t size_bytes) {
  WriteLock lock(mu_);
  parity_bytes_[row.number] = size_bytes;
}

std::vector<PackRow> PackStore::packs_without_parity() {
  std::vector<PackRow> rows;
  if (options_.parity_percent == 0) return rows;
  ReadLock lock(mu_);
  for (const auto& [number, row] : packs_) {
    if (row.sealed && !parity_bytes_.contains(number) && !parity_failed_.contains(number)) {
      rows.push_back(row);
    }
  }
  return rows;
}

PackStore::ScrubPasses PackStore::scrub_passes() {
  MutexLock lock(scrub_mu_);
  return {scrub_.last, scrub_.current};
}

// Of parity whose pack is not there any more nothing can be made; of what was being written
// neither.
Status PackStore::find_parity(const std::vector<PackRow>& rows) {
  TRY_ASSIGN(const ParityFiles found, list_parity(io_, packs_directory_));
  const auto remove = [&](const std::string& path) {
    if (Status removed = io_.unlink(path); !removed) {
      log_warning("a parity file that is of no use stays: {}", removed.error().to_string());
    }
  };
  for (const std::string& path : found.unfinished) remove(path);
  for (const PackId& id : found.whole) {
    const std::string path = packs_directory_ + "/" + parity_file_name(id);
    const auto row = std::ranges::find(rows, id, &PackRow::id);
    if (row == rows.end()) {
      TRY_ASSIGN(const bool pack, io_.exists(packs_directory_ + "/" + pack_file_name(id)));
      if (!pack) remove(path);
      continue;
    }
    // A store is opened without parity, too: it is written anew.
    const auto file = io_.open(path, OpenMode::kRead);
    const auto size = file ? (*file)->size() : fail(file.error());
    if (size) {
      note_parity(*row, *size);
    } else {
      log_warning("a parity file cannot be read: {}", size.error().to_string());
    }
  }
  return ok();
}

// It is a help, so a store is opened without it.
Status PackStore::load_scrub_state(const std::vector<PackRow>& rows) {
  const std::string path = directory_ + "/" + std::string(kScrubStateFile);
  TRY_ASSIGN(const bool there, io_.exists(path));
  if (!there) return ok();
  auto raw = io_.read_file(path, kStateSizeMax);
  auto state = raw ? decode_scrub_state(*raw) : fail(std::move(raw).error());
  if (!state) {
    state.error().object = path;
    if (state.error().code == Errc::kNewerFormat) return fail(std::move(state).error());
    log_warning("what was known of damage is lost, all packs count as not looked at: {}",
                state.error().to_string());
    return ok();
  }
  {
    WriteLock lock(mu_);
    for (const PackRow& row : rows) {
      const auto when = state->checked_ns.find(row.id);
      if (when != state->checked_ns.end()) checked_ns_[row.number] = when->second;
    }
    damaged_.insert(state->damaged.begin(), state->damaged.end());
  }
  MutexLock lock(scrub_mu_);
  scrub_ = *std::move(state);
  return ok();
}

Status PackStore::save_scrub_state() {
  MutexLock scrub_lock(scrub_mu_);
  marks_changed_ = false;
  {
    ReadLock lock(mu_);
    scrub_.checked_ns.clear();
    for (const auto& [number, row] : packs_) {
      const auto when = checked_ns_.find(number);
      if (when != checked_ns_.end()) scrub_.checked_ns[row.id] = when->second;
    }
    scrub_.damaged.assign(damaged_.begin(), damaged_.end());
  }
  std::ranges::sort(scrub_.damaged);
  Status saved =
      io_.replace_file(directory_ + "/" + std::string(kScrubStateFile), encode_scrub_state(scrub_));
  scrub_.damaged = {};
  if (!saved) marks_changed_ = true;
  return saved;
}

}  // namespace amberfs
