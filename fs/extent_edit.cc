// SPDX-License-Identifier: Apache-2.0
#include "fs/extent_edit.h"

#include <algorithm>

namespace amberfs {

Result<std::uint64_t> ExtentEdit::clear(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return end;
  // Runs of data without a gap, each of which one hole covers.
  std::vector<View::FileExtent> runs;
  TRY(view_.extents(ino_, begin, end, [&](const View::FileExtent& extent) {
    const std::uint64_t from = std::max(begin, extent.begin);
    const std::uint64_t to = std::min(end, extent.end);
    if (!runs.empty() && runs.back().end == from && to - runs.back().begin <= UINT32_MAX) {
      runs.back().end = to;
    } else {
      runs.push_back({from, to, {}});
    }
    return runs.size() < kExtentsMax;
  }));
  for (const View::FileExtent& run : runs) {
    Extent hole;
    hole.kind = ExtentKind::kHole;
    hole.length = static_cast<std::uint32_t>(run.end - run.begin);
    batch_.put(extent_key(ino_, run.end), encode(hole));
  }
  return runs.size() == kExtentsMax ? std::min(end, runs.back().end) : end;
}

void ExtentEdit::put_data(std::uint64_t offset, ByteView data, ByteView packed) {
  Extent extent;
  extent.kind = packed.empty() ? ExtentKind::kJournal : ExtentKind::kPacked;
  extent.length = static_cast<std::uint32_t>(data.size());
  extent.segment = 0;  // relative: the journal says where the batch's data lands
  extent.position = batch_.append_data(packed.empty() ? data : packed);
  batch_.put(extent_key(ino_, offset + data.size()), encode(extent));
}

void ExtentEdit::put_shared(std::uint64_t end, const Extent& extent) {
  batch_.put(extent_key(ino_, end), encode(extent));
}

}  // namespace amberfs
