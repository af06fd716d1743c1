// SPDX-License-Identifier: Apache-2.0
// copy_range: the target's extents become those of the source. No byte is moved.
#include "fs/extent_edit.h"
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

constexpr std::size_t kExtentsPerCall = 4096;
constexpr std::uint64_t kBytesPerCall = kGiB;

// Extents of the source range and how far they were collected. Holes lie between them.
struct Collected {
  std::vector<View::FileExtent> extents;
  std::uint64_t end = 0;
};

Result<Collected> collect(const View& view, Ino ino, std::uint64_t begin, std::uint64_t end) {
  Collected out;
  out.end = end;
  TRY(view.extents(ino, begin, end, [&out](const View::FileExtent& extent) {
    out.extents.push_back(extent);
    return out.extents.size() < kExtentsPerCall;
  }));
  if (out.extents.size() == kExtentsPerCall) out.end = std::min(end, out.extents.back().end);
  return out;
}

Status check_range(const FileSystem::CopyRange& range) {
  if (range.source_offset > kFileSizeMax) return fail(posix_error(EINVAL));
  if (range.target_offset > kFileSizeMax || range.size > kFileSizeMax - range.target_offset) {
    return fail(posix_error(EFBIG));
  }
  if (range.source != range.target) return ok();
  std::uint64_t low = std::min(range.source_offset, range.target_offset);
  std::uint64_t high = std::max(range.source_offset, range.target_offset);
  return high - low < range.size ? Status(fail(posix_error(EINVAL))) : ok();
}

}  // namespace

Result<std::uint64_t> FileSystem::copy_range(const Origin& who, const CopyRange& range) {
  TRY(admit(0));
  Mutation mutation(live_, OpKind::kCopyRange, who);
  mutation.lock({range.source, range.target});
  const View& view = mutation.view();
  Batch& batch = mutation.batch();
  TRY_ASSIGN(InodeRecord source, view.inode(range.source));
  TRY_ASSIGN(InodeRecord target, view.inode(range.target));
  TRY(require_regular(source));
  TRY(require_regular(target));
  if (range.source_offset >= source.size_bytes) return 0;
  CopyRange clipped = range;
  clipped.size = std::min(range.size, source.size_bytes - range.source_offset);
  TRY(check_range(clipped));
  if (clipped.size == 0) return 0;

  const std::uint64_t begin = clipped.source_offset;
  const std::uint64_t wanted = std::min(clipped.size, kBytesPerCall);
  TRY_ASSIGN(Collected pieces, collect(view, clipped.source, begin, begin + wanted));
  std::optional<Kept> kept;
  std::uint64_t wanted_end = clipped.target_offset + pieces.end - begin;
  if (clipped.target_offset < target.size_bytes && tampering_ != nullptr) {
    TRY_ASSIGN(kept, tampering_->before_removal(mutation, RemovalKind::kOverwritten, clipped.target,
                                                target, {clipped.target_offset, wanted_end}));
    if (kept && !kept->complete) wanted_end = kept->stop;
  }
  ExtentEdit edit(view, clipped.target, batch);
  TRY_ASSIGN(std::uint64_t target_end, edit.clear(clipped.target_offset, wanted_end));
  const std::uint64_t copied = target_end - clipped.target_offset;
  for (const View::FileExtent& extent : pieces.extents) {
    std::uint64_t from = std::max(extent.begin, begin);
    std::uint64_t to = std::min(extent.end, begin + copied);
    if (from >= to) continue;
    edit.put_shared(clipped.target_offset + (to - begin), slice(extent, from, to));
  }
  if (target_end > target.size_bytes) {
    batch.add_totals(0, static_cast<std::int64_t>(target_end - target.size_bytes));
    target.size_bytes = target_end;
  }
  if (who.uid != 0) TRY(drop_privileges(view, batch, clipped.target, target));
  target.mtime = target.ctime = current_time();
  put_inode(batch, clipped.target, target);
  TRY(mutation.apply());
  remember(std::move(kept));
  return copied;
}

}  // namespace amberfs
