// SPDX-License-Identifier: Apache-2.0
// Acl: POSIX access control lists as the kernel passes them in system.posix_acl_access and
// system.posix_acl_default, and the arithmetic that keeps them and the mode in step. The kernel
// checks permissions; the server owes it inheritance, chmod and the mode (FUSE_POSIX_ACL).
// Threads: value types.
// Errors:  kPosix: EINVAL for bytes that are no valid ACL, EOPNOTSUPP for another version.
// Format:  struct posix_acl_xattr_header {u32 version = 2} then {u16 tag, u16 perm, u32 id}, all
//          little-endian. Entries stand in the order of their tags.
// Source:  POSIX 1003.1e draft 17; linux/fs/posix_acl.c.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

#include <optional>
#include <vector>

namespace amberfs {

constexpr ByteView kAclAccessName = "system.posix_acl_access";
constexpr ByteView kAclDefaultName = "system.posix_acl_default";

struct AclEntry {
  std::uint16_t tag = 0;
  std::uint16_t perm = 0;  // rwx: 0 … 7
  std::uint32_t id = 0;    // uid or gid of named entries
  friend bool operator==(const AclEntry&, const AclEntry&) = default;
};

class Acl {
 public:
  // Nothing when the value holds no entries: it means "no ACL".
  [[nodiscard]] static Result<std::optional<Acl>> parse(ByteView value);
  [[nodiscard]] Bytes encode() const;

  // Only owner, group and others: the mode says it all and the ACL need not be kept.
  [[nodiscard]] bool is_minimal() const;
  // The nine permission bits that a file with this ACL shows.
  [[nodiscard]] std::uint32_t mode_bits() const;
  // chmod: owner, others, and the mask (or the group when there is no mask) take the mode's bits.
  void change_mode(std::uint32_t mode);
  // The access ACL of an inode created with `mode` below a directory with this default ACL:
  // entries and mode both keep only what the other grants.
  void narrow_to(std::uint32_t& mode);

  [[nodiscard]] const std::vector<AclEntry>& entries() const { return entries_; }

 private:
  explicit Acl(std::vector<AclEntry> entries) : entries_(std::move(entries)) {}
  [[nodiscard]] AclEntry* find(std::uint16_t tag);
  // The mask if there is one, else the owning group: what the mode's group bits stand for.
  [[nodiscard]] AclEntry& group_class();

  std::vector<AclEntry> entries_;
};

}  // namespace amberfs
