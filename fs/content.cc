// SPDX-License-Identifier: Apache-2.0
#include "fs/content.h"

#include <algorithm>

namespace amberfs {
namespace {

// Compares `data` with one extent of the file, and widens `changed` by what differs.
void widen(std::optional<ByteRange>& changed, std::uint64_t begin, ByteView old, ByteView data) {
  const auto first = std::ranges::mismatch(old, data).in1 - old.begin();
  if (static_cast<std::size_t>(first) == old.size()) return;
  std::size_t last = old.size();
  while (old[last - 1] == data[last - 1]) --last;
  const std::uint64_t from = begin + static_cast<std::uint64_t>(first);
  if (!changed) changed = ByteRange{from, begin + last};
  changed->end = std::max(changed->end, begin + last);
}

}  // namespace

Result<std::optional<ByteRange>> find_changed(const View& view, const DataReader& reader, Ino ino,
                                              std::uint64_t offset, ByteView data) {
  const std::uint64_t end = offset + data.size();
  std::vector<FileExtent> extents;
  TRY(view.extents(ino, offset, end, [&](const FileExtent& extent) {
    extents.push_back(extent);
    return true;
  }));
  std::optional<ByteRange> changed;
  Bytes old;
  for (const FileExtent& extent : extents) {
    const std::uint64_t from = std::max(extent.begin, offset);
    const std::uint64_t to = std::min(extent.end, end);
    if (from >= to) continue;
    old.resize(to - from);
    const auto skip = static_cast<std::uint32_t>(from - extent.begin);
    const Status read = reader.read_extent(extent.extent, skip, old.data(), old.size());
    if (!read) {
      changed = ByteRange{changed ? changed->begin : from, to};
      continue;
    }
    widen(changed, from, old, data.substr(from - offset, to - from));
  }
  return changed;
}

namespace {

constexpr std::size_t kStep = 4 * kMiB;

bool same_block(const FileExtent& a, const FileExtent& b, std::uint64_t at) {
  return a.extent.kind == ExtentKind::kBlock && b.extent.kind == ExtentKind::kBlock &&
         a.extent.block == b.extent.block &&
         a.extent.block_offset + (at - a.begin) == b.extent.block_offset + (at - b.begin);
}

Result<std::optional<FileExtent>> extent_at(const View& view, Ino ino, std::uint64_t at) {
  std::optional<FileExtent> found;
  TRY(view.extents(ino, at, at + 1, [&](const FileExtent& extent) {
    found = extent;
    return false;
  }));
  return found;
}

}  // namespace

Result<bool> same_beginning(const std::function<std::shared_ptr<const View>()>& view,
                            const DataReader& reader, Ino first, Ino second, std::uint64_t size) {
  Bytes a(kStep, '\0');
  Bytes b(kStep, '\0');
  for (std::uint64_t at = 0; at < size;) {
    const auto held = view();
    TRY_ASSIGN(const auto x, extent_at(*held, first, at));
    TRY_ASSIGN(const auto y, extent_at(*held, second, at));
    if (x && y && same_block(*x, *y, at)) {
      at = std::min({x->end, y->end, size});
      continue;
    }
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(kStep, size - at));
    TRY_ASSIGN(const std::size_t got_a, reader.read(*held, first, at, a.data(), step));
    TRY_ASSIGN(const std::size_t got_b, reader.read(*held, second, at, b.data(), step));
    if (got_a != step || got_b != step) return false;
    if (ByteView(a).substr(0, step) != ByteView(b).substr(0, step)) return false;
    at += step;
  }
  return true;
}

}  // namespace amberfs
