// SPDX-License-Identifier: Apache-2.0
#include "fs/inode_edit.h"

#include <cerrno>
#include <ctime>

namespace amberfs {

Timestamp current_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

Status check_name(ByteView name) {
  if (name.empty()) return fail(posix_error(ENOENT));
  if (name.size() > kNameSizeMax) return fail(posix_error(ENAMETOOLONG));
  if (name == "." || name == ".." || name.find('/') != ByteView::npos ||
      name.find('\0') != ByteView::npos) {
    return fail(posix_error(EINVAL));
  }
  return ok();
}

void put_inode(Batch& batch, Ino ino, const InodeRecord& record) {
  batch.put(inode_key(ino), encode(record));
}

void put_name(Batch& batch, Ino directory, ByteView name, const Dirent& entry) {
  batch.put(dirent_key(directory, name), encode(entry));
  batch.put(parent_key(entry.ino, directory, name), {});
}

void remove_name(Batch& batch, Ino directory, ByteView name, Ino child) {
  batch.remove(dirent_key(directory, name));
  batch.remove(parent_key(child, directory, name));
}

Result<InodeRecord> live_directory(const View& view, Ino directory) {
  TRY_ASSIGN(InodeRecord record, view.inode(directory));
  if (!is_directory(record.mode)) return fail(posix_error(ENOTDIR));
  if (record.nlink == 0) return fail(posix_error(ENOENT));
  return record;
}

Status require_regular(const InodeRecord& record) {
  if (is_directory(record.mode)) return fail(posix_error(EISDIR));
  if (!is_regular(record.mode)) return fail(posix_error(EINVAL));
  return ok();
}

Status drop_privileges(const View& view, Batch& batch, Ino ino, InodeRecord& record) {
  record.mode &= ~std::uint32_t{S_ISUID};
  if ((record.mode & S_IXGRP) != 0) record.mode &= ~std::uint32_t{S_ISGID};
  Bytes key = xattr_key(ino, "security.capability");
  TRY_ASSIGN(std::optional<Bytes> capability, view.get(key));
  if (capability) batch.remove(std::move(key));
  return ok();
}

Result<InodeRecord*> RecordSet::load(Ino ino) {
  auto it = records_.find(ino);
  if (it == records_.end()) {
    TRY_ASSIGN(InodeRecord record, view_.inode(ino));
    it = records_.emplace(ino, record).first;
  }
  return &it->second;
}

void RecordSet::put_all(Batch& batch) const {
  for (const auto& [ino, record] : records_) put_inode(batch, ino, record);
}

}  // namespace amberfs
