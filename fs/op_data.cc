// SPDX-License-Identifier: Apache-2.0
#include "fs/extent_edit.h"
#include "fs/extent_read.h"
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

// A third of what a batch holds; the rest is room for the keys of what is overwritten.
constexpr std::size_t kPieceMax = 8 * kMiB;

Status check_range(std::uint64_t offset, std::uint64_t size) {
  if (offset > kFileSizeMax || size > kFileSizeMax - offset) return fail(posix_error(EFBIG));
  return ok();
}

void grow_to(Batch& batch, InodeRecord& record, std::uint64_t end) {
  if (end <= record.size_bytes) return;
  batch.add_totals(0, static_cast<std::int64_t>(end - record.size_bytes));
  record.size_bytes = end;
}

}  // namespace

Result<std::size_t> FileSystem::read(Ino ino, std::uint64_t offset, char* target,
                                     std::size_t size) {
  std::shared_ptr<const View> view = live_.view();
  TRY_ASSIGN(DataReader::Plan plan, data_.plan(*view, ino, offset, size));
  if (plan.has_hole) {
    // A real hole, or a walk that passed a writer in between: only a look under the lock tells.
    view.reset();
    Mutation still(live_, OpKind::kOther);
    still.lock({ino});
    view = live_.view();
    TRY_ASSIGN(plan, data_.plan(*view, ino, offset, size));
  }
  TRY(data_.fill(plan, target));
  return plan.size;
}

Status FileSystem::write(const Origin& who, Ino ino, std::uint64_t offset, ByteView data,
                         WriteFlags flags) {
  TRY(check_range(offset, data.size()));
  if (!flags.from_page_cache) {
    TRY(admit(data.size()));
  } else if (space_ != nullptr) {
    if (hold_back_) hold_back_();
    TRY(space_->admit_late(data.size()));
  }
  Bytes buffer;
  while (!data.empty()) {
    WriteData piece{.plain = data.substr(0, kPieceMax), .packed = {}};
    piece.packed = pack_data(piece.plain, packing_, buffer);
    TRY_ASSIGN(std::size_t done, write_piece(who, ino, offset, piece, flags));
    offset += done;
    data.remove_prefix(done);
  }
  return ok();
}

Result<std::size_t> FileSystem::write_piece(const Origin& who, Ino ino, std::uint64_t offset,
                                            const WriteData& data, WriteFlags flags) {
  Mutation mutation(live_, OpKind::kWrite, who);
  mutation.lock({ino});
  Batch& batch = mutation.batch();
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  TRY(require_regular(record));
  const std::uint64_t size_before = record.size_bytes;
  ByteView plain = data.plain;
  ByteView packed = data.packed;
  Bytes shorter;
  std::optional<Kept> kept;
  if (offset < record.size_bytes && tampering_ != nullptr) {
    TRY_ASSIGN(kept, tampering_->before_write(mutation, ino, record, offset, plain));
    if (kept && !kept->complete) {
      plain = plain.substr(0, kept->stop - offset);
      packed = pack_data(plain, packing_, shorter);
    }
  }
  ExtentEdit(mutation.view(), ino, batch).put_data(offset, plain, packed);
  grow_to(batch, record, offset + plain.size());
  if (flags.kill_suid_sgid && !flags.from_page_cache) {
    TRY(drop_privileges(mutation.view(), batch, ino, record));
  }
  // The kernel keeps the times of files it caches and sends them on their own, before or after the
  // bytes: a time of ours would stand where the program has seen another.
  if (!flags.from_page_cache) record.mtime = record.ctime = current_time();
  put_inode(batch, ino, record);
  TRY(mutation.apply());
  remember(std::move(kept));
  // An exact append begins where the file ends: only the kernel's pages come again.
  if (tampering_ != nullptr && (flags.from_page_cache || offset < size_before)) {
    tampering_->after_write(ino, record.size_bytes, offset, plain);
  }
  return plain.size();
}

Status FileSystem::preallocate(const Origin& who, Ino ino, Preallocate how, std::uint64_t offset,
                               std::uint64_t size) {
  if (size == 0) return fail(posix_error(EINVAL));
  TRY(check_range(offset, size));
  if (how == Preallocate::kAllocate || how == Preallocate::kKeepSize) TRY(admit(0));
  const std::uint64_t end = offset + size;
  while (offset < end) {
    TRY_ASSIGN(offset, clear_piece(who, ino, how, offset, end));
  }
  return ok();
}

// Space is not reserved: the store is append-only, a hole costs nothing and reads as zeros.
Result<std::uint64_t> FileSystem::clear_piece(const Origin& who, Ino ino, Preallocate how,
                                              std::uint64_t begin, std::uint64_t end) {
  const bool clears = how != Preallocate::kAllocate && how != Preallocate::kKeepSize;
  const bool grows = how == Preallocate::kAllocate || how == Preallocate::kZeroRange;
  Mutation mutation(live_, OpKind::kFallocate, who);
  mutation.lock({ino});
  Batch& batch = mutation.batch();
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  TRY(require_regular(record));
  const std::uint64_t size_before = record.size_bytes;
  std::uint64_t stop = end;
  std::optional<Kept> kept;
  if (clears && begin < record.size_bytes) {
    const std::uint64_t clear_end = std::min(end, record.size_bytes);
    std::uint64_t kept_end = clear_end;
    if (tampering_ != nullptr) {
      TRY_ASSIGN(kept, tampering_->before_removal(mutation, RemovalKind::kCleared, ino, record,
                                                  {begin, clear_end}));
      if (kept && !kept->complete) kept_end = kept->stop;
    }
    ExtentEdit edit(mutation.view(), ino, batch);
    TRY_ASSIGN(stop, edit.clear(begin, kept_end));
    if (stop == clear_end) stop = end;
  }
  if (grows && stop == end) grow_to(batch, record, end);
  // The kernel leaves this one to the server and does not say who may keep the bits.
  if (who.uid != 0) TRY(drop_privileges(mutation.view(), batch, ino, record));
  record.ctime = current_time();
  if (clears || record.size_bytes != size_before) record.mtime = record.ctime;
  put_inode(batch, ino, record);
  TRY(mutation.apply());
  remember(std::move(kept));
  return stop;
}

Result<std::uint64_t> FileSystem::seek(Ino ino, std::uint64_t offset, bool want_data) {
  Mutation still(live_, OpKind::kOther);  // a hole is only one when nobody writes meanwhile
  still.lock({ino});
  TRY_ASSIGN(InodeRecord record, still.view().inode(ino));
  TRY(require_regular(record));
  return seek_extents(still.view(), ino, offset, want_data);
}

Status FileSystem::sync() {
  return live_.sync();
}

}  // namespace amberfs
