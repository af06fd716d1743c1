// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_edge.h"

#include "blockstore/base/log.h"
#include "fs/fuse/raw_request.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

namespace amberfs {
namespace {

// All changes of the live tree go through this server, which tells the kernel about those that the
// kernel did not ask for; snapshots never change.
constexpr double kKeepForLongSeconds = 24 * 3600;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Found found_live(const Attr& attr) {
  return {make_node(kLiveView, attr.ino), attr.record};
}

Result<Found> find_in_view(const View& view, NodeId node) {
  TRY_ASSIGN(const InodeRecord record, view.inode(ino_of(node)));
  return Found{node, record};
}

Result<Found> find_child_in_snapshot(Edge& edge, NodeId directory, ByteView name) {
  TRY_ASSIGN(const auto view, edge.past.view(directory));
  const Ino ino = ino_of(directory);
  if (name == ".") return find_in_view(*view, directory);
  if (name == "..") {
    if (ino == kRootIno) return find_node(edge, kSnapshotsNode);
    TRY_ASSIGN(const auto parents, view->parents(ino));
    if (parents.empty()) return fail(posix_error(ESTALE));
    return find_in_view(*view, make_node(view_number(directory), parents.front().ino));
  }
  if (name.size() > kNameSizeMax) return fail(posix_error(ENAMETOOLONG));
  TRY_ASSIGN(const Dirent dirent, view->lookup(ino, name));
  return find_in_view(*view, make_node(view_number(directory), dirent.ino));
}

Result<Found> find_child_in_past(Edge& edge, NodeId directory, ByteView name) {
  if (name == ".") return find_node(edge, directory);
  if (name == "..") {
    const NodeId live_root = make_node(kLiveView, kRootIno);
    return find_node(edge, directory == kSnapshotsNode ? live_root : kSnapshotsNode);
  }
  TRY_ASSIGN(const NodeId child, edge.past.lookup(directory, name, now_ns()));
  return find_node(edge, child);
}

// The file that tells a process's name, kept open: a program mostly asks more than once. It belongs
// to the process, not to its number: when that has ended, reading fails, whoever has the number
// now.
class CommandFile {
 public:
  ~CommandFile() { close(); }
  // As ps shows it; of a thread that was given a name of its own, that one.
  std::string read(pid_t pid) {
    if (pid <= 0) return {};
    if (pid == pid_) {
      if (auto command = read_name()) return *command;
    }
    open(pid);
    return read_name().value_or("");
  }

