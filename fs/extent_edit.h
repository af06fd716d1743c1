// SPDX-License-Identifier: Apache-2.0
// ExtentEdit: changes of one file's extents in one batch: what is overwritten is removed or
// trimmed, what is new is put. Extents never overlap, never reach past the file's size, and what
// none of them covers reads as zeros. Flow:    op_data.cc, op_copy.cc, op_attr.cc (truncate) →
// ExtentEdit → Batch. Bounds:  clear() stops after kExtentsMax extents and says where, so that no
// operation makes a
//          batch larger than the journal takes, however scattered the file is.
// Threads: one; the caller holds the inode's lock.
// Owns:    nothing; borrows the view as it was before the batch, and the batch.
#pragma once

#include "fs/batch.h"
#include "fs/view.h"

namespace amberfs {

// [begin, end) of a file extent that contains it. The chunker's cut belongs to the original end.
[[nodiscard]] Extent slice(const View::FileExtent& whole, std::uint64_t begin, std::uint64_t end);

class ExtentEdit {
 public:
  static constexpr std::size_t kExtentsMax = 32 * 1024;

  ExtentEdit(const View& view, Ino ino, Batch& batch) : view_(view), ino_(ino), batch_(batch) {}

  // Nothing covers [begin, end) any more. Returns `end`, or less when it stopped early: then
  // [begin, result) is clear. Once per batch and file: it does not see the batch's own changes.
  [[nodiscard]] Result<std::uint64_t> clear(std::uint64_t begin, std::uint64_t end);
  // `data` becomes the file's bytes at `offset`; the range must be clear. `data` is borrowed.
  void put_data(std::uint64_t offset, ByteView data);
  // An extent that exists elsewhere becomes the bytes that end at `end`.
  void put_shared(std::uint64_t end, const Extent& extent);

 private:
  const View& view_;
  Ino ino_;
  Batch& batch_;
};

}  // namespace amberfs
