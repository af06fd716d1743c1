// SPDX-License-Identifier: Apache-2.0
// Handlers of file data: create, open, release, read, write, flush, fsync, fallocate, lseek,
// copy_file_range, ioctl.
#include "blockstore/base/log.h"
#include "fs/extent_read.h"
#include "fs/fuse/fuse_edge.h"
#include "fs/fuse/raw_request.h"
#include "fs/fuse/request_loop.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace amberfs {
namespace {

bool opens_for_writing(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY;
}

// ---- open and release

// The kernel sends O_TRUNC with the open: the truncation is part of it.
Status truncate_at_open(fuse_req_t request, Ino ino) {
  Edge& edge = edge_of(request);
  SetAttr empty;
  empty.size_bytes = 0;
  empty.kill_suid_sgid = current_request().kill_suid_sgid;
  TRY(edge.fs.setattr(origin_of(request), ino, empty));
  edge.held.size_was_set(ino);
  return ok();
}

Status open_file(fuse_req_t request, Ino ino, bool exact, fuse_file_info& file) {
  SpaceGate& gate = edge_of(request).space_gate;
  const bool writes = opens_for_writing(file.flags);
  const bool direct = exact || (writes && gate.opens_direct());
  std::uint32_t flags = exact ? std::uint32_t{kHandleExact} : 0;
  if (writes) flags |= direct ? kHandleWrites : kHandleWrites | kHandleCached;
  if ((file.flags & O_APPEND) != 0) flags |= kHandleAppends;
  file.direct_io = direct ? 1 : 0;
  file.keep_cache = 1;  // all changes go through this server
  const fuse_ctx& who = *fuse_req_ctx(request);
  return open_live(request, {ino, flags, who.uid, static_cast<std::uint32_t>(who.pid)}, file);
}

Status open_node(fuse_req_t request, NodeId node, fuse_file_info& file) {
  const bool truncate = (file.flags & O_TRUNC) != 0;
  if (!is_live(node)) {
    if (opens_for_writing(file.flags) || truncate) return fail(posix_error(EROFS));
    TRY(find_node(edge_of(request), node));
    file.keep_cache = 1;
    return ok();
  }
  const Ino ino = ino_of(node);
  TRY(open_file(request, ino, is_exact(edge_of(request), ino), file));
  if (!truncate) return ok();
  Status cut = truncate_at_open(request, ino);
  if (!cut) close_live(edge_of(request), ino, file);
  return cut;
}

void do_open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  if (Status opened = open_node(request, node, *file); !opened) {
    return reply_error(request, opened.error());
  }
  // The program was interrupted: nobody will release the file.
  if (fuse_reply_open(request, file) == -ENOENT && is_live(node)) {
    close_live(edge_of(request), ino_of(node), *file);
  }
}

Result<Found> create(fuse_req_t request, NodeId parent, ByteView name,
                     std::pair<mode_t, fuse_file_info*> how) {
  TRY(require_live(parent));
  const auto [mode, file] = how;
  Edge& edge = edge_of(request);
  if (parent == make_node(kLiveView, kRootIno) && name == kSnapshotsName) {
    return fail(posix_error(EEXIST));
  }
  const NewInode inode{
      .mode = (mode & 07777U) | S_IFREG, .umask = fuse_req_ctx(request)->umask, .rdev = 0};
  const Ino directory = ino_of(parent);
  const bool done = was_applied(edge);
  Result<Attr> made = done ? edge.fs.lookup(directory, name)
                           : edge.fs.make(origin_of(request), directory, name, inode);
  const bool taken = !made && made.error().code == Errc::kPosix && made.error().sys_errno == EEXIST;
  if (taken && (file->flags & O_EXCL) == 0) {  // someone was faster: open theirs
    made = edge.fs.lookup(directory, name);
    if (made && !S_ISREG(made->record.mode)) return fail(posix_error(EEXIST));
  }
  if (!made) return fail(made.error());
  TRY(open_file(request, made->ino, is_exact(edge, directory, name), *file));
  if (taken && (file->flags & O_TRUNC) != 0) {
    if (Status cut = truncate_at_open(request, made->ino); !cut) {
      close_live(edge, made->ino, *file);
      return fail(cut.error());
    }
    made->record.size_bytes = 0;
  }
  return Found{make_node(kLiveView, made->ino), made->record};
}

