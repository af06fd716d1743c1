// SPDX-License-Identifier: Apache-2.0
// Handlers of extended attributes. ACLs are attributes too: system.posix_acl_access and _default.
#include "fs/fuse/fuse_edge.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

namespace amberfs {
namespace {

Status set_xattr(fuse_req_t request, NodeId node, FileSystem::XattrMode mode,
                 std::pair<ByteView, ByteView> name_and_value) {
  TRY(require_live(node));
  if (was_applied(edge_of(request))) return ok();
  const auto [name, value] = name_and_value;
  return edge_of(request).fs.set_xattr(origin_of(request), ino_of(node), name, value, mode);
}

// NOLINTNEXTLINE: the signature is libfuse's.
void do_setxattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value,
                 std::size_t size, int flags) {
  auto mode = FileSystem::XattrMode::kAny;
  if (flags == XATTR_CREATE) mode = FileSystem::XattrMode::kCreate;
  if (flags == XATTR_REPLACE) mode = FileSystem::XattrMode::kReplace;
  reply_status(request, set_xattr(request, node, mode, {name, ByteView(value, size)}));
}

Result<Bytes> get_xattr(Edge& edge, NodeId node, ByteView name) {
  if (is_live(node)) return edge.fs.get_xattr(ino_of(node), name);
  if (is_virtual(node)) return fail(posix_error(ENODATA));
  TRY_ASSIGN(const auto view, edge.past.view(node));
  TRY_ASSIGN(std::optional<Bytes> value, view->xattr(ino_of(node), name));
  if (!value) return fail(posix_error(ENODATA));
  return *std::move(value);
}

// `ls -l` asks each file for its SELinux label, and no answer of a FUSE server is cached; but told
// that there are none on this file system, it asks only once. Only where no label has a meaning.
bool is_label_without_selinux(ByteView name) {
  static const bool selinux_runs = ::access("/sys/fs/selinux/enforce", F_OK) == 0;
  return !selinux_runs && name == "security.selinux";
}

void do_getxattr(fuse_req_t request, fuse_ino_t node, const char* name, std::size_t size) {
  Result<Bytes> value = get_xattr(edge_of(request), node, name);
  if (!value && value.error().sys_errno == ENODATA && is_label_without_selinux(name)) {
    return reply_error(request, posix_error(EOPNOTSUPP));
  }
  reply_sized(request, value, size);
}

Result<std::vector<Bytes>> xattr_names(Edge& edge, NodeId node) {
  if (is_live(node)) return edge.fs.list_xattrs(ino_of(node));
  if (is_virtual(node)) return std::vector<Bytes>();
  TRY_ASSIGN(const auto view, edge.past.view(node));
  return view->xattr_names(ino_of(node));
}

Result<Bytes> joined_names(Edge& edge, NodeId node) {
  TRY_ASSIGN(const std::vector<Bytes> names, xattr_names(edge, node));
  Bytes joined;
  for (const Bytes& name : names) {
    joined += name;
    joined += '\0';
  }
  return joined;
}

void do_listxattr(fuse_req_t request, fuse_ino_t node, std::size_t size) {
  reply_sized(request, joined_names(edge_of(request), node), size);
}

Status remove_xattr(fuse_req_t request, NodeId node, ByteView name) {
  TRY(require_live(node));
  if (was_applied(edge_of(request))) return ok();
  return edge_of(request).fs.remove_xattr(origin_of(request), ino_of(node), name);
}

void do_removexattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  reply_status(request, remove_xattr(request, node, name));
}

}  // namespace

void add_xattr_handlers(fuse_lowlevel_ops& ops) {
  ops.setxattr = do_setxattr;
  ops.getxattr = do_getxattr;
  ops.listxattr = do_listxattr;
  ops.removexattr = do_removexattr;
}

}  // namespace amberfs
