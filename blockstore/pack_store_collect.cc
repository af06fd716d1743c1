// SPDX-License-Identifier: Apache-2.0
// Collecting: packs are rewritten so that they hold only what is live, in groups.
//
//   1 begin    the open pack is left for a fresh one, which takes the published head once more; all
//              sealed packs but that one may be rewritten. put() notes from here on what it finds
//   2 select   packs with live blocks outside groups, or with too much that is dead; small ones
//              when runs have left many
//   3 copy     their live blocks → groups of new packs, which the index knows as empty, unsealed
//              ones: what a crash leaves of them is cut off. Each block is decoded and compared
//              with its id
//   4 switch   new packs are sealed; one index transaction: entries moved, dead ones dropped, new
//              packs as they are now, old ones marked as gone. put() looks before or after it
//   5 remove   old files, then their rows; what a crash leaves of it is done when the store is
//              opened
//
// A pack stays, with all its entries, when one of its live blocks could not be copied or put()
// found one of its dead ones.
#include "blockstore/base/log.h"
#include "blockstore/group_writer.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"
#include "blockstore/pack_store.h"
#include "blockstore/parity_format.h"

#include <algorithm>
#include <cerrno>
#include <set>

namespace amberfs {
namespace {

constexpr std::size_t kEntriesAtOnce = 4096;
constexpr std::uint64_t kSmallShare = 8;

// What a block takes of its frame: of a group its share, so that the shares of all make up the
// frame.
double stored_share(const BlockLocation& location) {
  const auto frame = static_cast<double>(kFrameHeaderSize + location.stored_size);
  if (!location.in_group()) return frame;
  const double all = location.group_size - static_cast<double>(kGroupHeadSize);
  return frame * static_cast<double>(location.plain_size + kGroupEntrySize) / all;
}

class HeadFinder final : public FrameVisitor {
 public:
  HeadFinder(const FrameCipher& frames, const PackId& pack, std::uint64_t sequence)
      : frames_(frames), pack_(pack), sequence_(sequence) {}
  Status on_frame(const FrameSpot& spot, ByteView stored) override {
    const auto frame = frames_.open(pack_, spot.header, stored);
    if (!frame || frame->header.type != FrameType::kHead) return ok();
    const auto record = decode_head(frame->encoded());
    found |= record && record->sequence == sequence_;
    return ok();
  }
  Status on_gap(const FrameGap&) override { return ok(); }
  bool found = false;

 private:
  const FrameCipher& frames_;
  const PackId pack_;
  const std::uint64_t sequence_;
};

}  // namespace

// One call of collect().
class PackStore::Collection {
 public:
  Collection(PackStore& store, std::span<const LiveBlock> live, const CompactOptions& options)
      : store_(store), live_(live), options_(options) {}

  Result<CompactReport> run(const std::vector<PackRow>& packs);

 private:
  // What the index says of a pack.
  struct Usage {
    PackRow row;
    double live_bytes = 0;
    bool has_ungrouped = false;  // live blocks that could be in a group
    bool has_live = false;
  };
  struct Step {
    std::set<PackNumber> packs;
    std::vector<std::uint32_t> data;    // indices into live_, in order
    std::vector<std::uint32_t> nodes;   // likewise
    std::unordered_set<BlockId> found;  // dead ones that put() had found by then
    std::vector<BlockId> dead;
    std::map<PackNumber, std::uint64_t> dead_count;
    std::set<PackNumber> stay;  // packs that cannot be removed
  };
  // The group that was decoded last: neighbours are in it more often than not.
  struct DecodedGroup {
    PackNumber pack = 0;
    std::uint64_t offset = 0;
    Bytes plain;
  };
  using EntryVisitor = std::function<void(const IndexEntry& entry, const LiveBlock* live)>;

  Status select(const std::vector<PackRow>& packs);
  Result<bool> is_wanted(const Usage& usage);
  Status each_entry(const EntryVisitor& visit);
  Status run_step(Step& step);
  Status plan(Step& step);
  Result<bool> copy(Step& step, GroupWriter& writer);
  Status copy_block(const BlockId& id, Step& step, GroupWriter& writer);
  Result<Bytes> read_checked(const BlockId& id, const BlockLocation& location);
  Result<ByteView> read_from_group(const BlockLocation& location, File& file, const PackId& pack);
  Status find_late(Step& step) REQUIRES_SHARED(store_.collect_mu_);
  Status switch_over(Step& step, GroupWriter& writer);
  Status commit_switch(Step& step, IndexCommit& change);
  void throw_away(const GroupWriter& writer);
  [[nodiscard]] bool goes_on() {
    if (store_.closing_ || (options_.keep_going && !options_.keep_going())) report_.stopped = true;
    return !report_.stopped;
  }

