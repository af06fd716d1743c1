// SPDX-License-Identifier: Apache-2.0
#include "fs/birth.h"

#include "fs/acl.h"
#include "fs/inode_edit.h"

namespace amberfs {
namespace {

// The default ACL of the directory takes the place of the umask.
Status inherit_acl(const View& view, const BirthPlace& place, const NewInode& inode, Birth& birth) {
  std::uint32_t& mode = birth.record.mode;
  if (S_ISLNK(mode)) return ok();
  TRY_ASSIGN(std::optional<Bytes> value, view.xattr(place.directory, kAclDefaultName));
  std::optional<Acl> acl;
  if (value) {
    TRY_ASSIGN(acl, Acl::parse(*value));
  }
  if (!acl) {
    mode &= ~(inode.umask & 0777U);
    return ok();
  }
  if (is_directory(mode)) birth.default_acl = std::move(value);
  std::uint32_t permissions = mode & 0777U;
  acl->narrow_to(permissions);
  mode = (mode & ~0777U) | permissions;
  if (!acl->is_minimal()) birth.access_acl = acl->encode();
  return ok();
}

}  // namespace

Result<Birth> born_in(const View& view, const BirthPlace& place, const Origin& who,
                      const NewInode& inode) {
  Birth birth;
  InodeRecord& record = birth.record;
  record.mode = inode.mode & (S_IFMT | 07777U);
  record.uid = who.uid;
  record.gid = who.gid;
  record.nlink = is_directory(record.mode) ? 2 : 1;
  if (S_ISCHR(record.mode) || S_ISBLK(record.mode)) record.rdev = inode.rdev;
  // The kernel has already taken S_ISGID from files of callers outside the group; the group itself
  // is the server's to give.
  if ((place.record.mode & S_ISGID) != 0) {
    record.gid = place.record.gid;
    if (is_directory(record.mode)) record.mode |= S_ISGID;
  }
  record.atime = record.mtime = record.ctime = record.btime = current_time();
  TRY(inherit_acl(view, place, inode, birth));
  return birth;
}

}  // namespace amberfs
