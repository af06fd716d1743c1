// SPDX-License-Identifier: Apache-2.0
// Rebuilding: the index made anew from the packs alone.
// Which head: the one with the highest sequence whose commit is whole. Packs that a commit filled
// were sealed before its head frame was appended, and the pack of the head frame was synced before
// another head was appended to it. So a head frame may stand behind bytes that a crash lost only if
// it is the last one of an unsealed pack. Such a head is taken only when there is no other.
#include "blockstore/base/log.h"
#include "blockstore/block_store.h"
#include "blockstore/group_format.h"
#include "blockstore/index.h"
#include "blockstore/pack_files.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"
#include "blockstore/pack_store.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace amberfs {
namespace {

// Entries of one transaction: each is durable, so few and large ones are faster.
constexpr std::size_t kEntriesAtOnce = 1U << 16;

struct FoundPack {
  PackId id{};
  std::int64_t created_ns = 0;
  std::string path;
  std::unique_ptr<File> file;
};

// A pack that is damaged loses what is damaged; one that needs another program, or the key, all.
bool can_be_left_out(const Error& error) {
  return error.code != Errc::kNewerFormat && error.code != Errc::kKeyMissing;
}

// The best head so far, and the best of those that are not known to be whole.
struct Heads {
  std::optional<HeadRecord> whole;
  std::optional<HeadRecord> doubtful;
  std::uint64_t sequence_max = 0;

  static void keep_newer(std::optional<HeadRecord>& best, const HeadRecord& record) {
    if (!best || record.sequence >= best->sequence) best = record;
  }
};

class Rebuild {
 public:
  Rebuild(Io& io, const std::string& directory, Index& index, const FrameCipher& frames)
      : io_(io), packs_directory_(packs_directory_of(directory)), index_(index), frames_(frames) {}

  Result<RebuildReport> run();

 private:
  class Visitor;
  Result<std::vector<FoundPack>> open_packs();
  Status take_in(const FoundPack& pack, PackNumber number);
  Status publish_head();
  void add_damage(const FoundPack& pack, const FrameGap& gap);

  Io& io_;
  const std::string packs_directory_;
  Index& index_;
  const FrameCipher& frames_;
  Heads heads_;
  std::uint64_t frames_opened_ = 0;
  std::uint64_t frames_refused_ = 0;  // their checksum holds, but the cipher does not open them
  RebuildReport report_;
};

class Rebuild::Visitor final : public FrameVisitor {
 public:
  Visitor(Rebuild& rebuild, const PackId& pack, PackNumber number, bool sealed)
      : rebuild_(rebuild), pack_(pack), number_(number), sealed_(sealed) {}

  Status on_frame(const FrameSpot& seen, ByteView stored) override {
    end = seen.offset + frame_size(seen.header);
    auto frame = rebuild_.frames_.open(pack_, seen.header, stored);
    ++(frame ? rebuild_.frames_opened_ : rebuild_.frames_refused_);
    if (!frame) return on_refused(seen, frame.error().tried);
    const FrameSpot spot{seen.offset, frame->header};
    if (spot.header.type == FrameType::kHead) return on_head(frame->encoded());
    if (spot.header.type == FrameType::kGroup) return on_group(spot, *frame);
    change.entries.push_back({spot.header.id,
                              {.pack = number_,
                               .offset = spot.offset,
                               .stored_size = spot.header.stored_size,
                               .plain_size = spot.header.plain_size,
                               .kind = BlockKind{static_cast<std::uint8_t>(spot.header.type)},
                               .codec = spot.header.codec}});
    return commit_some();
  }

  Status on_gap(const FrameGap& gap) override {
    gaps.push_back(gap);
    gap_since_head_ = true;
    return ok();
  }

  // A head with another one behind it in its pack was published.
  void settle_doubtful(bool whole) {
    if (!doubtful_) return;
    Heads::keep_newer(whole ? rebuild_.heads_.whole : rebuild_.heads_.doubtful, *doubtful_);
    doubtful_.reset();
  }

  std::uint64_t end = kPackHeaderSize;  // of the last valid frame
  std::vector<FrameGap> gaps;
  std::vector<Damage> refused;  // frames that are whole, and cannot be taken in; without the file
  IndexCommit change;

 private:
  // Not torn: its checksum holds.
  Status on_refused(const FrameSpot& spot, std::string what) {
    std::optional<BlockId> block;
    if (may_be_block(spot.header.type)) block = spot.header.id;
    refused.push_back({{}, spot.offset, frame_size(spot.header), block, std::move(what)});
    gap_since_head_ = true;
    return ok();
  }

