// SPDX-License-Identifier: Apache-2.0
#include "fs/extent_read.h"

#include <algorithm>
#include <cstring>

namespace amberfs {
namespace {

// More blocks than one: the first that is not decoded yet is decoded by who reads, and those behind
// it meanwhile. Not that one: a read that begins inside a block finds it decoded by the read
// before, is at the next one at once, and would decode it beside the thread that does so ahead.
void prefetch_rest(Blocks& blocks, const std::vector<View::FileExtent>& extents) {
  std::vector<BlockId> ids;
  bool first = true;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const Extent& extent = extents[i].extent;
    if (extent.kind != ExtentKind::kBlock) continue;
    if (i > 0 && extent.block == extents[i - 1].extent.block) continue;
    if (!first) {
      ids.push_back(extent.block);
    } else if (!blocks.is_cached(extent.block)) {
      first = false;
    }
  }
  if (!ids.empty()) blocks.prefetch(ids);
}

Result<std::uint64_t> find_hole(const View& view, Ino ino, std::uint64_t size,
                                std::uint64_t offset) {
  std::uint64_t covered_to = offset;  // the end of the extents that follow without a gap
  TRY(view.extents(ino, offset, size, [&](const View::FileExtent& extent) {
    if (extent.begin > covered_to) return false;
    covered_to = extent.end;
    return true;
  }));
  return std::min(covered_to, size);
}

}  // namespace

Result<std::optional<std::uint64_t>> find_data(const View& view, Ino ino, std::uint64_t size,
                                               std::uint64_t offset) {
  std::optional<std::uint64_t> data;
  TRY(view.extents(ino, offset, size, [&](const View::FileExtent& extent) {
    data = std::max(offset, extent.begin);
    return false;
  }));
  if (data && *data >= size) data.reset();
  return data;
}

Result<std::uint64_t> seek_extents(const View& view, Ino ino, std::uint64_t offset,
                                   bool want_data) {
  TRY_ASSIGN(const InodeRecord record, view.inode(ino));
  if (offset >= record.size_bytes) return fail(posix_error(ENXIO));
  if (!want_data) return find_hole(view, ino, record.size_bytes, offset);
  TRY_ASSIGN(const auto data, find_data(view, ino, record.size_bytes, offset));
  if (!data) return fail(posix_error(ENXIO));
  return *data;
}

Result<DataReader::Plan> DataReader::plan(const View& view, Ino ino, std::uint64_t offset,
                                          std::size_t size) const {
  TRY_ASSIGN(const InodeRecord record, view.inode(ino));
  Plan plan;
  plan.offset = offset;
  if (offset >= record.size_bytes) return plan;
  plan.size = std::min<std::uint64_t>(size, record.size_bytes - offset);
  const std::uint64_t end = offset + plan.size;
  std::uint64_t at = offset;
  TRY(view.extents(ino, offset, end, [&](const View::FileExtent& extent) {
    plan.has_hole = plan.has_hole || extent.begin > at;
    at = std::max(at, extent.end);
    plan.extents.push_back(extent);
    return true;
  }));
  plan.has_hole = plan.has_hole || at < end;
  return plan;
}

Status DataReader::fill(const Plan& plan, char* target) const {
  prefetch_rest(blocks_, plan.extents);
  const std::uint64_t end = plan.offset + plan.size;
  std::uint64_t at = plan.offset;
  for (const View::FileExtent& extent : plan.extents) {
    // Never backwards: the newest overlay may have changed between two steps of the cursor.
    const std::uint64_t begin = std::max(extent.begin, at);
    const std::uint64_t stop = std::min(extent.end, end);
    if (begin >= stop) continue;
    std::memset(target + (at - plan.offset), 0, begin - at);
    TRY(read_extent(extent.extent, static_cast<std::uint32_t>(begin - extent.begin),
                    target + (begin - plan.offset), stop - begin));
    at = stop;
  }
  std::memset(target + (at - plan.offset), 0, end - at);
  return ok();
}

Result<std::size_t> DataReader::read(const View& view, Ino ino, std::uint64_t offset, char* target,
                                     std::size_t size) const {
  TRY_ASSIGN(const Plan planned, plan(view, ino, offset, size));
  TRY(fill(planned, target));
  return planned.size;
}

Status DataReader::read_extent(const Extent& extent, std::uint32_t skip, char* target,
                               std::size_t size) const {
  if (skip > extent.length || size > extent.length - skip) {
    return fail(Errc::kCorrupt, 0, "read file data: beyond the end of its extent");
  }
  if (extent.kind == ExtentKind::kBlock) {
    return blocks_.read(extent.block, std::uint64_t{extent.block_offset} + skip, target, size);
  }
  if (journal_ == nullptr) {
    return fail(Errc::kCorrupt, 0, "read file data: an extent in the journal of a snapshot");
  }
  if (extent.kind == ExtentKind::kPacked) {
    return journal_->read_packed({extent.segment, extent.position},
                                 std::uint64_t{extent.packed_offset} + skip, target, size);
  }
  return journal_->read(extent.segment, extent.position + skip, target, size);
}

}  // namespace amberfs
