// SPDX-License-Identifier: Apache-2.0
// OpenFiles: which files of the live tree programs hold open, written down in the mount's state, so
// that a server which takes over knows them: an unlinked file lives until its last release, and
// only of a file that is open for writing can the kernel hold newer bytes than the server.
//
// A file handle (fuse_file_info::fh) names its entry:
//   63         40 39        8 7     0
//   [generation ][entry      ][flags]     generation: a release that comes twice closes nothing
//   else
//
// Threads: every method from any thread.
// Owns:    the counts; borrows the state of the mount, where the entries stand.
#pragma once

#include "fs/fuse/mount_state.h"
#include "snapshot/record_format.h"

#include <functional>
#include <unordered_map>
#include <vector>

namespace amberfs {

// kHandleCached: its writes go through the kernel's page cache.
// kHandleAppends: O_APPEND.
enum : std::uint32_t { kHandleWrites = 1, kHandleExact = 2, kHandleCached = 4, kHandleAppends = 8 };

class OpenFiles {
 public:
  // Reads the entries of earlier servers.
  explicit OpenFiles(MountState& state);

  struct File {
    Ino ino = kNoIno;
    std::uint32_t flags = 0;
    std::uint32_t uid = 0;  // who opened it
    std::uint32_t pid = 0;
  };
  // The handle that an earlier server gave this request, which it may not have told the kernel.
  [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t request_id, Ino ino);
  // Returns the handle. ENFILE when there are too many.
  [[nodiscard]] Result<std::uint64_t> add(const File& file, std::uint64_t request_id);
  // False when the handle was closed already.
  bool remove(std::uint64_t handle, Ino ino);

  // What was open when this server took over, each as often as it was.
  void for_each_inherited(const std::function<void(const File&)>& visit) const;
  // Late pages of `ino` were refused with this errno: the kernel tells that to fsync(2) of every
  // descriptor, but to close(2) of only one, which may be ours. So close(2) says it until an
  // fsync(2) came through, which means that its caller was told by the one before.
  void note_lost(Ino ino, int sys_errno);
  void forget_lost(Ino ino);
  [[nodiscard]] int lost_errno(Ino ino);  // 0: none

  [[nodiscard]] bool has_writer(Ino ino);
  [[nodiscard]] bool has_writers();
  [[nodiscard]] std::vector<Ino> written();
  // Who has `ino` open for writing, oldest first. The names of programs are not known here.
  [[nodiscard]] std::vector<File> writers_of(Ino ino);

 private:
  void add_writer(Ino ino, std::uint32_t entry) REQUIRES(mu_) { writers_[ino].push_back(entry); }

  MountState& state_;
  std::vector<File> inherited_;
  Mutex mu_;
  std::vector<std::uint32_t> free_ GUARDED_BY(mu_);
  std::unordered_map<std::uint64_t, std::uint32_t> inherited_requests_ GUARDED_BY(mu_);
  std::unordered_map<Ino, std::vector<std::uint32_t>> writers_ GUARDED_BY(mu_);  // entries
  std::unordered_map<Ino, int> lost_ GUARDED_BY(mu_);
};

}  // namespace amberfs
