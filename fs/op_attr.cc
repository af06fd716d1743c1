// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"
#include "fs/extent_edit.h"
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <cerrno>
#include <ranges>

namespace amberfs {
namespace {

bool asks_nothing(const SetAttr& set) {
  return !set.mode && !set.uid && !set.gid && !set.size_bytes && !set.atime && !set.mtime &&
         !set.ctime && !set.atime_now && !set.mtime_now && !set.kill_suid_sgid;
}

Status change_owner(Mutation& mutation, Attr& attr, const SetAttr& set) {
  if (!set.uid && !set.gid) return ok();
  if (set.uid) attr.record.uid = *set.uid;
  if (set.gid) attr.record.gid = *set.gid;
  if (is_directory(attr.record.mode)) return ok();
  return drop_privileges(mutation.view(), mutation.batch(), attr.ino, attr.record);
}

Status change_mode(Mutation& mutation, Attr& attr, std::uint32_t mode) {
  attr.record.mode = (attr.record.mode & S_IFMT) | (mode & 07777U);
  TRY_ASSIGN(std::optional<Bytes> value, mutation.view().xattr(attr.ino, kAclAccessName));
  if (!value) return ok();
  TRY_ASSIGN(std::optional<Acl> acl, Acl::parse(*value));
  if (!acl) return ok();
  acl->change_mode(mode);
  mutation.batch().put(xattr_key(attr.ino, kAclAccessName), acl->encode());
  return ok();
}

// A truncation to the size that the file has leaves mtime alone, as the kernel, which keeps the
// times of cached files, expects.
void change_times(InodeRecord& record, const SetAttr& set, bool resized) {
  Timestamp now = current_time();
  if (resized) record.mtime = now;
  if (set.atime) record.atime = *set.atime;
  if (set.mtime) record.mtime = *set.mtime;
  if (set.atime_now) record.atime = now;
  if (set.mtime_now) record.mtime = now;
  record.ctime = set.ctime.value_or(now);
}

}  // namespace

Result<bool> FileSystem::resize(Mutation& mutation, Attr& attr, Cut cut,
                                std::optional<Kept>& kept) {
  InodeRecord& record = attr.record;
  const std::uint64_t size_bytes = cut.size_bytes;
  TRY(require_regular(record));
  if (size_bytes > kFileSizeMax) return fail(posix_error(EFBIG));
  if (size_bytes < record.size_bytes) {
    // A file that grew since its copy was compared is not a copied one.
    if (tampering_ != nullptr && record.size_bytes > cut.copied_bytes) {
      TRY_ASSIGN(kept, tampering_->before_removal(mutation, RemovalKind::kTruncated, attr.ino,
                                                  record, {size_bytes, record.size_bytes}));
      if (kept && !kept->complete) return false;
    }
    ExtentEdit edit(mutation.view(), attr.ino, mutation.batch());
    TRY_ASSIGN(std::uint64_t stop, edit.clear(size_bytes, record.size_bytes));
    if (stop < record.size_bytes) return false;
  }
  std::int64_t before = counted_bytes(record);
  record.size_bytes = size_bytes;
  mutation.batch().add_totals(0, counted_bytes(record) - before);
  return true;
}

Result<Attr> FileSystem::getattr(Ino ino) {
  TRY_ASSIGN(InodeRecord record, live_.view()->inode(ino));
  return Attr{ino, record};
}

Result<Attr> FileSystem::setattr(const Origin& who, Ino ino, const SetAttr& set) {
  std::uint64_t copied = 0;
  if (tampering_ != nullptr && set.size_bytes == 0U) copied = tampering_->copied_bytes(who, ino);
  while (true) {
    if (set.size_bytes) TRY(shrink_in_steps(who, ino, {*set.size_bytes, copied}));
    TRY_ASSIGN(std::optional<Attr> attr, setattr_once(who, ino, set, copied));
    if (attr) return *attr;
  }
}

Result<std::optional<Attr>> FileSystem::setattr_once(const Origin& who, Ino ino, const SetAttr& set,
                                                     std::uint64_t copied_bytes) {
  Mutation mutation(live_, set.size_bytes ? OpKind::kTruncate : OpKind::kSetattr, who);
  mutation.lock({ino});
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  Attr attr{ino, record};
  std::optional<Kept> kept;
  if (asks_nothing(set)) return attr;
  if (set.size_bytes) {
    TRY_ASSIGN(bool complete, resize(mutation, attr, {*set.size_bytes, copied_bytes}, kept));
    if (!complete) return std::nullopt;
  }
  TRY(change_owner(mutation, attr, set));
  if (set.kill_suid_sgid && !is_directory(attr.record.mode)) {
    TRY(drop_privileges(mutation.view(), mutation.batch(), ino, attr.record));
  }
  if (set.mode) TRY(change_mode(mutation, attr, *set.mode));
  change_times(attr.record, set, attr.record.size_bytes != record.size_bytes);
  put_inode(mutation.batch(), ino, attr.record);
  TRY(mutation.apply());
  remember(std::move(kept));
  return attr;
}

// A truncation too large for one batch goes from the end towards the new size, each step a smaller
// file: a crash in between leaves bytes the file had, never bytes behind its end that a later
// extension would bring back.
Status FileSystem::shrink_in_steps(const Origin& who, Ino ino, Cut cut) {
  constexpr std::size_t kExtentsPerStep = ExtentEdit::kExtentsMax / 2;
  std::vector<std::uint64_t> cuts;
  {
    std::shared_ptr<const View> view = live_.view();
    TRY_ASSIGN(InodeRecord record, view->inode(ino));
    if (!is_regular(record.mode) || cut.size_bytes >= record.size_bytes) return ok();
    std::size_t count = 0;
    TRY(view->extents(ino, cut.size_bytes, record.size_bytes, [&](const View::FileExtent& extent) {
      if (++count % kExtentsPerStep == 0) cuts.push_back(extent.end);
      return true;
    }));
  }
  for (std::uint64_t size : cuts | std::views::reverse) {
    TRY(shrink_step(who, ino, {size, cut.copied_bytes}));
  }
  return ok();
}

Status FileSystem::shrink_step(const Origin& who, Ino ino, Cut cut) {
  Mutation mutation(live_, OpKind::kTruncate, who);
  mutation.lock({ino});
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  if (cut.size_bytes >= record.size_bytes) return ok();
  Attr attr{ino, record};
  std::optional<Kept> kept;
  TRY_ASSIGN(bool complete, resize(mutation, attr, cut, kept));
  if (!complete) return ok();  // it grew meanwhile: setattr() plans again
  attr.record.mtime = attr.record.ctime = current_time();
  put_inode(mutation.batch(), ino, attr.record);
  TRY(mutation.apply());
  remember(std::move(kept));
  return ok();
}

}  // namespace amberfs
