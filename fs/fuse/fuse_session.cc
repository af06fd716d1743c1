// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_session.h"

#include "blockstore/base/log.h"
#include "fs/fuse/mount_point.h"
#include "fs/fuse/raw_request.h"

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstring>
#include <fstream>

namespace amberfs {
namespace {

constexpr unsigned kRequestSizeMax = kMiB;  // of reads and writes; also what libfuse can take
constexpr unsigned kReadAheadKiB = 1024;
// Requests that the kernel makes on its own account (read-ahead, late writes) at the same time.
constexpr unsigned kBackgroundMax = 256;
constexpr unsigned kThreadsMax = 128;
constexpr unsigned kIdleThreadsMax = 16;

// ---- what the kernel and the server agree on

void want(fuse_conn_info& connection, unsigned capability) {
  connection.want |= connection.capable & capability;
}

void do_init(void* data, fuse_conn_info* connection) {
  want(*connection, FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK |
                        FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                        FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
                        FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_EXPORT_SUPPORT |
                        FUSE_CAP_CACHE_SYMLINKS);
  connection->want &=
      ~unsigned{FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
                FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE};
  connection->max_write = std::min(connection->max_write, kRequestSizeMax);
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
  connection->time_gran = 1;
  connection->max_read = static_cast<Edge*>(data)->max_read;
}

// The kernel's default of 128 KiB is for disks; INIT can only make it smaller.
void raise_read_ahead(const std::string& mount_point) {
  const auto mounted = find_mount(mount_point);
  if (!mounted) return;
  std::ofstream file("/sys/class/bdi/" + mounted->device + "/read_ahead_kb");
  file << kReadAheadKiB;  // without the right to it, reads are only slower
}

// ---- the device (custom io)

ssize_t read_device(int fd, void* buffer, std::size_t size, void*) {
  const ssize_t got = ::read(fd, buffer, size);
  if (got > 0) peek_request({static_cast<const char*>(buffer), static_cast<std::size_t>(got)});
  return got;
}

ssize_t write_device(int fd, iovec* parts, int count, void* data) {
  const bool is_init = patch_init_reply(parts, count);
  const ssize_t written = ::writev(fd, parts, count);
  const int error = errno;
  if (is_init && written > 0) raise_read_ahead(static_cast<Edge*>(data)->place.path);
  errno = error;
  return written;
}

fuse_lowlevel_ops all_handlers() {
  fuse_lowlevel_ops ops{};
  ops.init = do_init;
  add_name_handlers(ops);
  add_attr_handlers(ops);
  add_data_handlers(ops);
  add_directory_handlers(ops);
  add_xattr_handlers(ops);
  return ops;
}

void log_of_libfuse(fuse_log_level level, const char* format, std::va_list arguments) {
  std::array<char, 1024> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  std::string_view text(line.data());
  while (text.ends_with('\n')) text.remove_suffix(1);
  log_line(level <= FUSE_LOG_ERR ? LogLevel::kWarning : LogLevel::kInfo, text);
}

// Unmounting as an ordinary user goes through a set-user-id program.
void run_fusermount(const std::string& mount_point) {
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    ::execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", mount_point.c_str(), nullptr);
    ::_exit(127);
  }
  ::waitpid(child, nullptr, 0);
}

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ',' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

}  // namespace

std::string libfuse_options(const std::string& store, const MountOptions& options, bool as_root) {
  std::string text = "default_permissions,subtype=amberfs,fsname=" + escape(store);
  // A file system mounted by root has devices and set-user-id programs like any other.
  if (as_root) text += ",suid,dev";
  const bool asked = std::ranges::find(options.extra, "allow_other") != options.extra.end();
  // Ordinary users may say it only where /etc/fuse.conf allows it.
  if (as_root && options.allow_other && !asked) text += ",allow_other";
  if (options.read_only) text += ",ro";
  if (options.debug) text += ",debug";
  for (const std::string& option : options.extra) text += "," + option;
  return text;
}

