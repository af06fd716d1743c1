// SPDX-License-Identifier: Apache-2.0
// ExtentEdit: changes of one file's extents in one batch. An extent that is put takes its range
// over from whatever covered it, in its own layer and in those below (fs/overlay.h), so nothing is
// trimmed here and a batch does not depend on how the layers below are cut: a commit may cut them
// anew. Flow:    op_data.cc, op_copy.cc, op_attr.cc (truncate) → ExtentEdit → Batch. Bounds:
// clear() stops after kExtentsMax extents and says where, so that no operation makes a
//          batch larger than the journal takes, however scattered the file is.
// Threads: one; the caller holds the inode's lock.
// Owns:    nothing; borrows the view as it was before the batch, and the batch.
#pragma once

#include "fs/batch.h"
#include "fs/view.h"

namespace amberfs {

class ExtentEdit {
 public:
  static constexpr std::size_t kExtentsMax = 32 * 1024;

  ExtentEdit(const View& view, Ino ino, Batch& batch) : view_(view), ino_(ino), batch_(batch) {}

  // [begin, end) becomes a hole. Returns `end`, or less when it stopped early: then [begin, result)
  // is one. Once per batch and file, before any put: it does not see the batch's own changes.
  [[nodiscard]] Result<std::uint64_t> clear(std::uint64_t begin, std::uint64_t end);
  // `data` becomes the file's bytes at `offset`. `data` is borrowed.
  void put_data(std::uint64_t offset, ByteView data, ByteView packed = {});
  // An extent that exists elsewhere becomes the bytes that end at `end`.
  void put_shared(std::uint64_t end, const Extent& extent);

 private:
  const View& view_;
  Ino ino_;
  Batch& batch_;
};

}  // namespace amberfs
