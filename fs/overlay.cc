// SPDX-License-Identifier: Apache-2.0
#include "fs/overlay.h"

#include "fs/batch_format.h"

namespace amberfs {
namespace {

// A red-black node, two strings' objects and the allocator's share.
constexpr std::uint64_t kEntryOverheadBytes = 128;

std::uint64_t entry_bytes(ByteView key, const std::optional<Bytes>& value) {
  return kEntryOverheadBytes + key.size() + (value ? value->size() : 0);
}

std::optional<std::uint64_t> segment_of(ByteView key, const std::optional<Bytes>& value) {
  if (!value) return std::nullopt;
  std::optional<Extent> extent = journal_extent(key, *value);
  if (!extent) return std::nullopt;
  return extent->segment;
}

void drop_use(std::map<std::uint64_t, std::uint64_t>& uses, std::uint64_t segment) {
  auto it = uses.find(segment);
  if (it != uses.end() && --it->second == 0) uses.erase(it);
}

}  // namespace

void Overlay::apply(const Batch& batch) {
  apply(batch.changes());
}

void Overlay::apply(std::span<const Change> changes) {
  WriteLock lock(mu_);
  for (const Change& change : changes) {
    const Result<ParsedKey> key = parse_key(change.key);
    if (key && key->tag == Tag::kExtent && change.value) make_way(*key, *change.value);
    set_entry(change.key, change.value);
  }
}

void Overlay::set_entry(const Bytes& key, const std::optional<Bytes>& value) {
  auto [it, is_new] = map_.try_emplace(key, value);
  if (!is_new) {
    memory_bytes_ -= entry_bytes(it->first, it->second);
    if (auto segment = segment_of(it->first, it->second)) drop_use(segment_uses_, *segment);
    it->second = value;
  }
  memory_bytes_ += entry_bytes(it->first, it->second);
  if (auto segment = segment_of(it->first, it->second)) ++segment_uses_[*segment];
}

Overlay::Map::iterator Overlay::drop_entry(Map::iterator entry) {
  memory_bytes_ -= entry_bytes(entry->first, entry->second);
  if (auto segment = segment_of(entry->first, entry->second)) drop_use(segment_uses_, *segment);
  return map_.erase(entry);
}

void Overlay::make_way(const ParsedKey& key, ByteView value) {
  const Result<FileExtent> put = file_extent(key, value);
  if (!put) return;  // whoever reads it says that it is damaged
  const Bytes end_key = range_end(key.ino, Tag::kExtent);
  std::vector<std::pair<std::uint64_t, Extent>> remains;
  auto it = map_.lower_bound(extent_key(key.ino, put->begin + 1));
  while (it != map_.end() && it->first < end_key) {
    const Result<ParsedKey> old_key = parse_key(it->first);
    const Result<FileExtent> old = old_key && it->second
                                       ? file_extent(*old_key, *it->second)
                                       : Result<FileExtent>(fail(Errc::kCorrupt, 0, "no extent"));
    if (!old) {
      ++it;
      continue;
    }
    if (old->begin >= put->end) break;
    if (old->begin < put->begin) {
      remains.emplace_back(put->begin, slice(*old, old->begin, put->begin));
    }
    if (old->end > put->end) remains.emplace_back(old->end, slice(*old, put->end, old->end));
    it = drop_entry(it);
  }
  for (const auto& [end, extent] : remains) set_entry(extent_key(key.ino, end), encode(extent));
}

Result<std::optional<FileExtent>> Overlay::find_extent(Ino ino, std::uint64_t at) const {
  const Bytes end_key = range_end(ino, Tag::kExtent);
  ReadLock lock(mu_);
  auto it = map_.lower_bound(extent_key(ino, at + 1));
  while (it != map_.end() && it->first < end_key && !it->second) ++it;
  if (it == map_.end() || it->first >= end_key) return std::nullopt;
  TRY_ASSIGN(const ParsedKey key, parse_key(it->first));
  TRY_ASSIGN(FileExtent extent, file_extent(key, *it->second));
  return extent;
}

Overlay::Lookup Overlay::get(ByteView key) const {
  ReadLock lock(mu_);
  auto it = map_.find(key);
  if (it == map_.end()) return std::nullopt;
  return Lookup(std::in_place, it->second);
}

std::optional<Overlay::Entry> Overlay::find_from(ByteView key, bool after) const {
  ReadLock lock(mu_);
  auto it = after ? map_.upper_bound(key) : map_.lower_bound(key);
  if (it == map_.end()) return std::nullopt;
  return Entry{it->first, it->second};
}

std::vector<Change> Overlay::changes() const {
  ReadLock lock(mu_);
  std::vector<Change> changes;
  changes.reserve(map_.size());
  for (const auto& [key, value] : map_) changes.push_back({key, value});
  return changes;
}

bool Overlay::empty() const {
  ReadLock lock(mu_);
  return map_.empty();
}

std::size_t Overlay::entry_count() const {
  ReadLock lock(mu_);
  return map_.size();
}

std::uint64_t Overlay::memory_bytes() const {
  ReadLock lock(mu_);
  return memory_bytes_;
}

std::optional<std::uint64_t> Overlay::lowest_segment() const {
  ReadLock lock(mu_);
  if (segment_uses_.empty()) return std::nullopt;
  return segment_uses_.begin()->first;
}

}  // namespace amberfs