  PackStore& store_;
  const std::span<const LiveBlock> live_;
  const CompactOptions& options_;
  CompactReport report_;
  std::vector<PackRow> wanted_;
  DecodedGroup decoded_;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
};

Result<CompactReport> PackStore::Collection::run(const std::vector<PackRow>& packs) {
  TRY_ASSIGN(const BlockStoreStats before, store_.stats());
  report_.packs_before = before.pack_count;
  report_.bytes_before = before.pack_bytes;
  TRY(select(packs));
  for (auto next = wanted_.begin(); next != wanted_.end() && goes_on();) {
    Step step;
    std::uint64_t bytes = 0;
    do {
      step.packs.insert(next->number);
      bytes += next->length;
      ++next;
    } while (next != wanted_.end() && bytes + next->length <= options_.step_bytes);
    TRY(run_step(step));
    bytes_done_ += bytes;
    if (options_.progress) options_.progress(bytes_done_, bytes_total_);
  }
  TRY_ASSIGN(const BlockStoreStats after, store_.stats());
  report_.packs_after = after.pack_count;
  report_.bytes_after = after.pack_bytes;
  return std::move(report_);
}

// Every entry of the index, with what is live of it; both are in order of id.
Status PackStore::Collection::each_entry(const EntryVisitor& visit) {
  std::optional<BlockId> after;
  auto live = live_.begin();
  while (true) {
    TRY_ASSIGN(auto entries, store_.index_->entries_after(after, kEntriesAtOnce));
    if (entries.empty()) return ok();
    for (const IndexEntry& entry : entries) {
      while (live != live_.end() && live->id < entry.id) ++live;
      const bool is_live = live != live_.end() && live->id == entry.id;
      visit(entry, is_live ? &*live : nullptr);
    }
    after = entries.back().id;
  }
}

// Who misses a live block may still find it in a pack that would be removed.
Status PackStore::Collection::select(const std::vector<PackRow>& packs) {
  std::size_t live_count = 0;
  std::map<PackNumber, Usage> usages;
  for (const PackRow& row : packs) usages[row.number].row = row;
  TRY(each_entry([&](const IndexEntry& entry, const LiveBlock* live) {
    if (live == nullptr) return;
    ++live_count;
    const auto it = usages.find(entry.location.pack);
    if (it == usages.end()) return;
    it->second.has_live = true;
    it->second.live_bytes += stored_share(entry.location);
    it->second.has_ungrouped |=
        !entry.location.in_group() && fits_in_group(entry.location.plain_size);
  }));
  if (live_count != live_.size()) {
    return fail(Errc::kBlockMissing, 0, "collect: a block that is needed is not in the index",
                store_.directory_);
  }
  std::vector<PackRow> small;
  for (const auto& [number, usage] : usages) {
    TRY_ASSIGN(bool wanted, is_wanted(usage));
    if (wanted) {
      wanted_.push_back(usage.row);
    } else if (usage.row.length < store_.options_.pack_size_bytes / kSmallShare) {
      small.push_back(usage.row);
    }
  }
  if (small.size() > options_.small_packs_max) {
    wanted_.insert(wanted_.end(), small.begin(), small.end());
  }
  for (const PackRow& row : wanted_) bytes_total_ += row.length;
  return ok();
}

Result<bool> PackStore::Collection::is_wanted(const Usage& usage) {
  if (usage.has_ungrouped || !usage.has_live || usage.row.leftovers) return true;
  TRY_ASSIGN(auto file, store_.files_.open(usage.row.id));
  const auto footer = read_footer(*file, usage.row.id);
  if (!footer) return false;  // verify names it
  double frames = 0;
  // Packs of groups hold no heads, so that it does not matter that an encrypted one looks dead.
  for (const FrameSpot& spot : footer->frames) {
    if (spot.header.type != FrameType::kHead)
      frames += static_cast<double>(frame_size(spot.header));
  }
  const double dead = frames - usage.live_bytes;
  return dead * 100 > frames * options_.dead_percent;
}

Status PackStore::Collection::run_step(Step& step) {
  TRY(plan(step));
  GroupWriter writer(
      options_, store_.options_.pack_size_bytes, store_.frames_,
      [this]() -> Result<GroupWriter::Pack> {
        TRY_ASSIGN(OpenPack pack, store_.make_group_pack());
        return GroupWriter::Pack{pack.number, std::move(pack.writer)};
      },
      [this] { return goes_on(); });
  auto copied = copy(step, writer);
  if (!copied || !*copied) {
    throw_away(writer);
    if (copied || report_.stopped) return ok();
    return fail(std::move(copied).error());
  }
  return switch_over(step, writer);
}

Status PackStore::Collection::plan(Step& step) {
  TRY(each_entry([&](const IndexEntry& entry, const LiveBlock* live) {
    if (!step.packs.contains(entry.location.pack)) return;
    if (live == nullptr) {
      MutexLock lock(store_.found_mu_);
      if (store_.found_.contains(entry.id)) {
        step.found.insert(entry.id);
      } else {
        step.dead.push_back(entry.id);
        ++step.dead_count[entry.location.pack];
      }
      return;
    }
    const auto index = static_cast<std::uint32_t>(live - live_.data());
    (entry.location.kind == BlockKind::kNode ? step.nodes : step.data).push_back(index);
  }));
  const auto order = [&](std::uint32_t index) {
    return std::pair(live_[index].order, live_[index].id);
  };
  std::ranges::sort(step.data, {}, order);
  std::ranges::sort(step.nodes, {}, order);
  return ok();
}

// False: it was told to stop.
Result<bool> PackStore::Collection::copy(Step& step, GroupWriter& writer) {
  for (const auto* indices : {&step.data, &step.nodes}) {
    for (const std::uint32_t index : *indices) {
      if (!goes_on()) return false;
      TRY(copy_block(live_[index].id, step, writer));
    }
  }
  for (const BlockId& id : step.found) TRY(copy_block(id, step, writer));
  TRY(writer.finish());
  return true;
}

Status PackStore::Collection::copy_block(const BlockId& id, Step& step, GroupWriter& writer) {
  TRY_ASSIGN(auto location, store_.index_->lookup(id));
  if (!location || !step.packs.contains(location->pack)) return ok();  // stored anew meanwhile
  auto bytes = read_checked(id, *location);
  if (bytes) return writer.add(id, *location, *bytes);
  // Not copied, so that rot is never given a fresh checksum.
  step.stay.insert(location->pack);
  store_.mark_damaged(id, location->pack);
  TRY_ASSIGN(const PackId pack, store_.pack_id_of(location->pack));
  report_.damage.push_back({store_.packs_directory_ + "/" + pack_file_name(pack), location->offset,
                            kFrameHeaderSize + location->stored_size, id, bytes.error().tried});
  return ok();
}

Result<Bytes> PackStore::Collection::read_checked(const BlockId& id,
                                                  const BlockLocation& location) {
  TRY_ASSIGN(const PackId pack, store_.pack_id_of(location.pack));
  TRY_ASSIGN(auto file, store_.files_.open(pack));
  Bytes bytes;
  if (location.in_group()) {
    TRY_ASSIGN(ByteView member, read_from_group(location, *file, pack));
    bytes = member;
  } else {
    FrameSpot spot{location.offset, {}};
    spot.header.stored_size = location.stored_size;
    spot.header.id = id;
    TRY_ASSIGN(bytes, read_block(*file, pack, spot, store_.frames_));
  }
  if (store_.frames_.id_of(bytes) != id) {
    return fail(Errc::kCorrupt, 0, "the block does not match its id", file->path());
  }
  return bytes;
}

Result<ByteView> PackStore::Collection::read_from_group(const BlockLocation& location, File& file,
                                                        const PackId& pack) {
  if (decoded_.pack != location.pack || decoded_.offset != location.offset) {
    decoded_ = {};
    TRY_ASSIGN(Bytes plain,
               read_group(file, pack, location.offset, location.stored_size, store_.frames_));
    decoded_ = {location.pack, location.offset, std::move(plain)};
  }
  const ByteView plain = decoded_.plain;
  if (location.group_offset > plain.size() ||
      location.plain_size > plain.size() - location.group_offset) {
    return fail(Errc::kCorrupt, 0, "the group is smaller than the index says", file.path());
  }
  return plain.substr(location.group_offset, location.plain_size);
}

// Blocks of the packs that put() found after it was decided that they are dead.
Status PackStore::Collection::find_late(Step& step) {
  MutexLock lock(store_.found_mu_);
  for (const BlockId& id : store_.found_) {
    if (step.found.contains(id)) continue;
    const auto live = std::ranges::lower_bound(live_, id, {}, &LiveBlock::id);
    if (live != live_.end() && live->id == id) continue;
    TRY_ASSIGN(auto location, store_.index_->lookup(id));
    if (location && step.packs.contains(location->pack)) step.stay.insert(location->pack);
  }
  return ok();
}

Status PackStore::Collection::switch_over(Step& step, GroupWriter& writer) {
  IndexCommit change;
  change.moves = writer.take_moves();
  change.dropped = std::move(step.dead);
  for (const GroupWriter::Pack& pack : writer.packs()) {
    change.packs.push_back({pack.number, pack.writer->id(), pack.writer->length(), true});
  }
  Status late;
  {
    WriteLock collect_lock(store_.collect_mu_);
    late = find_late(step);
    // When it fails it may have reached the disk all the same: nothing it names is touched.
    if (late) TRY(commit_switch(step, change));
  }
  if (!late) {
    throw_away(writer);
    return late;
  }
  for (const GroupWriter::Pack& pack : writer.packs()) {
    if (Status closed = pack.writer->close(); !closed) {
      log_warning("closing a sealed pack failed: {}", closed.error().to_string());
    }
  }
  std::erase_if(change.packs, [](const PackRow& row) { return !row.gone; });
  for (const PackRow& row : change.packs) report_.blocks_dropped += step.dead_count[row.number];
  report_.blocks_moved += change.moves.size();
  report_.packs_removed += change.packs.size();
  if (Status removed = store_.remove_gone(change.packs); !removed) {
    log_warning("a pack that is not needed stays until the store is opened again: {}",
                removed.error().to_string());
  }
  return ok();
}

Status PackStore::Collection::commit_switch(Step& step, IndexCommit& change) {
  for (const PackRow& row : wanted_) {
    if (!step.packs.contains(row.number)) continue;
    change.packs.push_back(row);
    (step.stay.contains(row.number) ? change.packs.back().leftovers : change.packs.back().gone) =
        true;
  }
  if (change.packs.empty()) return ok();
  TRY(store_.index_->commit(change));
  WriteLock lock(store_.mu_);
  for (const IndexMove& move : change.moves) {
    if (store_.damaged_.erase(move.id) != 0) store_.marks_changed_ = true;
  }
  for (const PackRow& row : change.packs) {
    if (row.gone) {
      store_.packs_.erase(row.number);
    } else {
      store_.packs_[row.number] = row;
    }
  }
  return ok();
}

void PackStore::Collection::throw_away(const GroupWriter& writer) {
  MutexLock write_lock(store_.write_mu_);
  for (const GroupWriter::Pack& pack : writer.packs()) {
    store_.leave_pack({pack.number, pack.writer}, CutOff::kYes);
  }
}

Status PackStore::begin_collect() {
  MutexLock run_lock(collect_run_mu_);
  {
    WriteLock lock(collect_mu_);
    MutexLock found_lock(found_mu_);
    found_.clear();
    collected_.clear();
    collecting_ = true;
  }
  TRY(rotate_packs());
  TRY_ASSIGN(std::vector<PackRow> rows, index_->packs());
  PackNumber head_pack = 0;
  {
    MutexLock write_lock(write_mu_);
    head_pack = head_pack_;
  }
  std::erase_if(
      rows, [&](const PackRow& row) { return !row.sealed || row.gone || row.number == head_pack; });
  WriteLock lock(collect_mu_);
  if (head_pack != 0) collected_ = std::move(rows);
  return ok();
}

Result<CompactReport> PackStore::collect(std::span<const LiveBlock> live,
                                         const CompactOptions& options) {
  MutexLock run_lock(collect_run_mu_);
  std::vector<PackRow> packs;
  {
    ReadLock lock(collect_mu_);
    if (!collecting_)
      return fail(Errc::kBadRequest, 0, "collect without begin_collect", directory_);
    packs = collected_;
  }
  TRY_ASSIGN(const std::vector<PackRow> rows, index_->packs());
  std::erase_if(packs, [&](const PackRow& pack) { return !std::ranges::count(rows, pack); });
  return Collection(*this, live, options).run(packs);
}

void PackStore::end_collect() {
  MutexLock run_lock(collect_run_mu_);
  WriteLock lock(collect_mu_);
  MutexLock found_lock(found_mu_);
  collecting_ = false;
  collected_.clear();
  found_ = {};
}

// More than the published head, about.
bool PackStore::is_worth_sealing(const OpenPack& pack) {
  const std::uint64_t head = kFrameHeaderSize + encode_head(published_).size();
  return pack.writer && pack.writer->length() > kPackHeaderSize + 2 * head;
}

bool PackStore::holds_head(const OpenPack& pack) {
  if (!pack.writer) return false;
  if (head_pack_ != 0) return head_pack_ == pack.number;
  HeadFinder finder(frames_, pack.writer->id(), published_.sequence);
  const auto file = files_.open(pack.writer->id());
  if (!file) return false;
  const ScanRange range{.begin = kPackHeaderSize, .end = pack.writer->length(), .footer = nullptr};
  return scan_frames(**file, pack.writer->id(), range, finder) && finder.found;
}

// Packs that are still written to are sealed, and the published head is put where no collection
// looks: a rebuild of the index needs it.
Status PackStore::rotate_packs() {
  MutexLock publish_lock(publish_mu_);
  Bytes head;
  bool needed = false;
  {
    MutexLock write_lock(write_mu_);
    if (closed_) return fail(Errc::kBroken, 0, "collect after close", directory_);
    if (failed_ || !head_known_) {
      return fail(Errc::kBroken, 0, "collect: the last commit failed", directory_);
    }
    if (published_.sequence == 0) return ok();
    if (is_worth_sealing(open_)) full_.push_back(std::exchange(open_, {}));
    std::vector<OpenPack> small;
    for (OpenPack& pack : std::exchange(continued_, {})) {
      (is_worth_sealing(pack) ? full_ : small).push_back(std::move(pack));
    }
    continued_ = std::move(small);
    bool held = holds_head(open_);
    for (const OpenPack& pack : continued_) {
      if (held) break;
      held = holds_head(pack);
      if (held) head_pack_ = pack.number;
    }
    needed = !held || !full_.empty();
    head = published_.head;
  }
  return needed ? publish_now(head, true) : ok();
}

// The index knows the pack before anything is written to it, as an empty one: so what a crash
// leaves in it is cut off.
Result<PackStore::OpenPack> PackStore::make_group_pack() {
  OpenPack pack;
  {
    MutexLock write_lock(write_mu_);
    if (closed_) return fail(Errc::kBroken, 0, "collect after close", directory_);
    pack.number = next_number_++;
  }
  TRY_ASSIGN(pack.writer, PackWriter::create(io_, packs_directory_, frames_.pack_version(true)));
  const PackRow row{pack.number, pack.writer->id(), kPackHeaderSize, false};
  IndexCommit change;
  change.packs.push_back(row);
  TRY(index_->commit(change));
  WriteLock lock(mu_);
  packs_[row.number] = row;
  note_made(row.number);
  return pack;
}

Status PackStore::remove_gone(const std::vector<PackRow>& rows) {
  IndexCommit change;
  std::set<std::string> directories;
  for (const PackRow& row : rows) {
    const std::string path = packs_directory_ + "/" + pack_file_name(row.id);
    files_.forget(row.id);
    // Parity first: a crash between the two leaves nothing that no pack belongs to.
    Status removed = io_.unlink(packs_directory_ + "/" + parity_file_name(row.id));
    if (!removed && removed.error().sys_errno != ENOENT) return removed;
    removed = io_.unlink(path);
    files_.forget(row.id);  // a reader may have opened it meanwhile
    if (!removed && removed.error().sys_errno != ENOENT) return removed;
    directories.insert(packs_directory_ + "/" + pack_directory(row.id));
    change.packs_gone.push_back(row.number);
  }
  // Or a power cut could bring back a pack that the index does not know.
  for (const std::string& directory : directories) TRY(io_.sync_directory(directory));
  return change.packs_gone.empty() ? ok() : index_->commit(change);
}

}  // namespace amberfs