Result<std::unique_ptr<FuseSession>> FuseSession::open(Edge& edge, const MountOptions& options) {
  std::unique_ptr<FuseSession> session(new FuseSession(edge));
  TRY(session->mount(options));
  return session;
}

Status FuseSession::mount(const MountOptions& options) {
  fuse_set_log_func(log_of_libfuse);
  const std::string text = libfuse_options(edge_.engine.store(), options, ::geteuid() == 0);
  fuse_args arguments{};
  const bool added = fuse_opt_add_arg(&arguments, "amberfs") == 0 &&
                     fuse_opt_add_arg(&arguments, "-o") == 0 &&
                     fuse_opt_add_arg(&arguments, text.c_str()) == 0;
  const fuse_lowlevel_ops ops = all_handlers();
  if (added) session_ = fuse_session_new(&arguments, &ops, sizeof ops, &edge_);
  fuse_opt_free_args(&arguments);
  if (session_ == nullptr) return fail(Errc::kMountFailed, 0, "start libfuse with options", text);
  errno = 0;
  if (fuse_session_mount(session_, edge_.place.path.c_str()) != 0) {
    return fail(Errc::kMountFailed, errno, "mount (options " + text + ")", edge_.place.path);
  }
  mounted_ = true;
  const auto found = find_mount(edge_.place.path);
  if (!found) return fail(Errc::kMountFailed, 0, "find in /proc/self/mountinfo", edge_.place.path);
  edge_.place.device = found->number;
  fuse_custom_io io{};
  io.read = read_device;
  io.writev = write_device;
  const int set = fuse_session_custom_io(session_, &io, fuse_session_fd(session_));
  if (set != 0) return fail(Errc::kMountFailed, -set, "read the device of", edge_.place.path);
  return ok();
}

FuseSession::~FuseSession() {
  close();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

Status FuseSession::serve() {
  // The kernel must not write out pages of this mount to make room for the server's own disk
  // writes. Request threads inherit it. Without the right to it, memory pressure is a risk.
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) {
    log_line(LogLevel::kDebug, fmt::format("not an I/O flusher: {}", std::strerror(errno)));
  }
  fuse_loop_config* config = fuse_loop_cfg_create();
  if (config == nullptr) return fail(Errc::kOutOfMemory, ENOMEM, "start request threads");
  fuse_loop_cfg_set_clone_fd(config, 0);
  fuse_loop_cfg_set_max_threads(config, kThreadsMax);
  fuse_loop_cfg_set_idle_threads(config, kIdleThreadsMax);
  const int result = fuse_session_loop_mt(session_, config);
  fuse_loop_cfg_destroy(config);
  if (result < 0) return fail(Errc::kMountFailed, -result, "serve", edge_.place.path);
  return ok();
}

bool FuseSession::is_mounted() const {
  const auto found = find_mount(edge_.place.path);
  return found && found->number == edge_.place.device;
}

void FuseSession::unmount(How how) {
  // Never what is mounted below.
  if (!is_mounted()) return;
  const char* point = edge_.place.path.c_str();
  if (how == How::kFlush && ::umount2(point, UMOUNT_NOFOLLOW) == 0) return;
  // MNT_FORCE ends the connection, so the request threads end; what programs still do there fails.
  if (::umount2(point, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  if (errno == EPERM) return unmount_as_user();
  log_warning("unmount {}: {}", edge_.place.path, std::strerror(errno));
}

// Through a set-user-id program; the connection's own switch is the mounting user's.
void FuseSession::unmount_as_user() {
  run_fusermount(edge_.place.path);
  std::ofstream("/sys/fs/fuse/connections/" + std::to_string(minor(edge_.place.device)) + "/abort")
      << 1;
}

void FuseSession::close() {
  if (session_ != nullptr && mounted_.exchange(false)) fuse_session_unmount(session_);
}

}  // namespace amberfs
