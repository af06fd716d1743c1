// SPDX-License-Identifier: Apache-2.0
// Restore batch: all that makes the live tree agree with a snapshot on the selected paths, as one
// batch that shares the snapshot's blocks.
// Inodes:  a path keeps its live inode when it is the snapshot's, or has no name that was another
//          file then: programs that have it open go on, and no other file changes with it.
//          Otherwise, and when its type differs, the path gets a new one.
// Links:   paths that were one file in the snapshot are one file again.
// Flow:    restore.cc → fill_restore_batch → Mutation::apply.
// Threads: one; the caller holds names and inodes still, or gives a view that cannot change.
// Errors:  those of reading the views; kUnsupported for a file with more pieces than a batch takes.
#pragma once

#include "fs/restore.h"
#include "fs/restore_plan.h"

#include <set>

namespace amberfs {

struct RestoreTask {
  LiveMap& live_map;  // numbers for new inodes come from here
  const View& source;
  const View& live;
  const PathMap& paths;
  bool exact = false;
};

struct RestoreChanges {
  struct Name {
    Ino directory;
    Bytes name;
  };
  std::vector<Name> names;  // for the kernel's caches
  std::set<Ino> inodes;
  std::set<Ino> replaced;  // that were there and lose content, attributes or a name
};

[[nodiscard]] Result<RestoreChanges> fill_restore_batch(const RestoreTask& task, Batch& batch,
                                                        RestoreResult& result);

}  // namespace amberfs
