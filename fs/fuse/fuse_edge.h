// SPDX-License-Identifier: Apache-2.0
// Edge: where requests of the kernel become calls of FileSystem (live tree) or of a View
// (snapshots), and results become replies. Every handler is: decode → call → reply.
// Flow:    fuse_session (device) → fuse_*.cc handler → FileSystem | Past → reply.
// Threads: handlers run on any thread of the session, at the same time.
// Owns:    past, open files, held files, late seeks and syncs, the space gate; borrows the engine
// and the
//          mount's state.
// Errors:  become an errno in reply_error() and nowhere else; those that are no plain answer to the
//          program (disk, damage) are also logged.
// Files:   fuse_edge.cc (what all handlers share) and a file for each family of handlers:
//          fuse_names.cc fuse_attr.cc fuse_data.cc fuse_dir.cc fuse_xattr.cc
#pragma once

#define FUSE_USE_VERSION 314
#include "fs/engine.h"
#include "fs/fuse/held_files.h"
#include "fs/fuse/late_seek.h"
#include "fs/fuse/late_sync.h"
#include "fs/fuse/mount_state.h"
#include "fs/fuse/open_files.h"
#include "fs/fuse/past.h"
#include "fs/fuse/space_gate.h"
#include "fs/fuse/through_mount.h"

#include <fuse_lowlevel.h>

namespace amberfs {

struct Edge {
  Edge(Engine& engine_to_serve, MountState& state_of_mount, MountPlace where, bool show,
       SnapshotsFor whom);
  ~Edge();
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  // Who has a file of the live tree open for writing, oldest first.
  [[nodiscard]] std::vector<Writer> writers_of(Ino ino);

  Engine& engine;
  FileSystem& fs;
  const MountPlace place;
  MountState& state;
  bool agreed = false;  // with the kernel: INIT is answered
  int device_fd = -1;
  bool may_resend = false;  // the kernel gives a successor what this server leaves unanswered
  const bool show_snapshots;
  std::uint32_t max_read = 0;  // of the mount options; 0: the kernel's
  Past past;
  OpenFiles open_files;
  HeldFiles held;
  LateSeek late_seek;
  LateSync late_sync;
  SpaceGate space_gate;
};

// ---- what handlers share (fuse_edge.cc)
struct Found {
  NodeId node = 0;
  InodeRecord record;
};

[[nodiscard]] Edge& edge_of(fuse_req_t request);
[[nodiscard]] Result<Found> find_node(Edge& edge, NodeId node);
[[nodiscard]] Result<Found> find_child(Edge& edge, NodeId directory, ByteView name);
// The view to read a node of the live tree or of a snapshot through.
[[nodiscard]] Result<std::shared_ptr<const View>> view_of_node(Edge& edge, NodeId node);
// An earlier server applied this request and died before it could answer: only the answer is owed.
[[nodiscard]] bool was_applied(Edge& edge);
// EROFS for what is not in the live tree.
[[nodiscard]] Status require_live(NodeId node);
// Who asks; with the name of the program, unless it is late data of the page cache.
[[nodiscard]] Origin origin_of(fuse_req_t request);
[[nodiscard]] Origin origin_without_command(fuse_req_t request);
[[nodiscard]] bool is_exact(Edge& edge, Ino ino);
[[nodiscard]] bool is_exact(Edge& edge, Ino directory, ByteView name);

// Counts an opening of the live tree and writes it down, once for a request however often it comes.
// The handle is in `info`. What was opened by a reply that nobody waited for is closed again.
[[nodiscard]] Status open_live(fuse_req_t request, const OpenFiles::File& file,
                               fuse_file_info& info);
void close_live(Edge& edge, Ino ino, const fuse_file_info& info);

[[nodiscard]] struct stat to_stat(const Found& found);
// How long the kernel may keep what it was told, in seconds.
[[nodiscard]] double keep_seconds(NodeId node);
[[nodiscard]] fuse_entry_param to_entry(const Found& found);

void reply_error(fuse_req_t request, const Error& error);
void reply_status(fuse_req_t request, const Status& status);
void reply_entry(fuse_req_t request, const Result<Found>& found);
void reply_attr(fuse_req_t request, const Result<Found>& found);
// Two steps of the attribute and value protocols: size 0 asks how large the answer is.
void reply_sized(fuse_req_t request, const Result<Bytes>& value, std::size_t size);

// ---- families of handlers; each fills in its part
void add_name_handlers(fuse_lowlevel_ops& ops);
void add_attr_handlers(fuse_lowlevel_ops& ops);
void add_data_handlers(fuse_lowlevel_ops& ops);
void add_directory_handlers(fuse_lowlevel_ops& ops);
void add_xattr_handlers(fuse_lowlevel_ops& ops);

}  // namespace amberfs
