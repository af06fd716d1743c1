// SPDX-License-Identifier: Apache-2.0
// Putting and getting blocks.
#include "blockstore/pack_store.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "blockstore/group_format.h"
#include "blockstore/pack_reader.h"
#include "blockstore/verify.h"

#include <algorithm>
#include <cstring>

namespace amberfs {
namespace {

// Remembering that blocks are damaged is a help, not a promise: it is bounded.
constexpr std::size_t kDamagedMax = 1U << 20;

}  // namespace

Result<BlockId> PackStore::put(ByteView bytes, BlockKind kind) {
  if (bytes.size() > kBlockSizeMax) return fail(Errc::kBadRequest, 0, "put: block too large");
  const BlockId id = frames_.id_of(bytes);
  PutClaims::Claim claim(claims_, id);
  TRY_ASSIGN(bool stored_already, is_stored(id, bytes));
  if (stored_already) {
    ++dedup_hits_;
    return id;
  }
  thread_local Bytes buffer;
  const Encoded encoded = encode_block(bytes, options_.zstd_level, buffer);
  const FrameHeader header{.type = FrameType{static_cast<std::uint8_t>(kind)},
                           .codec = encoded.codec,
                           .plain_size = static_cast<std::uint32_t>(bytes.size()),
                           .id = id};
  TRY(append_block(header, encoded.stored));
  return id;
}

// A block that is known to be damaged counts as missing, so that it is stored again.
Result<bool> PackStore::is_stored(const BlockId& id, ByteView bytes) {
  {
    ReadLock lock(mu_);
    if (pending_.contains(id) || committing_.contains(id)) {
      ++puts_;
      return true;
    }
    if (damaged_.contains(id)) return false;
  }
  ReadLock lock(collect_mu_);
  TRY_ASSIGN(auto location, index_->lookup(id));
  if (location && collecting_) {
    MutexLock found_lock(found_mu_);
    found_.insert(id);
  }
  return location && may_rely_on(id, *location, bytes);
}

bool PackStore::may_rely_on(const BlockId& id, const BlockLocation& location, ByteView bytes) {
  if (options_.check_age_s == 0) return true;
  {
    ReadLock lock(mu_);
    const auto checked = checked_ns_.find(location.pack);
    const std::int64_t when = checked == checked_ns_.end() ? 0 : checked->second;
    const std::int64_t age_s = (now_ns() - when) / 1'000'000'000;
    if (age_s < static_cast<std::int64_t>(options_.check_age_s)) return true;
  }
  const auto stored = load_from(id, location);
  if (stored && **stored == bytes) return true;
  mark_damaged(id, location.pack);
  return false;
}

Status PackStore::append_block(const FrameHeader& header, ByteView encoded) {
  // Encryption and checksum run over all the bytes, so the frame is made without the lock, for the
  // pack that is open now; and again should another one be open by then.
  std::optional<PackId> pack;
  {
    MutexLock lock(write_mu_);
    if (open_.writer) pack = open_.writer->id();
  }
  StoredFrame frame;
  if (pack) frame = frames_.store(*pack, header, encoded);

  MutexLock lock(write_mu_);
  if (closed_) return fail(Errc::kBroken, 0, "put after close", directory_);
  Status opened = ensure_open_pack();
  if (opened && pack != open_.writer->id()) {
    frame = frames_.store(open_.writer->id(), header, encoded);
  }
  Result<std::uint64_t> offset = fail(Error{});
  if (opened) offset = open_.writer->append(frame);
  if (!opened || !offset) {
    Error error = opened ? std::move(offset).error() : std::move(opened).error();
    fail_put(error);
    return fail(std::move(error));
  }
  WriteLock pending_lock(mu_);
  ++puts_;
  pending_[header.id] = {.pack = open_.number,
                         .offset = *offset,
                         .stored_size = frame.header.stored_size,
                         .plain_size = header.plain_size,
                         .kind = BlockKind{static_cast<std::uint8_t>(header.type)},
                         .codec = header.codec};
  return ok();
}

// A pack that can take one more frame. A new pack is made known to the index before anything is
// written to it, so that a crash never leaves frames in a pack that nobody knows.
Status PackStore::ensure_open_pack() {
  if (open_.writer && open_.writer->length() >= options_.pack_size_bytes) {
    full_.push_back(std::exchange(open_, {}));
  }
  if (open_.writer) return ok();
  while (!continued_.empty()) {
    open_ = std::move(continued_.back());
    continued_.pop_back();
    if (open_.writer->length() < options_.pack_size_bytes) return ok();
    full_.push_back(std::exchange(open_, {}));
  }
  if (!fresh_.writer) {
    TRY_ASSIGN(fresh_.writer,
               PackWriter::create(io_, packs_directory_, frames_.pack_version(false)));
    fresh_.number = next_number_++;
  }
  const PackRow row{fresh_.number, fresh_.writer->id(), kPackHeaderSize, false};
  IndexCommit change;
  change.packs.push_back(row);
  TRY(index_->commit(change));
  open_ = std::exchange(fresh_, {});
  WriteLock lock(mu_);
  packs_[row.number] = row;
  note_made(row.number);
  return ok();
}

// Who relies on how old the look at a pack is has it noted when the pack is made.
void PackStore::note_made(PackNumber number) {
  checked_ns_[number] = now_ns();
  if (options_.check_age_s > 0) marks_changed_ = true;
}

Result<std::optional<BlockLocation>> PackStore::find_location(const BlockId& id) {
  {
    ReadLock lock(mu_);
    if (auto it = pending_.find(id); it != pending_.end()) return std::optional(it->second);
    if (auto it = committing_.find(id); it != committing_.end()) return std::optional(it->second);
  }
  return index_->lookup(id);
}

Result<PackId> PackStore::pack_id_of(PackNumber number) {
  ReadLock lock(mu_);
  auto it = packs_.find(number);
  if (it == packs_.end()) {
    return fail(Errc::kIndexDamaged, 0, "get block: no pack " + std::to_string(number), directory_);
  }
  return it->second.id;
}

// A block may be moved to another pack, and its old one removed, behind the look into the index:
// what cannot be read is looked up again, and is an error where it did not move.
Result<BlockData> PackStore::load(const BlockId& id) {
  TRY_ASSIGN(auto location, find_location(id));
  while (true) {
    if (!location) return fail(Errc::kBlockMissing, 0, "get block", id.to_hex());
    auto data = load_from(id, *location);
    if (data) return data;
    TRY_ASSIGN(auto now, find_location(id));
    if (now != location) {
      location = now;
      continue;
    }
    const Errc code = data.error().code;
    if (code == Errc::kCorrupt || code == Errc::kIo) mark_damaged(id, location->pack);
    return data;
  }
}

Result<BlockData> PackStore::load_from(const BlockId& id, const BlockLocation& location) {
  TRY_ASSIGN(PackId pack, pack_id_of(location.pack));
  TRY_ASSIGN(auto file, files_.open(pack));
  if (location.in_group()) return load_group(id, location, *file, pack);
  FrameSpot spot{location.offset, {}};
  spot.header.stored_size = location.stored_size;
  spot.header.id = id;
  TRY_ASSIGN(Bytes bytes, read_block(*file, pack, spot, frames_));
  auto data = std::make_shared<const Bytes>(std::move(bytes));
  cache_.insert(id, data);
  return data;
}

// Who reads one block of a group will want its neighbours, and they are decoded already.
Result<BlockData> PackStore::load_group(const BlockId& id, const BlockLocation& location,
                                        File& file, const PackId& pack) {
  TRY_ASSIGN(Bytes plain, read_group(file, pack, location.offset, location.stored_size, frames_));
  auto members = decode_group(plain);
  const std::string object = file.path() + " at " + std::to_string(location.offset);
  if (!members) return fail(Errc::kCorrupt, 0, members.error().tried, object);
  BlockData wanted;
  for (const GroupMember& member : *members) {
    auto data = std::make_shared<const Bytes>(ByteView(plain).substr(member.offset, member.size));
    if (member.id == id) {
      wanted = std::move(data);
    } else {
      cache_.insert(member.id, std::move(data));
    }
  }
  if (!wanted) return fail(Errc::kCorrupt, 0, "group does not hold the block", object);
  cache_.insert(id, wanted);  // last, as what was asked for should stay longest
  return wanted;
}

void PackStore::mark_damaged(const BlockId& id, std::optional<PackNumber> pack) {
  WriteLock lock(mu_);
  if (pack) suspects_.insert(*pack);
  if (damaged_.size() < kDamagedMax && damaged_.insert(id).second) marks_changed_ = true;
}

Result<BlockData> PackStore::get(const BlockId& id) {
  if (BlockData cached = cache_.find(id)) return cached;
  return load(id);
}

Result<bool> PackStore::contains(const BlockId& id) {
  TRY_ASSIGN(auto location, find_location(id));
  return location.has_value();
}

Status PackStore::read(const BlockId& id, std::uint64_t offset, char* target, std::size_t size) {
  TRY_ASSIGN(BlockData data, get(id));
  if (offset > data->size() || size > data->size() - offset) {
    return fail(Errc::kCorrupt, 0, "read past the end of block", id.to_hex());
  }
  if (size > 0) std::memcpy(target, data->data() + offset, size);
  return ok();
}

void PackStore::prefetch(std::span<const BlockId> ids) {
  std::vector<BlockId> wanted;
  for (const BlockId& id : ids) {
    if (!cache_.contains(id)) wanted.push_back(id);
  }
  read_ahead_.request(wanted);
}

Result<Bytes> PackStore::head() {
  TRY_ASSIGN(HeadRecord record, index_->head());
  return record.head;
}

Result<BlockStoreStats> PackStore::stats() {
  TRY_ASSIGN(IndexTotals totals, index_->totals());
  BlockStoreStats stats;
  stats.block_count = totals.block_count;
  stats.data_plain_bytes = totals.data_plain_bytes;
  stats.node_plain_bytes = totals.node_plain_bytes;
  stats.plain_bytes = totals.data_plain_bytes + totals.node_plain_bytes;
  stats.cache_bytes = cache_.size_bytes();
  stats.cache_hits = cache_.hits();
  stats.cache_misses = cache_.misses();
  stats.dedup_hits = dedup_hits_;
  ReadLock lock(mu_);
  stats.pack_count = packs_.size();
  for (const auto& [number, row] : packs_) {
    stats.pack_bytes += row.length;
    const auto parity = parity_bytes_.find(number);
    if (parity != parity_bytes_.end()) {
      stats.parity_bytes += parity->second;
    } else if (row.sealed && options_.parity_percent > 0) {
      ++stats.packs_without_parity;
    }
  }
  stats.damaged_blocks = damaged_.size();
  return stats;
}

}  // namespace amberfs