void do_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* file) {
  const Result<Found> made = create(request, parent, name, {mode, file});
  if (!made) return reply_error(request, made.error());
  const fuse_entry_param entry = to_entry(*made);
  if (fuse_reply_create(request, &entry, file) == -ENOENT) {
    close_live(edge_of(request), ino_of(made->node), *file);
  }
}

void do_release(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  if (is_live(node)) close_live(edge_of(request), ino_of(node), *file);
  fuse_reply_err(request, 0);
}

// ---- read and write

// Buffers are kept: a request thread serves many reads.
char* read_buffer(std::size_t size) {
  thread_local std::unique_ptr<char[]> buffer;
  thread_local std::size_t capacity = 0;
  if (capacity < size) {
    buffer = std::make_unique_for_overwrite<char[]>(size);
    capacity = size;
  }
  return buffer.get();
}

Result<std::size_t> read_live(Edge& edge, Ino ino, HeldFiles::Range range, char* target) {
  if (!edge.held.any()) return edge.fs.read(ino, range.offset, target, range.size);
  const auto pieces = edge.held.place_read(ino, range);
  std::size_t end = 0;
  if (pieces.size() > 1) std::memset(target, 0, range.size);
  for (const auto& piece : pieces) {
    TRY_ASSIGN(const std::size_t got,
               edge.fs.read(ino, piece.offset, target + piece.skip, piece.size));
    if (got > 0) end = piece.skip + got;
  }
  return end;
}

Result<std::size_t> read_node(Edge& edge, NodeId node, HeldFiles::Range range, char* target) {
  if (is_live(node)) return read_live(edge, ino_of(node), range, target);
  TRY_ASSIGN(const auto view, view_of_node(edge, node));
  return edge.fs.data().read(*view, ino_of(node), range.offset, target, range.size);
}

void do_read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  char* buffer = read_buffer(size);
  const auto got =
      read_node(edge_of(request), node, {static_cast<std::uint64_t>(offset), size}, buffer);
  if (!got) return reply_error(request, got.error());
  fuse_reply_buf(request, buffer, *got);
}

Status write_live(fuse_req_t request, Ino ino, std::uint64_t offset,
                  std::pair<ByteView, const fuse_file_info*> what) {
  Edge& edge = edge_of(request);
  const auto [data, file] = what;
  const bool late = file->writepage != 0;
  const WriteFlags flags{.from_page_cache = late,
                         .kill_suid_sgid = current_request().kill_suid_sgid};
  const Origin who = late ? origin_without_command(request) : origin_of(request);
  if (!edge.held.any()) return edge.fs.write(who, ino, offset, data, flags);
  for (const auto& piece : edge.held.place_write(ino, {offset, data.size()}, late)) {
    TRY(edge.fs.write(who, ino, piece.offset, data.substr(piece.skip, piece.size), flags));
  }
  return ok();
}

// NOLINTNEXTLINE: the signature is libfuse's.
void do_write(fuse_req_t request, fuse_ino_t node, const char* data, std::size_t size, off_t offset,
              fuse_file_info* file) {
  Status written = require_live(node);
  if (written) {
    written = write_live(request, ino_of(node), static_cast<std::uint64_t>(offset),
                         {ByteView(data, size), file});
  }
  if (!written) {
    if (file->writepage != 0) {
      edge_of(request).open_files.note_lost(ino_of(node), written.error().to_errno());
    }
    return reply_error(request, written.error());
  }
  fuse_reply_write(request, size);
}

bool is_live_writer(fuse_ino_t node, const fuse_file_info* file) {
  return is_live(node) && (file->fh & kHandleWrites) != 0;
}

// Bytes are in the journal as soon as a write was answered: close(2) has nothing to add, but for
// those that were refused.
void do_flush(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  const bool writer = is_live_writer(node, file);
  fuse_reply_err(request, writer ? edge_of(request).open_files.lost_errno(ino_of(node)) : 0);
}

