// SPDX-License-Identifier: Apache-2.0
// Handlers of names: lookup, mknod, mkdir, symlink, link, unlink, rmdir, rename, readlink.
#include "fs/fuse/fuse_edge.h"

#include <cerrno>

namespace amberfs {
namespace {

bool is_reserved(NodeId directory, ByteView name) {
  return directory == make_node(kLiveView, kRootIno) && name == kSnapshotsName;
}

// A new name needs a live directory; .snapshots is taken.
Status require_new_name(NodeId directory, ByteView name) {
  TRY(require_live(directory));
  return is_reserved(directory, name) ? Status(fail(posix_error(EEXIST))) : ok();
}

Status require_old_name(NodeId directory, ByteView name) {
  TRY(require_live(directory));
  return is_reserved(directory, name) ? Status(fail(posix_error(EPERM))) : ok();
}

Result<Found> found(const Result<Attr>& attr) {
  if (!attr) return fail(attr.error());
  return Found{make_node(kLiveView, attr->ino), attr->record};
}

void do_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Result<Found> child = find_child(edge_of(request), parent, name);
  const bool absent = !child && child.error().code == Errc::kPosix &&
                      child.error().sys_errno == ENOENT && !is_virtual(parent);
  if (!absent) return reply_entry(request, child);
  fuse_entry_param nothing{};  // the kernel may remember that there is none
  nothing.entry_timeout = keep_seconds(parent);
  fuse_reply_entry(request, &nothing);
}

Result<Found> make(fuse_req_t request, NodeId parent, ByteView name, const NewInode& inode) {
  TRY(require_new_name(parent, name));
  if (was_applied(edge_of(request))) return find_child(edge_of(request), parent, name);
  return found(edge_of(request).fs.make(origin_of(request), ino_of(parent), name, inode));
}

void do_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  const NewInode inode{.mode = mode, .umask = fuse_req_ctx(request)->umask, .rdev = rdev};
  reply_entry(request, make(request, parent, name, inode));
}

void do_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  const NewInode inode{
      .mode = (mode & 07777U) | S_IFDIR, .umask = fuse_req_ctx(request)->umask, .rdev = 0};
  reply_entry(request, make(request, parent, name, inode));
}

Result<Found> make_symlink(fuse_req_t request, NodeId parent, ByteView name, ByteView target) {
  TRY(require_new_name(parent, name));
  if (was_applied(edge_of(request))) return find_child(edge_of(request), parent, name);
  return found(edge_of(request).fs.symlink(origin_of(request), ino_of(parent), name, target));
}

void do_symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  reply_entry(request, make_symlink(request, parent, name, target));
}

Result<Found> make_link(fuse_req_t request, NodeId node, NodeId parent, ByteView name) {
  TRY(require_new_name(parent, name));
  if (!is_live(node)) return fail(posix_error(EXDEV));
  if (was_applied(edge_of(request))) return find_node(edge_of(request), node);
  return found(edge_of(request).fs.link(origin_of(request), ino_of(node), ino_of(parent), name));
}

void do_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  reply_entry(request, make_link(request, node, parent, name));
}

Status remove(fuse_req_t request, NodeId parent, ByteView name, bool directory) {
  TRY(require_old_name(parent, name));
  if (was_applied(edge_of(request))) return ok();
  FileSystem& fs = edge_of(request).fs;
  const Origin who = origin_of(request);
  return directory ? fs.rmdir(who, ino_of(parent), name) : fs.unlink(who, ino_of(parent), name);
}

void do_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  reply_status(request, remove(request, parent, name, false));
}

void do_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  reply_status(request, remove(request, parent, name, true));
}

struct FullName {
  NodeId directory = 0;
  ByteView name;
};

Status rename(fuse_req_t request, FullName source, FullName target, unsigned flags) {
  TRY(require_old_name(source.directory, source.name));
  TRY(require_old_name(target.directory, target.name));
  if (flags > static_cast<unsigned>(RenameFlags::kExchange)) return fail(posix_error(EINVAL));
  if (was_applied(edge_of(request))) return ok();
  return edge_of(request).fs.rename(origin_of(request), {ino_of(source.directory), source.name},
                                    {ino_of(target.directory), target.name},
                                    static_cast<RenameFlags>(flags));
}

// NOLINTNEXTLINE: the signature is libfuse's.
void do_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
  reply_status(request, rename(request, {parent, name}, {new_parent, new_name}, flags));
}

Result<Bytes> read_link(Edge& edge, NodeId node) {
  if (is_live(node)) return edge.fs.readlink(ino_of(node));
  if (is_virtual(node)) return edge.past.target(node);
  TRY_ASSIGN(const auto view, edge.past.view(node));
  return view->target(ino_of(node));
}

void do_readlink(fuse_req_t request, fuse_ino_t node) {
  const Result<Bytes> target = read_link(edge_of(request), node);
  if (!target) return reply_error(request, target.error());
  fuse_reply_readlink(request, target->c_str());
}

}  // namespace

void add_name_handlers(fuse_lowlevel_ops& ops) {
  ops.lookup = do_lookup;
  ops.mknod = do_mknod;
  ops.mkdir = do_mkdir;
  ops.symlink = do_symlink;
  ops.link = do_link;
  ops.unlink = do_unlink;
  ops.rmdir = do_rmdir;
  ops.rename = do_rename;
  ops.readlink = do_readlink;
}

}  // namespace amberfs
