// SPDX-License-Identifier: Apache-2.0
// Handlers of directories: opendir, readdir, readdirplus, releasedir, fsyncdir.
#include "blockstore/base/log.h"
#include "fs/fuse/directory_buffer.h"
#include "fs/fuse/fuse_edge.h"

#include <dirent.h>

#include <cerrno>

namespace amberfs {
namespace {

constexpr std::uint64_t kSelfCookie = 1;
constexpr std::uint64_t kParentCookie = 2;
static_assert(kParentCookie < kFirstCookie);
// Behind every name: cookies of names have 62 bits.
constexpr std::uint64_t kSnapshotsCookie = (std::uint64_t{1} << 62) + 1;

Status open_directory(fuse_req_t request, NodeId node, fuse_file_info& directory) {
  // The kernel may keep a listing: it changes through this server only, which tells the kernel of
  // what the kernel did not ask for.
  directory.cache_readdir = is_virtual(node) ? 0 : 1;
  directory.keep_cache = directory.cache_readdir;
  if (is_live(node)) return open_live(request, {ino_of(node), 0}, directory);
  TRY(find_node(edge_of(request), node));
  return ok();
}

void do_opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* directory) {
  if (Status opened = open_directory(request, node, *directory); !opened) {
    return reply_error(request, opened.error());
  }
  if (fuse_reply_open(request, directory) == -ENOENT && is_live(node)) {
    close_live(edge_of(request), ino_of(node), *directory);
  }
}

void do_releasedir(fuse_req_t request, fuse_ino_t node, fuse_file_info* directory) {
  if (is_live(node)) close_live(edge_of(request), ino_of(node), *directory);
  fuse_reply_err(request, 0);
}

Status list_view(Edge& edge, NodeId directory, std::uint64_t after, DirectoryBuffer& buffer) {
  TRY_ASSIGN(const auto view, view_of_node(edge, directory));
  const std::uint64_t number = view_number(directory);
  bool full = false;
  if (after >= kSnapshotsCookie) return ok();
  TRY(view->list_directory(ino_of(directory), after, [&](const View::DirectoryEntry& entry) {
    full = !buffer.add(
        {entry.name, make_node(number, entry.dirent.ino), entry.dirent.type, entry.cookie});
    return !full;
  }));
  const bool is_live_root = directory == make_node(kLiveView, kRootIno);
  if (!full && is_live_root && edge.show_snapshots && !edge.past.is_hidden()) {
    (void)buffer.add({Bytes(kSnapshotsName), kSnapshotsNode, DT_DIR, kSnapshotsCookie});
  }
  return ok();
}

Status list_node(Edge& edge, NodeId directory, std::uint64_t after, DirectoryBuffer& buffer) {
  if (after < kSelfCookie) {
    if (!buffer.add({".", directory, DT_DIR, kSelfCookie})) return ok();
  }
  if (after < kParentCookie) {
    const Result<Found> parent = find_child(edge, directory, "..");
    const NodeId node = parent ? parent->node : directory;  // a removed directory has none
    if (!buffer.add({"..", node, DT_DIR, kParentCookie})) return ok();
  }
  if (!is_virtual(directory)) return list_view(edge, directory, after, buffer);
  return edge.past.list(directory, after, [&](const Past::Entry& entry) {
    return buffer.add({entry.name, entry.node, entry.type, entry.cookie});
  });
}

void reply_directory(fuse_req_t request, NodeId node, DirectoryBuffer buffer, off_t after) {
  Edge& edge = edge_of(request);
  const Status listed = list_node(edge, node, static_cast<std::uint64_t>(after), buffer);
  if (!listed) return reply_error(request, listed.error());
  const ByteView reply = buffer.finish([&](const ListedName& name, fuse_entry_param& entry) {
    // A name whose inode is just going, or is damaged, is listed without attributes.
    if (const Result<Found> found = find_node(edge, name.node)) entry = to_entry(*found);
  });
  fuse_reply_buf(request, reply.data(), reply.size());
}

void do_readdir(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t after,
                fuse_file_info*) {
  reply_directory(request, node,
                  DirectoryBuffer(request, size, static_cast<std::uint64_t>(after), false), after);
}

void do_readdirplus(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t after,
                    fuse_file_info*) {
  reply_directory(request, node,
                  DirectoryBuffer(request, size, static_cast<std::uint64_t>(after), true), after);
}

void do_fsyncdir(fuse_req_t request, fuse_ino_t node, int, fuse_file_info*) {
  reply_status(request, is_live(node) ? edge_of(request).fs.sync() : ok());
}

}  // namespace

bool DirectoryBuffer::add(ListedName name) {
  const std::size_t size = size_of(name);
  const bool same_cookie = !names_.empty() && names_.back().cookie == name.cookie;
  if (!same_cookie) whole_ = names_.size();
  if (used_ + size > size_max_) {
    if (whole_ == 0) whole_ = names_.size();  // more of one cookie than a buffer holds
    names_.resize(whole_);
    full_ = true;
    return false;
  }
  used_ += size;
  names_.push_back(std::move(name));
  return true;
}

std::size_t DirectoryBuffer::size_of(const ListedName& name) const {
  const char* text = name.name.c_str();
  return plus_ ? fuse_add_direntry_plus(request_, nullptr, 0, text, nullptr, 0)
               : fuse_add_direntry(request_, nullptr, 0, text, nullptr, 0);
}

void add_directory_handlers(fuse_lowlevel_ops& ops) {
  ops.opendir = do_opendir;
  ops.readdir = do_readdir;
  ops.readdirplus = do_readdirplus;
  ops.releasedir = do_releasedir;
  ops.fsyncdir = do_fsyncdir;
}

}  // namespace amberfs
