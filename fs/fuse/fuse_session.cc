// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_session.h"

#include "blockstore/base/log.h"
#include "fs/fuse/device_protocol.h"
#include "fs/fuse/mount_point.h"
#include "fs/fuse/raw_request.h"

#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <thread>

namespace amberfs {
namespace {

constexpr unsigned kRequestSizeMax = kMiB;  // of reads and writes; also what libfuse can take
constexpr unsigned kReadAheadKiB = 1024;
// Requests that the kernel makes on its own account (read-ahead, late writes) at the same time.
constexpr unsigned kBackgroundMax = 256;

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

Edge& edge_of_io(void* data) {
  return *static_cast<Edge*>(data);
}

// INIT as it was saved: every server answers it, so that libfuse knows what was agreed.
ssize_t read_saved_init(const Edge& edge, std::span<char> buffer) {
  const ByteView init = edge.state.init_request();
  if (init.size() > buffer.size()) return 0;
  std::memcpy(buffer.data(), init.data(), init.size());
  peek_request(init);
  return static_cast<ssize_t>(init.size());
}

// When a server is killed just while the kernel hands it a request, the kernel finishes, unless it
// first had to bring in a page of the buffer: that it refuses a dying process, and fails the
// request with EIO. So the pages are there before, and stay.
void make_present(char* buffer, std::size_t size) {
  thread_local const char* present = nullptr;
  if (present == buffer) return;
  std::memset(buffer, 0, size);
  (void)::mlock(buffer, size);  // where it is not allowed: as long as memory is not short
  present = buffer;
}

// The head of the request lands in memory that outlives this server, the rest where libfuse wants
// it.
ssize_t read_device(int fd, void* buffer, std::size_t size, void* data) {
  constexpr std::size_t kHead = MountState::kRequestHeadSize;
  Edge& edge = edge_of_io(data);
  if (!edge.agreed) return read_saved_init(edge, {static_cast<char*>(buffer), size});
  MountState::Slot& slot = edge.state.slot();
  char* const target = static_cast<char*>(buffer);
  make_present(target, size);
  const iovec parts[2] = {{slot.head, kHead}, {target + kHead, size - kHead}};
  const ssize_t got = ::readv(fd, parts, 2);
  if (got <= 0) return got;
  std::memcpy(target, slot.head, kHead);
  peek_request({target, static_cast<std::size_t>(got)});
  // Should this server die as well before it answers, the next one must know.
  if (current_request().resent && was_applied(edge)) edge.state.applied(current_request().id);
  return got;
}

ssize_t write_device(int fd, iovec* parts, int count, void* data) {
  const bool is_init = patch_init_reply(parts, count);
  const ssize_t written = ::writev(fd, parts, count);
  if (!is_init) return written;
  if (written > 0) raise_read_ahead(edge_of_io(data).place.path);
  if (written >= 0 || errno != ENOENT) return written;
  // The kernel had its answer from an earlier server.
  ssize_t size = 0;
  for (int i = 0; i < count; ++i) size += static_cast<ssize_t>(parts[i].iov_len);
  return size;
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

[[gnu::format(printf, 2, 0)]] void log_of_libfuse(fuse_log_level level, const char* format,
                                                  std::va_list arguments) {
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

// A signal without effect: it ends a thread's wait for a request.
constexpr int kWakeSignal = SIGUSR2;

void install_wake_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(kWakeSignal, &action, nullptr);
}

}  // namespace

Result<std::unique_ptr<FuseSession>> FuseSession::open(Edge& edge, FuseDevice device,
                                                       const MountOptions& options) {
  std::unique_ptr<FuseSession> session(new FuseSession(edge));
  TRY(session->start(std::move(device), options));
  return session;
}

FuseSession::~FuseSession() {
  loop_.reset();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

Status FuseSession::start(FuseDevice device, const MountOptions& options) {
  fuse_set_log_func(log_of_libfuse);
  install_wake_signal();
  TRY_ASSIGN(session_, new_libfuse_session(edge_.engine.store(), options, all_handlers(), &edge_));
  fuse_custom_io io{};
  io.read = read_device;
  io.writev = write_device;
  const int set = fuse_session_custom_io(session_, &io, device.fd());
  if (set != 0) return fail(Errc::kMountFailed, -set, "use the device of", edge_.place.path);
  (void)device.release();  // libfuse closes it
  fuse_buf request{};
  const int got = fuse_session_receive_buf(session_, &request);
  if (got > 0) fuse_session_process_buf(session_, &request);
  std::free(request.mem);
  if (got <= 0 || fuse_session_exited(session_) != 0) {
    return fail(Errc::kMountFailed, -std::min(got, 0), "agree with the kernel on",
                edge_.place.path);
  }
  edge_.agreed = true;
  edge_.device_fd = fuse_session_fd(session_);
  edge_.may_resend = options.resend && kernel_can_resend();
  loop_ = std::make_unique<RequestLoop>(session_);
  return ok();
}

Status FuseSession::ask_to_resend() {
  const fuse_out_header notice = resend_notice();
  if (::write(fuse_session_fd(session_), &notice, sizeof notice) == sizeof notice) return ok();
  return fail(Errc::kMountFailed, errno, "ask the kernel to send unanswered requests again",
              edge_.place.path);
}

// Without resending, nobody else would ever answer them.
void FuseSession::fail_unanswered() {
  for (const MountState::Unanswered& request : edge_.state.read_before()) {
    const bool only_looks = request.opcode == FUSE_LOOKUP || request.opcode == FUSE_GETATTR ||
                            request.opcode == FUSE_OPEN || request.opcode == FUSE_READ ||
                            request.opcode == FUSE_READDIR || request.opcode == FUSE_READDIRPLUS;
    fuse_out_header reply{};
    reply.len = sizeof reply;
    reply.unique = request.id;
    reply.error = only_looks ? -EINTR : -EIO;
    if (::write(fuse_session_fd(session_), &reply, sizeof reply) == sizeof reply) {
      log_warning("request {} (operation {}) was under way when the server died: it fails",
                  request.id, request.opcode);
    }
  }
}

void FuseSession::take_over(bool may_resend) {
  Status resent = may_resend ? ask_to_resend() : Status(fail(posix_error(EINVAL)));
  if (resent) return;
  if (may_resend) log_warning("{}", resent.error().to_string());
  fail_unanswered();
}

Status FuseSession::serve() {
  // The kernel must not write out pages of this mount to make room for the server's own disk
  // writes. Request threads inherit it. Without the right to it, memory pressure is a risk.
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) {
    log_line(LogLevel::kDebug, fmt::format("not an I/O flusher: {}", std::strerror(errno)));
  }
  Status served = loop_->run();
  served_ = true;
  return served;
}

void FuseSession::stop_serving() {
  fuse_session_exit(session_);
  loop_->wake();
  // A thread may go to sleep just after it was woken: again until all have left.
  constexpr auto kPause = std::chrono::milliseconds(2);
  while (!served_) {
    edge_.state.for_each_reader([](pid_t thread) { ::tgkill(::getpid(), thread, kWakeSignal); });
    std::this_thread::sleep_for(kPause);
  }
}

bool FuseSession::is_mounted() const {
  const auto found = find_mount(edge_.place.path);
  return found && found->number == edge_.place.device;
}

void FuseSession::unmount(How how) {
  // Never what is mounted below.
  if (!is_mounted()) return;
  const char* point = edge_.place.path.c_str();
  if (how == How::kFlush && unmount_with_helper()) return;
  // MNT_FORCE ends the connection, so the request threads end; what programs still do there fails.
  if (::umount2(point, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  if (errno == EPERM) return unmount_as_user();
  log_warning("unmount {}: {}", edge_.place.path, std::strerror(errno));
}

// The kernel writes out pages, and the requests for that must not be waited for by a server that
// may be killed meanwhile.
bool FuseSession::unmount_with_helper() {
  const auto channel = edge_.place.helper->channel();
  return channel && (*channel)
                        ->call({.op = MountHelper::Op::kUnmount,
                                .number = UMOUNT_NOFOLLOW,
                                .path = edge_.place.path})
                        .has_value();
}

// Through a set-user-id program; the connection's own switch is the mounting user's.
void FuseSession::unmount_as_user() {
  run_fusermount(edge_.place.path);
  std::ofstream("/sys/fs/fuse/connections/" + std::to_string(minor(edge_.place.device)) + "/abort")
      << 1;
}

}  // namespace amberfs
