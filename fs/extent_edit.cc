// SPDX-License-Identifier: Apache-2.0
#include "fs/extent_edit.h"

#include <algorithm>

namespace amberfs {

Extent slice(const View::FileExtent& whole, std::uint64_t begin, std::uint64_t end) {
  Extent piece = whole.extent;
  auto skip = static_cast<std::uint32_t>(begin - whole.begin);
  piece.length = static_cast<std::uint32_t>(end - begin);
  if (piece.kind == ExtentKind::kBlock) piece.block_offset += skip;
  if (piece.kind == ExtentKind::kJournal) piece.position += skip;
  piece.ends_at_cut = whole.extent.ends_at_cut && end == whole.end;
  return piece;
}

Result<std::uint64_t> ExtentEdit::clear(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return end;
  std::vector<View::FileExtent> hit;
  TRY(view_.extents(ino_, begin, end, [&hit](const View::FileExtent& extent) {
    hit.push_back(extent);
    return hit.size() < kExtentsMax;
  }));
  std::uint64_t stop = end;
  if (hit.size() == kExtentsMax) stop = std::min(end, hit.back().end);
  for (const View::FileExtent& old : hit) {
    // A piece that keeps the original end also keeps the key.
    if (old.end > stop) {
      batch_.put(extent_key(ino_, old.end), encode(slice(old, stop, old.end)));
    } else {
      batch_.remove(extent_key(ino_, old.end));
    }
    if (old.begin < begin) {
      batch_.put(extent_key(ino_, begin), encode(slice(old, old.begin, begin)));
    }
  }
  return stop;
}

void ExtentEdit::put_data(std::uint64_t offset, ByteView data) {
  Extent extent;
  extent.kind = ExtentKind::kJournal;
  extent.length = static_cast<std::uint32_t>(data.size());
  extent.segment = 0;  // relative: the journal says where the batch's data lands
  extent.position = batch_.append_data(data);
  batch_.put(extent_key(ino_, offset + data.size()), encode(extent));
}

void ExtentEdit::put_shared(std::uint64_t end, const Extent& extent) {
  batch_.put(extent_key(ino_, end), encode(extent));
}

}  // namespace amberfs
