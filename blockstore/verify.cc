// SPDX-License-Identifier: Apache-2.0
#include "blockstore/verify.h"

#include "blockstore/group_format.h"
#include "blockstore/pack_files.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"
#include "blockstore/parity_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

namespace amberfs {
namespace {

// How many index entries are looked at in one read transaction.
constexpr std::size_t kEntriesAtOnce = 4096;
// Places of the index that are named: it is made anew as a whole.
constexpr std::size_t kIndexDamageMax = 20;

class Verifier {
 public:
  Verifier(Io& io, const std::string& packs_directory, Index& index, const FrameCipher& frames,
           const VerifyPlace& place, const VerifyOptions& options)
      : io_(io),
        packs_directory_(packs_directory),
        index_(index),
        frames_(frames),
        options_(options),
        place_(place),
        pace_(options.rate_bytes_per_s, options.keep_going),
        files_(io, packs_directory) {}

  Result<std::vector<Damage>> run();

 private:
  class Visitor;
  struct Pack {
    PackRow row;
    std::vector<FrameGap> gaps;
    std::vector<bool> gap_named;
  };

  [[nodiscard]] std::string path_of(const PackRow& row) const {
    return packs_directory_ + "/" + pack_file_name(row.id);
  }
  void add(const PackRow& row, std::uint64_t offset, std::uint64_t size, std::string what) {
    damage_.push_back({path_of(row), offset, size, std::nullopt, std::move(what)});
  }
  // True when it was damage of the index, which is named here: what it says elsewhere still counts.
  bool is_named(const Error& error);
  std::vector<Pack*> in_order_of_id();
  Status check_pack(Pack& pack);
  Status check_parity(const PackRow& row);
  // The pack as the index lists it now, unless it is marked as gone.
  Result<std::optional<PackRow>> row_now(PackNumber number);
  Status scan_pack(Pack& pack, File& file);
  Status check_unknown(const std::vector<PackId>& found, const std::vector<PackRow>& rows);
  Status check_entries();
  void check_entry(const IndexEntry& entry, const std::vector<PackRow>& rows_now);
  void name_unnamed_gaps();

  Io& io_;
  const std::string packs_directory_;
  Index& index_;
  const FrameCipher& frames_;
  const VerifyOptions& options_;
  const VerifyPlace& place_;
  Pace pace_;
  PackFiles files_;
  std::map<PackNumber, Pack> packs_;
  std::vector<Damage> damage_;
  std::size_t index_damage_count_ = 0;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
  std::uint64_t matched_ = 0;  // entries of the index whose frame was seen where it should be
};

class Verifier::Visitor final : public FrameVisitor {
 public:
  Visitor(Verifier& verifier, Pack& pack) : verifier_(verifier), pack_(pack) {}

  Status on_frame(const FrameSpot& seen, ByteView stored) override {
    report_progress(seen.offset + frame_size(seen.header));
    if (!verifier_.pace_.took(frame_size(seen.header))) {
      return fail(Errc::kBroken, 0, "verify: it was stopped; with --resume it goes on",
                  verifier_.path_of(pack_.row));
    }
    auto frame = verifier_.frames_.open(pack_.row.id, seen.header, stored);
    if (!frame) return on_lost(seen, frame.error().tried);
    const FrameSpot spot{seen.offset, frame->header};
    if (verifier_.options_.full && spot.header.type != FrameType::kGroup) {
      if (Status checked = check_frame_id(verifier_.frames_, *frame); !checked) {
        add(spot, checked.error().tried);
      }
    }
    if (spot.header.type == FrameType::kHead) return ok();
    if (spot.header.type == FrameType::kGroup) return check_group(spot, *frame);
    return check_index(spot.header.id, location_of(spot));
  }

  Status on_gap(const FrameGap& gap) override {
    pack_.gaps.push_back(gap);
    report_progress(gap.end);
    return ok();
  }

 private:
  void add(const FrameSpot& spot, std::string what) {
    verifier_.add(pack_.row, spot.offset, frame_size(spot.header), std::move(what));
    if (is_block(spot.header.type)) verifier_.damage_.back().block = spot.header.id;
  }

