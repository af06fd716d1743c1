// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <cerrno>

namespace amberfs {
namespace {

constexpr std::size_t kNamesSizeMax = 64 * kKiB;  // what listxattr(2) can return

bool is_acl(ByteView name) {
  return name == kAclAccessName || name == kAclDefaultName;
}

// Who may read or change which is the kernel's to check.
Status check_xattr_name(ByteView name) {
  if (name.size() > kXattrNameSizeMax) return fail(posix_error(ERANGE));
  if (is_acl(name)) return ok();
  for (ByteView prefix : {"user.", "trusted.", "security."}) {
    if (!name.starts_with(prefix)) continue;
    if (name.size() == prefix.size() || name.find('\0') != ByteView::npos) {
      return fail(posix_error(EINVAL));
    }
    return ok();
  }
  return fail(posix_error(EOPNOTSUPP));
}

Status check_list_size(const View& view, Ino ino, ByteView added) {
  TRY_ASSIGN(std::vector<Bytes> names, view.xattr_names(ino));
  std::size_t size = added.size() + 1;
  for (const Bytes& name : names) size += name.size() + 1;
  return size > kNamesSizeMax ? Status(fail(posix_error(ENOSPC))) : ok();
}

Status touch(Mutation& mutation, Ino ino, InodeRecord record) {
  record.ctime = current_time();
  put_inode(mutation.batch(), ino, record);
  return mutation.apply();
}

}  // namespace

Status FileSystem::set_xattr(const Origin& who, Ino ino, ByteView name, ByteView value,
                             XattrMode mode) {
  TRY(check_xattr_name(name));
  if (value.size() > kXattrValueSizeMax) return fail(posix_error(E2BIG));
  if (name != kAclAccessName && name != kAclDefaultName) TRY(admit(value.size()));
  Mutation mutation(live_, OpKind::kSetxattr, who);
  mutation.lock({ino});
  if (name == kAclAccessName) return set_access_acl(mutation, ino, value);
  if (name == kAclDefaultName) return set_default_acl(mutation, ino, value);
  const View& view = mutation.view();
  TRY_ASSIGN(InodeRecord record, view.inode(ino));
  if (name.starts_with("user.") && !is_regular(record.mode) && !is_directory(record.mode)) {
    return fail(posix_error(EPERM));
  }
  TRY_ASSIGN(std::optional<Bytes> before, view.xattr(ino, name));
  if (mode == XattrMode::kCreate && before) return fail(posix_error(EEXIST));
  if (mode == XattrMode::kReplace && !before) return fail(posix_error(ENODATA));
  if (!before) TRY(check_list_size(view, ino, name));
  mutation.batch().put(xattr_key(ino, name), Bytes(value));
  return touch(mutation, ino, record);
}

// The mode shows what the ACL grants; an ACL that says no more than the mode is not kept.
Status FileSystem::set_access_acl(Mutation& mutation, Ino ino, ByteView value) {
  TRY_ASSIGN(std::optional<Acl> acl, Acl::parse(value));
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  if (S_ISLNK(record.mode)) return fail(posix_error(EOPNOTSUPP));
  if (acl) record.mode = (record.mode & ~0777U) | acl->mode_bits();
  if (acl && !acl->is_minimal()) {
    mutation.batch().put(xattr_key(ino, kAclAccessName), acl->encode());
  } else {
    mutation.batch().remove(xattr_key(ino, kAclAccessName));
  }
  return touch(mutation, ino, record);
}

Status FileSystem::set_default_acl(Mutation& mutation, Ino ino, ByteView value) {
  TRY_ASSIGN(std::optional<Acl> acl, Acl::parse(value));
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  if (S_ISLNK(record.mode)) return fail(posix_error(EOPNOTSUPP));
  if (!is_directory(record.mode)) return acl ? Status(fail(posix_error(EACCES))) : ok();
  if (acl) {
    mutation.batch().put(xattr_key(ino, kAclDefaultName), acl->encode());
  } else {
    mutation.batch().remove(xattr_key(ino, kAclDefaultName));
  }
  return touch(mutation, ino, record);
}

Status FileSystem::remove_xattr(const Origin& who, Ino ino, ByteView name) {
  TRY(check_xattr_name(name));
  Mutation mutation(live_, OpKind::kRemovexattr, who);
  mutation.lock({ino});
  TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
  TRY_ASSIGN(std::optional<Bytes> before, mutation.view().xattr(ino, name));
  // Removing an ACL that is not there is no error on other file systems; setfacl relies on it.
  if (!before) return is_acl(name) ? ok() : Status(fail(posix_error(ENODATA)));
  mutation.batch().remove(xattr_key(ino, name));
  return touch(mutation, ino, record);
}

Result<Bytes> FileSystem::get_xattr(Ino ino, ByteView name) {
  TRY(check_xattr_name(name));
  std::shared_ptr<const View> view = live_.view();
  TRY_ASSIGN(std::optional<Bytes> value, view->xattr(ino, name));
  if (value) return *std::move(value);
  TRY(view->inode(ino));
  return fail(posix_error(ENODATA));
}

Result<std::vector<Bytes>> FileSystem::list_xattrs(Ino ino) {
  std::shared_ptr<const View> view = live_.view();
  TRY(view->inode(ino));
  return view->xattr_names(ino);
}

}  // namespace amberfs
