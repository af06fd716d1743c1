// SPDX-License-Identifier: Apache-2.0
// Birth: what a new inode is born with: mode after umask or default ACL, owner, group of a
// set-group-id directory, inherited ACLs, times.
// Flow:    op_names.cc make, symlink → born_in → records and xattrs into the batch.
// Threads: pure functions; the caller holds the directory's lock.
#pragma once

#include "fs/filesystem.h"

namespace amberfs {

struct Birth {
  InodeRecord record;
  std::optional<Bytes> access_acl;
  std::optional<Bytes> default_acl;
};

struct BirthPlace {
  Ino directory = kNoIno;
  const InodeRecord& record;
};

[[nodiscard]] Result<Birth> born_in(const View& view, const BirthPlace& place, const Origin& who,
                                    const NewInode& inode);

}  // namespace amberfs