 private:
  void open(pid_t pid) {
    close();
    std::array<char, 32> path{};
    *fmt::format_to_n(path.data(), path.size() - 1, "/proc/{}/comm", pid).out = '\0';
    fd_ = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    pid_ = pid;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  std::optional<std::string> read_name() const {
    std::array<char, 17> text{};
    const ssize_t size = fd_ < 0 ? -1 : ::pread(fd_, text.data(), text.size() - 1, 0);
    if (size <= 0) return std::nullopt;
    std::string command(text.data(), static_cast<std::size_t>(size));
    if (command.ends_with('\n')) command.pop_back();
    return command;
  }

  int fd_ = -1;
  pid_t pid_ = 0;
};

std::string command_of(pid_t pid) {
  thread_local CommandFile file;
  return file.read(pid);
}

// At most a line a second, and how many were left out: a full disk must not fill the log as well.
void log_failure(fuse_req_t request, const Error& error) {
  static Mutex mu;
  static std::int64_t last_ns = 0;
  static std::uint64_t left_out = 0;
  std::uint64_t before = 0;
  {
    MutexLock lock(mu);
    const std::int64_t now = now_ns();
    if (now - last_ns < 1'000'000'000) {
      ++left_out;
      return;
    }
    last_ns = now;
    before = std::exchange(left_out, 0);
  }
  log_error("request {} (operation {}, pid {}): {}{}", current_request().id,
            current_request().opcode, fuse_req_ctx(request)->pid, error.to_string(),
            before > 0 ? fmt::format(" ({} more failures were not logged)", before) : "");
}

}  // namespace

Edge::Edge(Engine& engine_to_serve, MountState& state_of_mount, MountPlace where, bool show,
           SnapshotsFor whom)
    : engine(engine_to_serve),
      fs(engine_to_serve.filesystem()),
      place(std::move(where)),
      state(state_of_mount),
      show_snapshots(show),
      past(
          engine_to_serve.catalog(),
          [this](const Manifest& manifest) { return engine.view_of(manifest).view; }, whom),
      open_files(state_of_mount),
      late_seek(fs, place),
      late_sync(fs),
      space_gate(engine_to_serve.space(), fs, place) {
  open_files.for_each_inherited([this](const OpenFiles::File& file) {
    fs.inherit_open(file.ino);
    if ((file.flags & kHandleCached) != 0) space_gate.add_cached_writer(file.ino);
  });
  engine.tampering().set_writers([this](Ino ino) { return writers_of(ino); });
}

Edge::~Edge() {
  engine.tampering().set_writers(nullptr);
}

// The programs' names are asked for only now: of one that has ended since there is none.
std::vector<Writer> Edge::writers_of(Ino ino) {
  std::vector<Writer> writers;
  for (const OpenFiles::File& file : open_files.writers_of(ino)) {
    Writer writer;
    writer.who.uid = file.uid;
    writer.who.pid = file.pid;
    writer.who.command = command_of(static_cast<pid_t>(file.pid));
    writer.appends = (file.flags & kHandleAppends) != 0;
    writers.push_back(std::move(writer));
  }
  return writers;
}

Edge& edge_of(fuse_req_t request) {
  return *static_cast<Edge*>(fuse_req_userdata(request));
}

Result<std::shared_ptr<const View>> view_of_node(Edge& edge, NodeId node) {
  if (is_live(node)) return edge.fs.view();
  if (is_virtual(node)) return fail(posix_error(EINVAL));
  return edge.past.view(node);
}

Result<Found> find_node(Edge& edge, NodeId node) {
  if (is_live(node)) {
    TRY_ASSIGN(const Attr attr, edge.fs.getattr(ino_of(node)));
    return found_live(attr);
  }
  if (is_virtual(node)) {
    TRY_ASSIGN(const InodeRecord record, edge.past.attributes(node));
    return Found{node, record};
  }
  TRY_ASSIGN(const auto view, edge.past.view(node));
  return find_in_view(*view, node);
}

Result<Found> find_child(Edge& edge, NodeId directory, ByteView name) {
  if (is_virtual(directory)) return find_child_in_past(edge, directory, name);
  if (is_snapshot(directory)) return find_child_in_snapshot(edge, directory, name);
  if (ino_of(directory) == kRootIno && name == kSnapshotsName) {
    if (edge.past.is_hidden()) return fail(posix_error(ENOENT));
    return find_node(edge, kSnapshotsNode);
  }
  TRY_ASSIGN(const Attr attr, edge.fs.lookup(ino_of(directory), name));
  return found_live(attr);
}

bool was_applied(Edge& edge) {
  const RawRequest& request = current_request();
  return request.resent && (edge.state.applied_before().contains(request.id) ||
                            edge.engine.applied_requests().contains(request.id));
}

Status require_live(NodeId node) {
  return is_live(node) ? ok() : Status(fail(posix_error(EROFS)));
}

Origin origin_without_command(fuse_req_t request) {
  const fuse_ctx& context = *fuse_req_ctx(request);
  return Origin{.request_id = current_request().id,
                .uid = context.uid,
                .gid = context.gid,
                .pid = static_cast<std::uint32_t>(context.pid),
                .command = {}};
}

Origin origin_of(fuse_req_t request) {
  Origin origin = origin_without_command(request);
  origin.command = command_of(fuse_req_ctx(request)->pid);
  return origin;
}

bool is_exact(Edge& edge, Ino ino) {
  const auto& globs = edge.engine.config().exact_globs;
  if (globs.empty()) return false;
  const auto path = edge.fs.view()->path_of(ino);
  return path && *path && matches_any(globs, **path);
}

bool is_exact(Edge& edge, Ino directory, ByteView name) {
  const auto& globs = edge.engine.config().exact_globs;
  if (globs.empty()) return false;
  const auto parent = edge.fs.view()->path_of(directory);
  if (!parent || !*parent) return false;
  const std::string prefix = (*parent)->empty() ? std::string() : **parent + "/";
  return matches_any(globs, prefix + std::string(name));
}

Status open_live(fuse_req_t request, const OpenFiles::File& file, fuse_file_info& info) {
  Edge& edge = edge_of(request);
  const RawRequest& raw = current_request();
  if (raw.resent) {
    if (const auto handle = edge.open_files.find(raw.id, file.ino)) {
      info.fh = *handle;
      return ok();
    }
  }
  TRY(edge.fs.open(file.ino, false, origin_without_command(request)));
  const Result<std::uint64_t> handle = edge.open_files.add(file, raw.id);
  if (!handle) {
    close_live(edge, file.ino, {});
    return fail(handle.error());
  }
  info.fh = *handle;
  if ((file.flags & kHandleCached) != 0) edge.space_gate.add_cached_writer(file.ino);
  return ok();
}

// First the entry: a successor that is asked to release the file again finds none, and the file
// was not open when it took over.
void close_live(Edge& edge, Ino ino, const fuse_file_info& info) {
  if (info.fh != 0 && !edge.open_files.remove(info.fh, ino)) return;
  if ((info.fh & kHandleCached) != 0) edge.space_gate.remove_cached_writer(ino);
  if (Status released = edge.fs.release(ino); !released) {
    log_warning("release inode {}: {}", ino, released.error().to_string());
  }
}

struct stat to_stat(const Found& found) {
  // As other file systems: what stdio sizes its buffers by, so not larger than a page.
  constexpr blksize_t kBlockSize = 4096;
  const InodeRecord& record = found.record;
  struct stat status {};
  status.st_ino = found.node;
  status.st_mode = record.mode;
  status.st_nlink = record.nlink;
  status.st_uid = record.uid;
  status.st_gid = record.gid;
  status.st_rdev = record.rdev;
  status.st_size = static_cast<off_t>(record.size_bytes);
  status.st_blksize = kBlockSize;
  status.st_blocks = static_cast<blkcnt_t>((record.size_bytes + 511) / 512);
  const auto to_timespec = [](const Timestamp& time) {
    return timespec{time.seconds, static_cast<long>(time.nanoseconds)};
  };
  status.st_atim = to_timespec(record.atime);
  status.st_mtim = to_timespec(record.mtime);
  status.st_ctim = to_timespec(record.ctime);
  return status;
}

double keep_seconds(NodeId node) {
  return is_virtual(node) ? 0 : kKeepForLongSeconds;
}

fuse_entry_param to_entry(const Found& found) {
  fuse_entry_param entry{};
  entry.ino = found.node;
  entry.attr = to_stat(found);
  entry.attr_timeout = keep_seconds(found.node);
  // The root of a snapshot stands in a directory that changes.
  const bool in_past = is_snapshot(found.node) && ino_of(found.node) == kRootIno;
  entry.entry_timeout = in_past ? 1 : keep_seconds(found.node);
  return entry;
}

void reply_error(fuse_req_t request, const Error& error) {
  if (error.code != Errc::kPosix) log_failure(request, error);
  fuse_reply_err(request, error.to_errno());
}

void reply_status(fuse_req_t request, const Status& status) {
  if (!status) return reply_error(request, status.error());
  fuse_reply_err(request, 0);
}

void reply_entry(fuse_req_t request, const Result<Found>& found) {
  if (!found) return reply_error(request, found.error());
  const fuse_entry_param entry = to_entry(*found);
  fuse_reply_entry(request, &entry);
}

void reply_attr(fuse_req_t request, const Result<Found>& found) {
  if (!found) return reply_error(request, found.error());
  const struct stat status = to_stat(*found);
  fuse_reply_attr(request, &status, keep_seconds(found->node));
}

void reply_sized(fuse_req_t request, const Result<Bytes>& value, std::size_t size) {
  if (!value) return reply_error(request, value.error());
  if (size == 0) {
    fuse_reply_xattr(request, value->size());
  } else if (value->size() > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value->data(), value->size());
  }
}

}  // namespace amberfs