  [[nodiscard]] BlockLocation location_of(const FrameSpot& spot) const {
    return {.pack = pack_.row.number,
            .offset = spot.offset,
            .stored_size = spot.header.stored_size,
            .plain_size = spot.header.plain_size,
            .kind = BlockKind{static_cast<std::uint8_t>(spot.header.type)},
            .codec = spot.header.codec};
  }

  // A frame that cannot be taken apart is lost with every block in it: check_entries() names them.
  Status on_lost(const FrameSpot& spot, std::string what) {
    pack_.gaps.push_back({spot.offset, spot.offset + frame_size(spot.header), std::move(what)});
    return ok();
  }

  Status check_group(const FrameSpot& spot, const OpenedFrame& frame) {
    auto plain = frame.decode();
    auto members = plain ? decode_group(*plain) : fail(plain.error());
    if (!members) return on_lost(spot, members.error().tried);
    for (const GroupMember& member : *members) {
      const ByteView bytes = ByteView(*plain).substr(member.offset, member.size);
      if (verifier_.options_.full && verifier_.frames_.id_of(bytes) != member.id) {
        add(spot, "the block does not match its id");
        verifier_.damage_.back().block = member.id;
      }
      BlockLocation location = location_of(spot);
      location.plain_size = member.size;
      location.kind = member.kind;
      location.group_offset = member.offset;
      location.group_size = spot.header.plain_size;
      TRY(check_index(member.id, location));
    }
    return ok();
  }

  Status check_index(const BlockId& id, const BlockLocation& here) {
    const auto looked_up = verifier_.index_.lookup(id);
    if (!looked_up && verifier_.is_named(looked_up.error())) return ok();
    if (!looked_up) return fail(looked_up.error());
    const auto& location = *looked_up;
    const auto add_here = [&](const char* what) {
      verifier_.add(pack_.row, here.offset, kFrameHeaderSize + here.stored_size, what);
    };
    if (!location) {
      // Nobody wants it any more, where the pack is being removed or was to be.
      TRY_ASSIGN(auto now, verifier_.row_now(pack_.row.number));
      if (now && !now->leftovers) add_here("the index does not know this block: rebuild it");
      return ok();
    }
    // Elsewhere: a block that was stored again because this copy could not be read once, or moved.
    if (location->pack != here.pack || location->offset != here.offset) return ok();
    ++verifier_.matched_;
    BlockLocation found = *location;
    found.codec = here.codec;
    if (found != here) {
      add_here("the index describes this block wrongly: rebuild it");
      verifier_.damage_.back().block = id;
    }
    return ok();
  }

  void report_progress(std::uint64_t offset) {
    if (!verifier_.options_.progress) return;
    constexpr std::uint64_t kStep = 16 * kMiB;
    if (offset < reported_ + kStep) return;
    reported_ = offset;
    verifier_.options_.progress(verifier_.bytes_done_ + offset, verifier_.bytes_total_);
  }

