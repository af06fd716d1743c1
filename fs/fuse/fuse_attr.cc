// SPDX-License-Identifier: Apache-2.0
// Handlers of attributes: getattr, setattr, statfs.
#include "fs/fuse/fuse_edge.h"

#include <sys/statvfs.h>

#include <algorithm>

namespace amberfs {
namespace {

Timestamp to_timestamp(const timespec& time) {
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

SetAttr to_set(const struct stat& wanted, unsigned valid) {
  const auto asks = [&](unsigned bit) { return (valid & bit) != 0; };
  SetAttr set;
  if (asks(FUSE_SET_ATTR_MODE)) set.mode = wanted.st_mode & 07777U;
  if (asks(FUSE_SET_ATTR_UID)) set.uid = wanted.st_uid;
  if (asks(FUSE_SET_ATTR_GID)) set.gid = wanted.st_gid;
  if (asks(FUSE_SET_ATTR_SIZE)) set.size_bytes = static_cast<std::uint64_t>(wanted.st_size);
  set.atime_now = asks(FUSE_SET_ATTR_ATIME_NOW);
  set.mtime_now = asks(FUSE_SET_ATTR_MTIME_NOW);
  if (asks(FUSE_SET_ATTR_ATIME) && !set.atime_now) set.atime = to_timestamp(wanted.st_atim);
  if (asks(FUSE_SET_ATTR_MTIME) && !set.mtime_now) set.mtime = to_timestamp(wanted.st_mtim);
  if (asks(FUSE_SET_ATTR_CTIME)) set.ctime = to_timestamp(wanted.st_ctim);
  // The bit on the wire that libfuse names KILL_SUID is the kernel's FATTR_KILL_SUIDGID.
  set.kill_suid_sgid = asks(FUSE_SET_ATTR_KILL_SUID);
  return set;
}

// In writeback mode the kernel still writes back the times of a file whose last name is gone (an
// unlink changes its ctime). There is nothing left to keep, and an error would make the next
// syncfs(2) fail, and with it every snapshot.
bool is_late_time_flush(const Result<Found>& found, unsigned bits) {
  constexpr unsigned kTimes = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME;
  return !found && found.error().to_errno() == ESTALE && (bits & ~kTimes) == 0;
}

Result<Found> set_attributes(fuse_req_t request, NodeId node, const SetAttr& set) {
  TRY(require_live(node));
  Edge& edge = edge_of(request);
  TRY_ASSIGN(const Attr attr, edge.fs.setattr(origin_of(request), ino_of(node), set));
  if (set.size_bytes) edge.held.size_was_set(ino_of(node));
  return Found{node, attr.record};
}

// With the handle of a cached writer it is a write(2) that asks: see space_gate.h.
void do_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Edge& edge = edge_of(request);
  if (is_live(node) && file != nullptr && (file->fh & kHandleCached) != 0) {
    return edge.space_gate.ask_for_cached_write(ino_of(node),
                                                [&edge, request, node](const Status& admitted) {
                                                  if (!admitted)
                                                    return reply_error(request, admitted.error());
                                                  reply_attr(request, find_node(edge, node));
                                                });
  }
  if (is_live(node)) edge.space_gate.before_attributes(ino_of(node));
  reply_attr(request, find_node(edge, node));
}

void do_setattr(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int valid,
                fuse_file_info*) {
  const auto bits = static_cast<unsigned>(valid);
  Edge& edge = edge_of(request);
  if (is_live(node)) {
    switch (edge.held.take(request, ino_of(node), bits)) {
      case HeldFiles::Taken::kNo:
        break;
      case HeldFiles::Taken::kAnsweredLater:
        return;
      case HeldFiles::Taken::kAnswerUnchanged:
        return reply_attr(request, find_node(edge, node));
    }
  }
  Result<Found> changed = set_attributes(request, node, to_set(*wanted, bits));
  if (is_late_time_flush(changed, bits)) changed = Found{node, {}};
  reply_attr(request, changed);
}

Result<struct statvfs> file_system_space(Edge& edge) {
  constexpr std::uint64_t kBlock = 4096;
  TRY_ASSIGN(const DiskSpace disk, edge.engine.io().disk_space(edge.engine.store()));
  const SpaceReport room = edge.engine.space().refresh();
  struct statvfs space {};
  space.f_bsize = kBlock;
  space.f_frsize = kBlock;
  space.f_blocks = disk.total_bytes / kBlock;
  // What new data may take, so that who looks before writing is not led to believe in more.
  space.f_bfree = space.f_bavail = std::min(disk.available_bytes, room.headroom_bytes) / kBlock;
  space.f_ffree = space.f_favail = kInoMax - edge.engine.live().next_ino();
  space.f_files = edge.engine.live().totals().inode_count + space.f_ffree;
  space.f_namemax = kNameSizeMax;
  return space;
}

void do_statfs(fuse_req_t request, fuse_ino_t) {
  const Result<struct statvfs> space = file_system_space(edge_of(request));
  if (!space) return reply_error(request, space.error());
  fuse_reply_statfs(request, &*space);
}

}  // namespace

void add_attr_handlers(fuse_lowlevel_ops& ops) {
  ops.getattr = do_getattr;
  ops.setattr = do_setattr;
  ops.statfs = do_statfs;
}

}  // namespace amberfs
