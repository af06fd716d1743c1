// SPDX-License-Identifier: Apache-2.0
// FileChange: gives files that programs may be writing another content, so that no byte of theirs
// falls between: change_files() of MountHooks.
// Flow:    hold every file (HeldFiles) → change → tell the kernel sizes → release.
//          The kernel takes a size from two things only: from the answer to a truncate, and, to
//          grow, from a stored byte. A growing file is done with one hold, a shrinking one needs
//          two.
// Limits:  programs that write through a shared mapping are not held back.
// Threads: run() by one thread at a time, one that serves no request; a thread a file besides.
// Owns:    the descriptors by which it holds the files, for the time of run().
// Errors:  what `change` returns; kFilesOpen for too many files; kIo when a file cannot be held
//          (nothing was changed then).
#pragma once

#include "fs/filesystem.h"
#include "fs/fuse/held_files.h"
#include "fs/fuse/notifier.h"
#include "fs/fuse/through_mount.h"

#include <functional>
#include <memory>
#include <vector>

namespace amberfs {

struct MountParts {
  FileSystem& fs;
  HeldFiles& held;
  Notifier& notifier;
  const MountPlace& place;
};

class FileChange {
 public:
  static constexpr std::size_t kFilesMax = 64;  // a thread each

  explicit FileChange(const MountParts& mount);
  ~FileChange();
  // Inodes without a name are left out: nobody else can know them.
  [[nodiscard]] Status run(const std::vector<Ino>& inos, const std::function<Status()>& change);

 private:
  class Holder;

  [[nodiscard]] Status hold_all(const std::vector<Ino>& inos);
  void release(Holder& holder);
  void finish_shrinking(Holder& holder);
  [[nodiscard]] Status take_over_appended(Holder& holder, const HeldFiles::Sizes& sizes);
  [[nodiscard]] HeldFiles::Attributes attributes(Ino ino);

  const MountParts mount_;
  std::vector<std::unique_ptr<Holder>> holders_;
};

}  // namespace amberfs