  Verifier& verifier_;
  Pack& pack_;
  std::uint64_t reported_ = 0;
};

Result<std::vector<Damage>> Verifier::run() {
  // In this order: a pack made meanwhile is in the table, if its file was listed.
  TRY_ASSIGN(std::vector<PackId> found, list_packs(io_, packs_directory_));
  TRY_ASSIGN(std::vector<PackRow> rows, index_.packs());
  TRY_ASSIGN(IndexTotals totals, index_.totals());
  for (const PackRow& row : rows) {
    if (row.gone) continue;  // its file may be there still
    packs_[row.number].row = row;
    bytes_total_ += row.length;
  }
  bool any_gap = false;
  for (Pack* next : in_order_of_id()) {
    Pack& pack = *next;
    if (pack.row.id >= place_.first) {
      if (place_.begins) TRY(place_.begins(pack.row.id, damage_.size()));
      TRY(check_pack(pack));
    }
    any_gap |= !pack.gaps.empty();
    pack.gap_named.resize(pack.gaps.size());
    bytes_done_ += pack.row.length;
    if (options_.progress) options_.progress(bytes_done_, bytes_total_);
  }
  TRY(check_unknown(found, rows));
  if (any_gap || matched_ != totals.block_count) TRY(check_entries());
  name_unnamed_gaps();
  std::ranges::sort(damage_, [](const Damage& a, const Damage& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  });
  return std::move(damage_);
}

bool Verifier::is_named(const Error& error) {
  if (error.code != Errc::kIndexDamaged) return false;
  const auto is_same = [&](const Damage& damage) { return damage.what == error.tried; };
  if (std::ranges::none_of(damage_, is_same) && index_damage_count_ < kIndexDamageMax) {
    ++index_damage_count_;
    damage_.push_back({error.object, 0, 0, std::nullopt, error.tried});
  }
  return true;
}

std::vector<Verifier::Pack*> Verifier::in_order_of_id() {
  std::vector<Pack*> packs;
  for (auto& [number, pack] : packs_) packs.push_back(&pack);
  std::ranges::sort(packs, {}, [](const Pack* pack) { return pack->row.id; });
  return packs;
}

// One that is missing is no damage: it is made again by the next scrub.
Status Verifier::check_parity(const PackRow& row) {
  const std::string path = packs_directory_ + "/" + parity_file_name(row.id);
  auto parity = ParityFile::open(io_, packs_directory_, row.id, row.length);
  if (!parity && parity.error().sys_errno == ENOENT) return ok();
  if (!parity) {
    damage_.push_back({path, 0, 0, std::nullopt, parity.error().tried});
    return ok();
  }
  for (FileRange& range : parity->check(pace_)) {
    damage_.push_back({path, range.offset, range.size, std::nullopt, std::move(range.what)});
  }
  return ok();
}

Status Verifier::check_pack(Pack& pack) {
  auto file = io_.open(path_of(pack.row), OpenMode::kRead);
  if (!file) {
    const bool gone = file.error().sys_errno == ENOENT;
    TRY_ASSIGN(auto now, row_now(pack.row.number));
    if (gone && !now) return ok();  // removed since the index was read
    pack.gaps.push_back({0, pack.row.length, gone ? "the pack is gone" : file.error().to_string()});
    return ok();
  }
  if (Status header = check_pack_header(**file, pack.row.id, frames_); !header) {
    add(pack.row, 0, kPackHeaderSize, header.error().tried);
  }
  TRY(scan_pack(pack, **file));
  return pack.row.sealed ? check_parity(pack.row) : ok();
}

Result<std::optional<PackRow>> Verifier::row_now(PackNumber number) {
  TRY_ASSIGN(auto rows, index_.packs());
  const auto row = std::ranges::find(rows, number, &PackRow::number);
  return row == rows.end() || row->gone ? std::nullopt : std::optional(*row);
}

Status Verifier::scan_pack(Pack& pack, File& file) {
  auto size = file.size();
  const std::uint64_t length = pack.row.length;
  const std::uint64_t there = std::min(size ? *size : 0, length);
  ScanRange range{.begin = kPackHeaderSize, .end = there, .footer = nullptr};
  std::string footer_error;
  Footer footer;
  if (pack.row.sealed) {
    if (auto read = read_footer(file, pack.row.id)) {
      footer = *std::move(read);
      range.end = std::min(there, footer.offset);
      range.footer = &footer.frames;
    } else {
      footer_error = read.error().tried;
    }
  }
  Visitor visitor(*this, pack);
  TRY(scan_frames(file, pack.row.id, range, visitor));
  // Without a footer to say where frames end, the scan ran through what is left of it.
  if (!footer_error.empty() && !pack.gaps.empty() && pack.gaps.back().end == there) {
    pack.gaps.back().what = footer_error;
  }
  if (there < length) {
    pack.gaps.push_back({there, length, size ? "the pack ends early" : size.error().to_string()});
  }
  return ok();
}

Status Verifier::check_unknown(const std::vector<PackId>& found, const std::vector<PackRow>& rows) {
  for (const PackId& id : found) {
    if (std::ranges::find(rows, id, &PackRow::id) != rows.end()) continue;
    PackRow row;
    row.id = id;
    auto file = io_.open(path_of(row), OpenMode::kRead);
    if (!file) continue;  // discarded meanwhile
    TRY_ASSIGN(row.length, (*file)->size());
    // Up to a header: left by a crash, holds nothing, removed when the store is opened.
    if (row.length <= kPackHeaderSize) continue;
    // Made when its file was listed, known a moment later.
    TRY_ASSIGN(const auto rows_now, index_.packs());
    if (std::ranges::find(rows_now, id, &PackRow::id) != rows_now.end()) continue;
    add(row, 0, row.length, "the index does not know this pack: rebuild it to take in its blocks");
  }
  return ok();
}

Status Verifier::check_entries() {
  std::optional<BlockId> after;
  while (true) {
    const auto entries = index_.entries_after(after, kEntriesAtOnce);
    if (!entries && is_named(entries.error())) return ok();
    if (!entries) return fail(entries.error());
    if (entries->empty()) return ok();
    TRY_ASSIGN(auto rows_now, index_.packs());
    for (const IndexEntry& entry : *entries) check_entry(entry, rows_now);
    after = entries->back().id;
  }
}

void Verifier::check_entry(const IndexEntry& entry, const std::vector<PackRow>& rows_now) {
  const BlockLocation& at = entry.location;
  auto found = packs_.find(at.pack);
  auto now = std::ranges::find(rows_now, at.pack, &PackRow::number);
  const std::uint64_t length = found == packs_.end() ? 0 : found->second.row.length;
  const std::uint64_t end = at.offset + kFrameHeaderSize + at.stored_size;
  // Published while this runs.
  if (at.offset >= length && now != rows_now.end() && end <= now->length) return;
  PackRow unknown;
  const PackRow& row = found == packs_.end() ? unknown : found->second.row;
  auto lost = [&](std::string what) {
    const auto where_now = index_.lookup(entry.id);
    if (where_now && *where_now != at) return;  // moved, or dropped, since it was read
    add(row, at.offset, end - at.offset, std::move(what));
    damage_.back().block = entry.id;
  };
  if (end > length) {
    lost("the index names a block outside the packs: rebuild it");
    if (found == packs_.end()) damage_.back().file = std::string(kIndexFile);
    return;
  }
  Pack& pack = found->second;
  for (std::size_t i = 0; i < pack.gaps.size(); ++i) {
    if (at.offset < pack.gaps[i].end && end > pack.gaps[i].begin) {
      pack.gap_named[i] = true;
      return lost(pack.gaps[i].what);
    }
  }
  std::array<char, kFrameHeaderSize> raw{};
  auto file = files_.open(row.id);
  Status read = file ? (*file)->pread_exact(raw.data(), raw.size(), at.offset) : Status{};
  if (!file || !read) return lost(file ? read.error().tried : file.error().tried);
  auto header = decode_frame_header({raw.data(), raw.size()});
  const bool is_there =
      header && (at.in_group() ? may_be_group(header->type) && header->stored_size == at.stored_size
                               : header->id == entry.id);
  if (!is_there) lost("the index names a frame that is not there: rebuild it");
}

void Verifier::name_unnamed_gaps() {
  for (const auto& [number, pack] : packs_) {
    for (std::size_t i = 0; i < pack.gaps.size(); ++i) {
      const FrameGap& gap = pack.gaps[i];
      if (!pack.gap_named[i]) add(pack.row, gap.begin, gap.end - gap.begin, gap.what);
    }
  }
}

}  // namespace

Result<std::vector<Damage>> verify_packs(Io& io, const std::string& packs_directory, Index& index,
                                         const FrameCipher& frames, const VerifyPlace& place,
                                         const VerifyOptions& options) {
  return Verifier(io, packs_directory, index, frames, place, options).run();
}

Status check_frame_id(const FrameCipher& frames, const OpenedFrame& frame) {
  TRY_ASSIGN(Bytes plain, frame.decode());
  if (frames.id_of(plain) != frame.header.id) {
    return fail(Errc::kCorrupt, 0, "the block does not match its id");
  }
  return ok();
}

}  // namespace amberfs