  Status on_group(const FrameSpot& spot, const OpenedFrame& frame) {
    const FrameHeader& header = spot.header;
    auto plain = frame.decode();
    auto members = plain ? decode_group(*plain) : fail(std::move(plain).error());
    if (!members) return on_refused(spot, members.error().tried);
    for (const GroupMember& member : *members) {
      change.entries.push_back({member.id,
                                {.pack = number_,
                                 .offset = spot.offset,
                                 .stored_size = header.stored_size,
                                 .plain_size = member.size,
                                 .kind = member.kind,
                                 .codec = header.codec,
                                 .group_offset = member.offset,
                                 .group_size = header.plain_size}});
    }
    return commit_some();
  }

  Status commit_some() {
    if (change.entries.size() < kEntriesAtOnce) return ok();
    TRY(rebuild_.index_.commit(change));
    change.entries.clear();
    return ok();
  }

  Status on_head(ByteView plain) {
    auto record = decode_head(plain);
    if (!record) return ok();  // not one that this version writes; its checksum holds, so no damage
    settle_doubtful(true);
    Heads& heads = rebuild_.heads_;
    heads.sequence_max = std::max(heads.sequence_max, record->sequence);
    if (sealed_ || !gap_since_head_) {
      Heads::keep_newer(heads.whole, *record);
    } else {
      doubtful_ = *std::move(record);
    }
    gap_since_head_ = false;
    return ok();
  }

