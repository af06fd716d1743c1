// SPDX-License-Identifier: Apache-2.0
// What the operations of FileSystem have in common when they change inode records.
// Flow:    op_*.cc read a record under its lock → change it → put it into the batch.
// Threads: pure functions; callers hold the inode's lock.
#pragma once

#include "fs/batch.h"
#include "fs/view.h"

#include <dirent.h>
#include <sys/stat.h>

#include <map>

namespace amberfs {

// More links than a program ever makes; below it the count cannot overflow.
constexpr std::uint32_t kLinksMax = 0x7fff'ffff;

[[nodiscard]] inline bool is_directory(std::uint32_t mode) {
  return S_ISDIR(mode);
}
[[nodiscard]] inline bool is_regular(std::uint32_t mode) {
  return S_ISREG(mode);
}

// The clock the kernel stamps its own cached files with (coarse): mixing it with a finer one would
// let a file's times go backwards when the kernel writes its times down.
[[nodiscard]] Timestamp current_time();

// A name that a file can have: ENOENT, ENAMETOOLONG, EINVAL for "." and ".." and what no path
// component can hold (the kernel sends none of these).
[[nodiscard]] Status check_name(ByteView name);

void put_inode(Batch& batch, Ino ino, const InodeRecord& record);
void put_name(Batch& batch, Ino directory, ByteView name, const Dirent& entry);
void remove_name(Batch& batch, Ino directory, ByteView name, Ino child);

// The record of a directory that names can be made in: ENOTDIR, ENOENT when it was removed.
[[nodiscard]] Result<InodeRecord> live_directory(const View& view, Ino directory);
// EISDIR or EINVAL for what has no bytes to write.
[[nodiscard]] Status require_regular(const InodeRecord& record);

// What a write or chown takes from a program file: set-user-id, set-group-id where the group may
// execute, and file capabilities.
[[nodiscard]] Status drop_privileges(const View& view, Batch& batch, Ino ino, InodeRecord& record);

// The bytes that `record` adds to TreeTotals.
[[nodiscard]] inline std::int64_t counted_bytes(const InodeRecord& record) {
  return is_regular(record.mode) ? static_cast<std::int64_t>(record.size_bytes) : 0;
}

// The records that one operation changes, each once, however many roles an inode plays in it.
class RecordSet {
 public:
  explicit RecordSet(const View& view) : view_(view) {}
  // Stays valid as long as the set.
  [[nodiscard]] Result<InodeRecord*> load(Ino ino);
  void put_all(Batch& batch) const;

 private:
  const View& view_;
  std::map<Ino, InodeRecord> records_;
};

}  // namespace amberfs
