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
    auto [it, is_new] = map_.try_emplace(change.key, change.value);
    if (!is_new) {
      memory_bytes_ -= entry_bytes(it->first, it->second);
      if (auto segment = segment_of(it->first, it->second)) drop_use(segment_uses_, *segment);
      it->second = change.value;
    }
    memory_bytes_ += entry_bytes(it->first, it->second);
    if (auto segment = segment_of(it->first, it->second)) ++segment_uses_[*segment];
  }
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