void do_fsync(fuse_req_t request, fuse_ino_t node, int, fuse_file_info* file) {
  if (is_live_writer(node, file)) edge_of(request).open_files.forget_lost(ino_of(node));
  if (!is_live(node)) return reply_status(request, ok());
  Edge& edge = edge_of(request);
  edge.late_sync.answer(request, is_request_waiting(edge.device_fd));
}

// ---- ranges

std::optional<Preallocate> to_preallocate(int mode) {
  switch (mode) {
    case 0:
      return Preallocate::kAllocate;
    case FALLOC_FL_KEEP_SIZE:
      return Preallocate::kKeepSize;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      return Preallocate::kPunchHole;
    case FALLOC_FL_ZERO_RANGE:
      return Preallocate::kZeroRange;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      return Preallocate::kZeroRangeKeepSize;
    default:
      return std::nullopt;
  }
}

Status preallocate(fuse_req_t request, NodeId node, int mode, HeldFiles::Range range) {
  TRY(require_live(node));
  const auto how = to_preallocate(mode);
  if (!how) return fail(posix_error(EOPNOTSUPP));
  return edge_of(request).fs.preallocate(origin_of(request), ino_of(node), *how, range.offset,
                                         range.size);
}

// NOLINTNEXTLINE: the signature is libfuse's.
void do_fallocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t length,
                  fuse_file_info*) {
  reply_status(request,
               preallocate(request, node, mode,
                           {static_cast<std::uint64_t>(offset), static_cast<std::size_t>(length)}));
}

Result<std::uint64_t> seek_in_snapshot(Edge& edge, NodeId node, std::uint64_t offset,
                                       bool want_data) {
  TRY_ASSIGN(const auto view, view_of_node(edge, node));
  return seek_extents(*view, ino_of(node), offset, want_data);
}

void do_lseek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info*) {
  Edge& edge = edge_of(request);
  const bool want_data = whence == SEEK_DATA;
  const auto from = static_cast<std::uint64_t>(offset);
  if (!want_data && whence != SEEK_HOLE) {
    fuse_reply_err(request, EINVAL);
  } else if (!is_live(node)) {
    reply_seek(request, seek_in_snapshot(edge, node, from, want_data));
  } else if (edge.open_files.has_writer(ino_of(node))) {
    edge.late_seek.answer_later({request, ino_of(node), from, want_data});
  } else {
    reply_seek(request, edge.fs.seek(ino_of(node), from, want_data));
  }
}

// NOLINTNEXTLINE: the signature is libfuse's.
void do_copy_file_range(fuse_req_t request, fuse_ino_t source, off_t source_offset, fuse_file_info*,
                        fuse_ino_t target, off_t target_offset, fuse_file_info*, std::size_t size,
                        int) {
  if (!is_live(target)) {
    fuse_reply_err(request, EROFS);
    return;
  }
  if (!is_live(source)) {
    fuse_reply_err(request, EXDEV);  // the kernel then copies the bytes
    return;
  }
  const auto copied = edge_of(request).fs.copy_range(
      origin_of(request), {.source = ino_of(source),
                           .source_offset = static_cast<std::uint64_t>(source_offset),
                           .target = ino_of(target),
                           .target_offset = static_cast<std::uint64_t>(target_offset),
                           .size = size});
  if (!copied) return reply_error(request, copied.error());
  fuse_reply_write(request, *copied);
}

// NOLINTNEXTLINE: the signature is libfuse's.
void do_ioctl(fuse_req_t request, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned,
              const void*, std::size_t, std::size_t) {
  fuse_reply_err(request, ENOTTY);
}

}  // namespace

void add_data_handlers(fuse_lowlevel_ops& ops) {
  ops.create = do_create;
  ops.open = do_open;
  ops.release = do_release;
  ops.read = do_read;
  ops.write = do_write;
  ops.flush = do_flush;
  ops.fsync = do_fsync;
  ops.fallocate = do_fallocate;
  ops.lseek = do_lseek;
  ops.copy_file_range = do_copy_file_range;
  ops.ioctl = do_ioctl;
}

}  // namespace amberfs
