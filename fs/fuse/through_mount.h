// SPDX-License-Identifier: Apache-2.0
// A file of the live tree opened through its own mount, as any program would: the only way to ask
// the kernel what it holds of it. Another process makes the calls (mount_helper.h).
// Threads: only threads that serve no request: each call here becomes requests to this server.
//          One thread at a time.
// Owns:    the open file in the helper, and with it keeps the mount busy: hold it briefly.
// Errors:  the errno of the call with what was tried; kMountFailed when the helper is gone.
#pragma once

#include "blockstore/base/result.h"
#include "fs/fuse/mount_helper.h"
#include "snapshot/record_format.h"

#include <sys/types.h>

#include <string>
#include <utility>

namespace amberfs {

class FileSystem;

// Where the file system is mounted, and the device number by which its files are told from those of
// whatever is at the same path once it is unmounted.
struct MountPlace {
  std::string path;
  dev_t device = 0;
  MountHelper* helper = nullptr;
};

class ThroughMount {
 public:
  // `flags` as for open(2). kNoSuchPath when the inode has no name (any more), kNotMounted.
  [[nodiscard]] static Result<ThroughMount> open(FileSystem& fs, const MountPlace& place, Ino ino,
                                                 int flags);
  // The root directory.
  [[nodiscard]] static Result<ThroughMount> open_root(const MountPlace& place);
  ThroughMount(ThroughMount&& other) noexcept
      : helper_(other.helper_),
        channel_(std::move(other.channel_)),
        what_(std::move(other.what_)),
        caller_(other.caller_) {}
  ThroughMount& operator=(ThroughMount&&) = delete;
  ~ThroughMount();

  // Of the process that makes the calls: requests name it.
  [[nodiscard]] pid_t caller() const { return caller_; }
  [[nodiscard]] Status sync_file_system() const { return run({.op = MountHelper::Op::kSyncFs}); }
  [[nodiscard]] Status sync_data() const { return run({.op = MountHelper::Op::kDataSync}); }
  // Unlike sync_data(), without the inode's lock.
  [[nodiscard]] Status sync_range() const { return run({.op = MountHelper::Op::kSyncRange}); }
  // Sets the mode that it has.
  [[nodiscard]] Status change_mode() const { return run({.op = MountHelper::Op::kChmod}); }
  [[nodiscard]] Status truncate(std::uint64_t size) const;
  [[nodiscard]] Status set_times(const std::pair<timespec, timespec>& atime_and_mtime) const;
  // The kernel's.
  [[nodiscard]] Result<std::uint64_t> size() const;
  // At most `size` bytes; nothing at the end of the file.
  [[nodiscard]] Result<Bytes> read(std::uint64_t offset, std::uint64_t size) const;

 private:
  ThroughMount(MountHelper& helper, std::shared_ptr<MountHelper::Channel> channel)
      : helper_(&helper), channel_(std::move(channel)) {}
  [[nodiscard]] static Result<ThroughMount> on_channel(const MountPlace& place);
  // The inode that was opened.
  [[nodiscard]] Result<Ino> open_path(const MountPlace& place, const std::string& path, int flags);
  [[nodiscard]] Status run(const MountHelper::Call& call) const;
  [[nodiscard]] Result<MountHelper::Answer> ask(const MountHelper::Call& call) const;

  MountHelper* helper_;
  std::shared_ptr<MountHelper::Channel> channel_;
  std::string what_;
  pid_t caller_ = 0;
};

}  // namespace amberfs
