// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"
#include "fs/birth.h"
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <cerrno>

namespace amberfs {
namespace {

Result<OpKind> kind_of_new(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return OpKind::kCreate;
    case S_IFDIR:
      return OpKind::kMkdir;
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      return OpKind::kMknod;
    default:
      return fail(posix_error(EINVAL));
  }
}

Status require_free(const View& view, Ino directory, ByteView name) {
  TRY_ASSIGN(std::optional<Dirent> taken, view.find_dirent(directory, name));
  return taken ? Status(fail(posix_error(EEXIST))) : ok();
}

void touch_directory(InodeRecord& directory, Timestamp now) {
  directory.mtime = directory.ctime = now;
}

}  // namespace

FileSystem::FileSystem(LiveMap& live, BlockStore& blocks, Journal& journal)
    : live_(live), journal_(journal), data_(blocks, &journal) {}

Result<Attr> FileSystem::lookup(Ino directory, ByteView name) {
  if (name == ".") return getattr(directory);
  std::shared_ptr<const View> view = live_.view();
  if (name == "..") {
    TRY_ASSIGN(std::vector<View::Parent> parents, view->parents(directory));
    return getattr(parents.empty() ? directory : parents.front().ino);
  }
  TRY(check_name(name));
  while (true) {
    TRY_ASSIGN(Dirent entry, view->lookup(directory, name));
    TRY_ASSIGN(std::optional<InodeRecord> record, view->find_inode(entry.ino));
    if (record) return Attr{entry.ino, *record};
    // Removed between the two looks, unless the name still leads to the missing inode.
    TRY_ASSIGN(Dirent again, view->lookup(directory, name));
    if (again.ino == entry.ino) return fail(posix_error(ESTALE));
  }
}

Result<Attr> FileSystem::add_inode(Mutation& mutation, Ino directory, ByteView name,
                                   const NewInode& inode, ByteView target) {
  mutation.lock({directory});
  const View& view = mutation.view();
  TRY_ASSIGN(InodeRecord parent, live_directory(view, directory));
  TRY(require_free(view, directory, name));
  bool is_new_directory = is_directory(inode.mode);
  if (is_new_directory && parent.nlink >= kLinksMax) return fail(posix_error(EMLINK));
  TRY_ASSIGN(Birth birth, born_in(view, {directory, parent}, mutation.batch().origin(), inode));
  Ino ino = live_.allocate_ino();
  if (ino > kInoMax) return fail(posix_error(ENOSPC));

  Batch& batch = mutation.batch();
  put_name(batch, directory, name, {ino, static_cast<std::uint8_t>(IFTODT(inode.mode))});
  if (birth.access_acl) batch.put(xattr_key(ino, kAclAccessName), *birth.access_acl);
  if (birth.default_acl) batch.put(xattr_key(ino, kAclDefaultName), *birth.default_acl);
  if (!target.empty()) {
    birth.record.size_bytes = target.size();
    batch.put(target_key(ino), Bytes(target));
  }
  put_inode(batch, ino, birth.record);
  if (is_new_directory) parent.nlink += 1;
  touch_directory(parent, birth.record.ctime);
  put_inode(batch, directory, parent);
  batch.add_totals(1, 0);
  TRY(mutation.apply());
  return Attr{ino, birth.record};
}

Result<Attr> FileSystem::make(const Origin& who, Ino directory, ByteView name,
                              const NewInode& inode) {
  TRY(check_name(name));
  NewInode typed = inode;
  if ((typed.mode & S_IFMT) == 0) typed.mode |= S_IFREG;  // as mknod(2) says
  TRY_ASSIGN(OpKind kind, kind_of_new(typed.mode));
  TRY(admit(0));
  MutexLock names(names_mu_);
  Mutation mutation(live_, kind, who);
  return add_inode(mutation, directory, name, typed, {});
}

Result<Attr> FileSystem::symlink(const Origin& who, Ino directory, ByteView name, ByteView target) {
  TRY(check_name(name));
  if (target.empty()) return fail(posix_error(ENOENT));
  if (target.size() > kTargetSizeMax) return fail(posix_error(ENAMETOOLONG));
  TRY(admit(0));
  MutexLock names(names_mu_);
  Mutation mutation(live_, OpKind::kSymlink, who);
  return add_inode(mutation, directory, name, {.mode = S_IFLNK | 0777U}, target);
}