  Rebuild& rebuild_;
  const PackId pack_;
  const PackNumber number_;
  const bool sealed_;
  bool gap_since_head_ = false;
  std::optional<HeadRecord> doubtful_;
};

Result<RebuildReport> Rebuild::run() {
  TRY_ASSIGN(std::vector<FoundPack> packs, open_packs());
  PackNumber number = 1;
  for (FoundPack& pack : packs) {
    TRY(take_in(pack, number++));
    pack.file.reset();
  }
  if (frames_opened_ == 0 && frames_refused_ != 0) {
    return fail(Errc::kKeyMissing, 0, "rebuild index: no frame opens with the key that was given",
                packs_directory_);
  }
  TRY(publish_head());
  TRY_ASSIGN(IndexTotals totals, index_.totals());
  report_.blocks = totals.block_count;
  return std::move(report_);
}

// In order of making: where a block is stored twice, the later copy is the one that was wanted.
Result<std::vector<FoundPack>> Rebuild::open_packs() {
  TRY_ASSIGN(std::vector<PackId> ids, list_packs(io_, packs_directory_));
  std::vector<FoundPack> packs;
  for (const PackId& id : ids) {
    FoundPack pack;
    pack.id = id;
    pack.path = packs_directory_ + "/" + pack_file_name(id);
    TRY_ASSIGN(pack.file, io_.open(pack.path, OpenMode::kRead));
    TRY_ASSIGN(std::uint64_t size, pack.file->size());
    if (size <= kPackHeaderSize) {
      report_.torn_bytes += size;  // a crash while the pack was made
      continue;
    }
    auto header = read_pack_header(*pack.file);
    Status usable = header ? check_pack_header(*pack.file, id, frames_) : fail(header.error());
    if (!usable && !can_be_left_out(usable.error())) return fail(std::move(usable).error());
    if (header && header->id == id) pack.created_ns = header->created_ns;
    // The frames say by themselves that they belong to the pack that the file is named after.
    if (!usable) add_damage(pack, {0, kPackHeaderSize, usable.error().tried});
    pack.file.reset();  // a store has more packs than a process may open files
    packs.push_back(std::move(pack));
  }
  std::ranges::sort(packs, {},
                    [](const FoundPack& pack) { return std::pair(pack.created_ns, pack.id); });
  return packs;
}

void Rebuild::add_damage(const FoundPack& pack, const FrameGap& gap) {
  report_.damage.push_back({pack.path, gap.begin, gap.end - gap.begin, std::nullopt, gap.what});
}

Status Rebuild::take_in(const FoundPack& pack, PackNumber number) {
  TRY_ASSIGN(auto file, io_.open(pack.path, OpenMode::kRead));
  TRY_ASSIGN(std::uint64_t size, file->size());
  auto footer = read_footer(*file, pack.id);
  ScanRange range{.begin = kPackHeaderSize, .end = size, .footer = nullptr};
  if (footer) {
    range.end = footer->offset;
    range.footer = &footer->frames;
  }
  Visitor visitor(*this, pack.id, number, footer.has_value());
  TRY(scan_frames(*file, pack.id, range, visitor));
  visitor.settle_doubtful(false);
  for (Damage& damage : visitor.refused) {
    damage.file = pack.path;
    report_.damage.push_back(std::move(damage));
  }
  for (const FrameGap& gap : visitor.gaps) {
    if (!footer && gap.end == size) {
      report_.torn_bytes += gap.end - gap.begin;
      continue;
    }
    add_damage(pack, gap);
    if (!footer) continue;
    for (const FrameSpot& spot : footer->frames) {
      if (spot.offset == gap.begin && may_be_block(spot.header.type)) {
        report_.damage.back().block = spot.header.id;
      }
    }
  }
  if (!footer && visitor.end == kPackHeaderSize) return ok();  // nothing in it can be read
  ++report_.packs;
  visitor.change.packs.push_back(
      {number, pack.id, footer ? size : visitor.end, footer.has_value()});
  return index_.commit(visitor.change);
}

Status Rebuild::publish_head() {
  const auto& doubtful = heads_.doubtful;
  std::optional<HeadRecord> head = heads_.whole ? heads_.whole : doubtful;
  report_.head_found = head.has_value();
  if (head) report_.head_sequence = head->sequence;
  if (head) report_.head = head->head;
  if (heads_.whole && doubtful && doubtful->sequence > heads_.whole->sequence) {
    report_.damage.push_back({packs_directory_, 0, 0, std::nullopt,
                              "the newest head stands behind damaged bytes: the one before it "
                              "was taken"});
  }
  if (!head) return ok();
  // What is published next must be newer than everything that stands in the packs.
  head->sequence = heads_.sequence_max;
  IndexCommit change;
  change.head = std::move(head);
  return index_.commit(change);
}

Status unlink_if_there(Io& io, const std::string& path) {
  TRY_ASSIGN(bool there, io.exists(path));
  return there ? io.unlink(path) : ok();
}

// The head of the index that is there, as far as it can be read.
void read_old_head(const std::string& index_path, const BlockStoreOptions& options,
                   RebuildReport& report) {
  auto index = open_lmdb_index(index_path, options.index_map_size_bytes, options.cipher);
  if (!index) return;
  if (auto head = (*index)->head(); head && head->sequence != 0) {
    report.old_head_sequence = head->sequence;
    report.old_head = std::move(head->head);
  }
  if (Status closed = (*index)->close(); !closed) {
    log_warning("closing the old index failed: {}", closed.error().to_string());
  }
}

// "data.mdb.before-20261121T104500Z": what is replaced is kept.
Result<std::string> keep_old(Io& io, const std::string& path) {
  TRY_ASSIGN(const bool there, io.exists(path));
  if (!there) return std::string();
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> time{};
  const std::size_t size = std::strftime(time.data(), time.size(), "%Y%m%dT%H%M%SZ", &utc);
  const std::string name = path + ".before-" + std::string(time.data(), size);
  std::string kept = name;
  for (int number = 2;; ++number) {
    TRY_ASSIGN(const bool taken, io.exists(kept));
    if (!taken) break;
    kept = name + "-" + std::to_string(number);
  }
  TRY(io.rename(path, kept));
  return kept;
}

Result<RebuildReport> build_beside(Io& io, const std::string& directory, const std::string& beside,
                                   const BlockStoreOptions& options) {
  TRY(unlink_if_there(io, beside));
  TRY(unlink_if_there(io, index_lock_path(beside)));
  TRY_ASSIGN(auto index, create_lmdb_index(beside, options.index_map_size_bytes, options.cipher));
  const FrameCipher frames(options.cipher);
  TRY_ASSIGN(RebuildReport report, Rebuild(io, directory, *index, frames).run());
  TRY(index->close());
  TRY(unlink_if_there(io, index_lock_path(beside)));
  return report;
}

}  // namespace

Result<RebuildReport> BlockStore::rebuild_index(Io& io, const std::string& directory,
                                                const BlockStoreOptions& options,
                                                const RebuildOptions& how) {
  TRY_ASSIGN(bool is_store, io.exists(packs_directory_of(directory)));
  if (!is_store) return fail(Errc::kNotAStore, 0, "rebuild index", directory);
  const std::string index_directory = directory + "/" + std::string(kIndexDirectory);
  const std::string index_path = directory + "/" + std::string(kIndexFile);
  const std::string beside = index_directory + "/rebuild.mdb";
  TRY(io.make_directory(index_directory));
  TRY_ASSIGN(RebuildReport report, build_beside(io, directory, beside, options));
  read_old_head(index_path, options, report);
  const bool unchanged = report.old_head == report.head;
  if (how.dry_run || (how.only_for_head && (unchanged || !report.head_found))) {
    TRY(io.unlink(beside));
    return report;
  }
  TRY_ASSIGN(report.kept, keep_old(io, index_path));
  TRY(unlink_if_there(io, index_lock_path(index_path)));
  TRY(io.rename(beside, index_path));
  report.replaced = true;
  TRY(io.sync_directory(index_directory));
  return report;
}

}  // namespace amberfs