Result<Attr> FileSystem::link(const Origin& who, Ino ino, Ino directory, ByteView name) {
  TRY(check_name(name));
  TRY(admit(0));
  MutexLock names(names_mu_);
  Mutation mutation(live_, OpKind::kLink, who);
  mutation.lock({ino, directory});
  const View& view = mutation.view();
  TRY_ASSIGN(InodeRecord parent, live_directory(view, directory));
  TRY_ASSIGN(InodeRecord record, view.inode(ino));
  TRY(require_free(view, directory, name));
  if (is_directory(record.mode)) return fail(posix_error(EPERM));
  if (record.nlink == 0) return fail(posix_error(ENOENT));
  if (record.nlink >= kLinksMax) return fail(posix_error(EMLINK));

  Timestamp now = current_time();
  record.nlink += 1;
  record.ctime = now;
  touch_directory(parent, now);
  Batch& batch = mutation.batch();
  put_name(batch, directory, name, {ino, static_cast<std::uint8_t>(IFTODT(record.mode))});
  put_inode(batch, ino, record);
  put_inode(batch, directory, parent);
  TRY(mutation.apply());
  return Attr{ino, record};
}

Status FileSystem::unlink(const Origin& who, Ino directory, ByteView name) {
  TRY(check_name(name));
  Ino unfinished = kNoIno;
  {
    MutexLock names(names_mu_);
    Mutation mutation(live_, OpKind::kUnlink, who);
    TRY_ASSIGN(Dirent entry, mutation.view().lookup(directory, name));
    mutation.lock({directory, entry.ino});
    const View& view = mutation.view();
    TRY_ASSIGN(InodeRecord parent, live_directory(view, directory));
    TRY_ASSIGN(InodeRecord child, view.inode(entry.ino));
    if (is_directory(child.mode)) return fail(posix_error(EISDIR));
    Timestamp now = current_time();
    touch_directory(parent, now);
    remove_name(mutation.batch(), directory, name, entry.ino);
    put_inode(mutation.batch(), directory, parent);
    child.ctime = now;
    TRY_ASSIGN(
        Dropped dropped,
        drop_link(
            mutation, entry.ino, child,
            {.kind = RemovalKind::kDeleted, .directory = directory, .name = name, .moved = {}}));
    TRY(mutation.apply());
    remember(std::move(dropped.kept));
    if (tampering_ != nullptr) tampering_->names_changed();
    if (dropped.more) unfinished = entry.ino;
  }
  finish_drop(unfinished);
  return ok();
}

Status FileSystem::rmdir(const Origin& who, Ino directory, ByteView name) {
  TRY(check_name(name));
  Ino unfinished = kNoIno;
  {
    MutexLock names(names_mu_);
    Mutation mutation(live_, OpKind::kRmdir, who);
    TRY_ASSIGN(Dirent entry, mutation.view().lookup(directory, name));
    mutation.lock({directory, entry.ino});
    const View& view = mutation.view();
    TRY_ASSIGN(InodeRecord parent, live_directory(view, directory));
    TRY_ASSIGN(InodeRecord child, view.inode(entry.ino));
    if (!is_directory(child.mode)) return fail(posix_error(ENOTDIR));
    TRY_ASSIGN(bool empty, view.is_empty_directory(entry.ino));
    if (!empty) return fail(posix_error(ENOTEMPTY));
    Timestamp now = current_time();
    touch_directory(parent, now);
    parent.nlink -= 1;
    remove_name(mutation.batch(), directory, name, entry.ino);
    put_inode(mutation.batch(), directory, parent);
    child.ctime = now;
    TRY_ASSIGN(Dropped dropped, drop_link(mutation, entry.ino, child, {}));
    TRY(mutation.apply());
    if (dropped.more) unfinished = entry.ino;
  }
  finish_drop(unfinished);
  return ok();
}

Result<Bytes> FileSystem::readlink(Ino ino) {
  std::shared_ptr<const View> view = live_.view();
  TRY_ASSIGN(InodeRecord record, view->inode(ino));
  if (!S_ISLNK(record.mode)) return fail(posix_error(EINVAL));
  return view->target(ino);
}

}  // namespace amberfs
