// SPDX-License-Identifier: Apache-2.0
// amberfs-keeper: holds /dev/fuse while servers come and go, so that programs see a pause when the
// server dies, and never an error. It is small on purpose: one thread, nothing allocated, no look
// at the store; what it does cannot fail for want of anything.
//
//   amberfs-keeper MOUNT-POINT BINARY ARGUMENT…
//
// starts BINARY with the ARGUMENTs and, at the end, --life N --last HOW, and the descriptors of
// fs/fuse/mount_state_layout.h.
//
//   serving ──death──→ waiting (0, 0.1, 0.2 … 3.2 s) ──→ serving
//      │ exit 75           │ too many useless lives in a row
//      ↓                   ↓
//   the next binary     refusing: every request is answered with EIO, until SIGUSR2 (amberfs mount
//                       --recover), SIGTERM, or the end of the mount
//
// A life is useless when it ended before anything new was answered; or when the server crashed
// within kSoon of that (a request that crashes every server), as against being killed from outside.
// Eight crashes in a row are too many, or 32 kills: a kill says less about the server.
// Signals: TERM, INT, HUP go to the server. systemd is told through NOTIFY_SOCKET, the system log
// through /dev/log.
#include "fs/fuse/device_protocol.h"
#include "fs/fuse/mount_state_layout.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>

namespace {

using namespace amberfs;

constexpr int kPointsMax = 32;
constexpr int kPointsOfCrash = 4;
constexpr int kPointsOfKill = 1;
constexpr std::int64_t kSoonMs = 10'000;
constexpr std::int64_t kBackOffMs = 100;
constexpr std::int64_t kBackOffMaxMs = 3200;
constexpr int kArgumentsMax = 64;
constexpr std::size_t kRequestMax = (1 << 20) + 64 * 1024;

enum class Mode { kServing, kWaiting, kRefusing };

// All there is; zero at the start.
struct Keeper {
  const char* mount_point;
  char binary[PATH_MAX];    // of the server that runs, or ran last
  char previous[PATH_MAX];  // to fall back to while a new one has not been ready
  char next[PATH_MAX];      // after a hand-over
  char* arguments[kArgumentsMax];
  char life_text[16];
  char last_text[64];

  Mode mode;
  pid_t server;
  int channel;  // to the server; -1
  int signals;
  unsigned life;
  int useless;         // lives in a row
  int useless_points;  // of these
  std::int64_t start_at_ms;
  std::int64_t settled_at_ms;  // 0: not yet
  bool ready;
  bool ever_ready;
  int pending_signal;  // for the next server
  bool has_key;
  char key[kDataKeySize];  // of an encrypted store, for its servers
  char request[kRequestMax];
};

Keeper keeper;

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void copy_text(char* target, std::size_t size, const char* source) {
  const std::size_t length = ::strnlen(source, size - 1);
  std::memmove(target, source, length);
  target[length] = '\0';
}

// ---- telling others

void send_datagram(const char* socket_path, const char* text, std::size_t size) {
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  copy_text(address.sun_path, sizeof address.sun_path, socket_path);
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(address.sun_path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // systemd's way to write it
  // Nobody listens: nobody to tell.
  (void)::sendto(fd, text, size, MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
  ::close(fd);
}

__attribute__((format(printf, 1, 2))) void say(const char* format, ...) {
  constexpr int kDaemonWarning = (3 << 3) | 4;
  static char text[512];
  const int head =
      std::snprintf(text, sizeof text, "<%d>amberfs-keeper[%d]: ", kDaemonWarning, ::getpid());
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text + head, sizeof text - static_cast<std::size_t>(head), format, arguments);
  va_end(arguments);
  send_datagram("/dev/log", text, std::strlen(text));
}

void tell_systemd(const char* state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path != nullptr && path[0] != '\0') send_datagram(path, state, std::strlen(state));
}

// ---- the data key of an encrypted store

// From the mount command, once. No core file, no look from others: not by ptrace(2), not in /proc.
bool take_key() {
  if (::fcntl(kDataKeyFd, F_GETFD) < 0) return true;
  const rlimit none{0, 0};
  if (::prctl(PR_SET_DUMPABLE, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0) return false;
  (void)::mlock(keeper.key, sizeof keeper.key);  // also when not all can be
  std::size_t done = 0;
  while (done < sizeof keeper.key) {
    const ssize_t n = ::read(kDataKeyFd, keeper.key + done, sizeof keeper.key - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  ::close(kDataKeyFd);
  keeper.has_key = true;
  return true;
}

// The end to read it from; -1 when there is none, or no pipe for it. What a pipe takes at once is
// more than a key, so this never waits.
int pipe_with_key() {
  int ends[2];
  if (!keeper.has_key || ::pipe2(ends, O_CLOEXEC) != 0) return -1;
  const ssize_t n = ::write(ends[1], keeper.key, sizeof keeper.key);
  ::close(ends[1]);
  if (n == static_cast<ssize_t>(sizeof keeper.key)) return ends[0];
  ::close(ends[0]);
  return -1;
}

[[noreturn]] void end(int code) {
  ::explicit_bzero(keeper.key, sizeof keeper.key);
  ::_exit(code);
}

// ---- servers

[[noreturn]] void become_server(int channel, int key) {
  // Out of the way of the places, in which they may lie.
  channel = ::fcntl(channel, F_DUPFD, kDataKeyFd + 1);
  if (key >= 0) key = ::fcntl(key, F_DUPFD, kDataKeyFd + 1);
  ::dup2(channel, kKeeperFd);
  ::close(kDataKeyFd);
  if (key >= 0) ::dup2(key, kDataKeyFd);
  for (const int fd : {kDeviceFd, kStateFd, kReadyFd, kKeeperFd}) ::fcntl(fd, F_SETFD, 0);
  ::close_range(kDataKeyFd + 1, ~0U, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // The keeper's own exemption is not for servers.
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) (void)!::write(fd, "0", 1);
  ::execv(keeper.binary, keeper.arguments);
  ::_exit(127);
}

void wait_to_start(std::int64_t delay_ms) {
  keeper.mode = Mode::kWaiting;
  keeper.start_at_ms = now_ms() + delay_ms;
}

void start_server() {
  int ends[2];
  ++keeper.life;
  std::snprintf(keeper.life_text, sizeof keeper.life_text, "%u", keeper.life);
  keeper.ready = false;
  keeper.settled_at_ms = 0;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return wait_to_start(kBackOffMaxMs);
  }
  const int key = pipe_with_key();
  const pid_t child = keeper.has_key && key < 0 ? -1 : ::fork();
  if (child == 0) become_server(ends[1], key);
  ::close(ends[1]);
  if (key >= 0) ::close(key);
  if (child < 0) {
    ::close(ends[0]);
    return wait_to_start(kBackOffMaxMs);
  }
  keeper.channel = ends[0];
  keeper.server = child;
  keeper.mode = Mode::kServing;
}

void on_ready() {
  keeper.ready = true;
  keeper.previous[0] = '\0';
  if (!keeper.ever_ready) {
    keeper.ever_ready = true;
    ::close(kReadyFd);  // later servers have nobody to report to
    tell_systemd("READY=1\nSTATUS=serving");
  } else {
    tell_systemd("STATUS=serving");
  }
  if (keeper.pending_signal != 0) ::kill(keeper.server, keeper.pending_signal);
  keeper.pending_signal = 0;
}

// Reads what the server says. After its death: what it had said before.
void listen_to_server() {
  static char message[PATH_MAX + 1];
  while (keeper.channel >= 0) {
    const ssize_t size = ::recv(keeper.channel, message, sizeof message - 1, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size == 0 || (size < 0 && errno != EAGAIN)) {
      ::close(keeper.channel);
      keeper.channel = -1;
    }
    if (size <= 0) return;
    message[size] = '\0';
    if (message[0] == kSaysReady) on_ready();
    if (message[0] == kSaysSettled) keeper.settled_at_ms = now_ms();
    if (message[0] == kSaysUpgrade) copy_text(keeper.next, sizeof keeper.next, message + 1);
  }
}

// ---- refusing: nobody serves, but nobody hangs

void write_reply(std::uint64_t unique, int error) {
  fuse_out_header reply{};
  reply.len = sizeof reply;
  reply.error = error;
  reply.unique = unique;
  // ENOENT: it was interrupted. Nothing else can be done about any error.
  (void)!::write(kDeviceFd, &reply, sizeof reply);
}

// What the last server had read. A kernel that can sends it again; for others, its id is on record.
void refuse_unanswered() {
  const fuse_out_header notice = resend_notice();
  if (::write(kDeviceFd, &notice, sizeof notice) == static_cast<ssize_t>(sizeof notice)) return;
  for (std::size_t i = 0; i < kRequestSlots; ++i) {
    fuse_in_header head{};
    const auto at = static_cast<off_t>(kRequestSlotsAt + i * kRequestSlotSize);
    if (::pread(kStateFd, &head, sizeof head, at) != static_cast<ssize_t>(sizeof head)) return;
    if (head.unique != 0) write_reply(head.unique, -EIO);
  }
}

void refuse_from_now_on() {
  keeper.mode = Mode::kRefusing;
  say("%s: the server died %d times in a row (%s). Requests fail with EIO from now on; when the "
      "cause is gone: amberfs mount --recover %s",
      keeper.mount_point, keeper.useless, keeper.last_text, keeper.mount_point);
  tell_systemd("STATUS=given up: the server keeps dying. amberfs mount --recover");
  ::fcntl(kDeviceFd, F_SETFL, ::fcntl(kDeviceFd, F_GETFL) | O_NONBLOCK);
  refuse_unanswered();
}

void recover() {
  if (keeper.mode != Mode::kRefusing) return;
  ::fcntl(kDeviceFd, F_SETFL, ::fcntl(kDeviceFd, F_GETFL) & ~O_NONBLOCK);
  keeper.useless = keeper.useless_points = 0;
  say("%s: starting the server again, as asked", keeper.mount_point);
  start_server();
}

// False when the mount is gone.
bool refuse_requests() {
  while (true) {
    const ssize_t size = ::read(kDeviceFd, keeper.request, sizeof keeper.request);
    if (size < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (size < 0) return errno != ENODEV;
    fuse_in_header head{};
    if (size < static_cast<ssize_t>(sizeof head)) continue;
    std::memcpy(&head, keeper.request, sizeof head);
    if (!awaits_answer(head.opcode)) continue;
    write_reply(head.unique, head.opcode == FUSE_DESTROY ? 0 : -EIO);
  }
}

// ---- deaths

void describe_death(int status) {
  if (WIFSIGNALED(status)) {
    std::snprintf(keeper.last_text, sizeof keeper.last_text, "killed by signal %d",
                  WTERMSIG(status));
  } else {
    std::snprintf(keeper.last_text, sizeof keeper.last_text, "exit code %d", WEXITSTATUS(status));
  }
}

bool was_killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

bool was_useful(int status) {
  if (keeper.settled_at_ms == 0) return false;
  return was_killed(status) || now_ms() - keeper.settled_at_ms >= kSoonMs;
}

void on_death(int status) {
  listen_to_server();
  if (keeper.channel >= 0) ::close(keeper.channel);
  keeper.channel = -1;
  keeper.server = 0;
  describe_death(status);
  const bool handed_over = WIFEXITED(status) && WEXITSTATUS(status) == kExitHandOver;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    tell_systemd("STOPPING=1");
    end(0);
  }
  // The first one could not start: who mounts is told why, and the mount is given up.
  if (!keeper.ever_ready && WIFEXITED(status)) end(WEXITSTATUS(status));
  if (handed_over) {
    if (keeper.next[0] != '\0') {
      copy_text(keeper.previous, sizeof keeper.previous, keeper.binary);
      copy_text(keeper.binary, sizeof keeper.binary, keeper.next);
      keeper.next[0] = '\0';
    }
    return start_server();
  }
  say("%s: the server died (%s)", keeper.mount_point, keeper.last_text);
  if (!keeper.ready && keeper.previous[0] != '\0') {
    say("%s: %s could not take over: going on with %s", keeper.mount_point, keeper.binary,
        keeper.previous);
    copy_text(keeper.binary, sizeof keeper.binary, keeper.previous);
    keeper.previous[0] = '\0';
    return start_server();
  }
  if (was_useful(status)) {
    keeper.useless = keeper.useless_points = 0;
    return start_server();
  }
  ++keeper.useless;
  keeper.useless_points += was_killed(status) ? kPointsOfKill : kPointsOfCrash;
  if (keeper.useless_points >= kPointsMax) return refuse_from_now_on();
  const int step = keeper.useless_points / kPointsOfCrash;
  if (step <= 1) return start_server();
  const std::int64_t delay = kBackOffMs << (step - 2);
  wait_to_start(delay < kBackOffMaxMs ? delay : kBackOffMaxMs);
}

void forward(int signal) {
  if (keeper.mode == Mode::kServing) {
    ::kill(keeper.server, signal);
    return;
  }
  if (signal == SIGHUP) return;
  if (keeper.mode == Mode::kWaiting) {
    keeper.pending_signal = signal;
    return;
  }
  // Nobody left who could write anything out.
  ::umount2(keeper.mount_point, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
  end(1);
}

void on_signals() {
  signalfd_siginfo info{};
  while (::read(keeper.signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGUSR2) recover();
    if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) forward(signal);
  }
  int status = 0;
  if (keeper.server != 0 && ::waitpid(keeper.server, &status, WNOHANG) == keeper.server) {
    on_death(status);
  }
}

int time_to_wait_ms() {
  if (keeper.mode != Mode::kWaiting) return -1;
  const std::int64_t left = keeper.start_at_ms - now_ms();
  return left > 0 ? static_cast<int>(left) : 0;
}

[[noreturn]] void keep() {
  start_server();
  while (true) {
    pollfd waiting[3] = {{keeper.signals, POLLIN, 0},
                         {keeper.channel, POLLIN, 0},
                         {keeper.mode == Mode::kRefusing ? kDeviceFd : -1, POLLIN, 0}};
    ::poll(waiting, 3, time_to_wait_ms());
    if (waiting[1].revents != 0) listen_to_server();
    if (waiting[0].revents != 0) on_signals();
    if (keeper.mode == Mode::kRefusing && waiting[2].revents != 0 && !refuse_requests()) end(0);
    if (keeper.mode == Mode::kWaiting && time_to_wait_ms() == 0) start_server();
  }
}

// The last to go when memory is short; where that is not allowed, like any other.
void ask_to_be_spared() {
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    (void)!::write(fd, "-1000", 5);
    ::close(fd);
  }
  (void)::mlockall(MCL_CURRENT);
}

int set_up(int argc, char** argv) {
  static char life_name[] = "--life";
  static char last_name[] = "--last";
  if (argc < 3 || argc - 2 + 5 > kArgumentsMax) {
    std::fputs(
        "usage: amberfs-keeper MOUNT-POINT BINARY ARGUMENT...\n"
        "Started by amberfs mount; it holds the mount while servers come and go.\n",
        stderr);
    return 2;
  }
  keeper.mount_point = argv[1];
  copy_text(keeper.binary, sizeof keeper.binary, argv[2]);
  int count = 0;
  for (int i = 2; i < argc; ++i) keeper.arguments[count++] = argv[i];
  for (char* more : {life_name, keeper.life_text, last_name, keeper.last_text}) {
    keeper.arguments[count++] = more;
  }
  copy_text(keeper.last_text, sizeof keeper.last_text, "-");
  keeper.channel = -1;
  for (const int fd : {kDeviceFd, kStateFd, kReadyFd}) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return 2;
  }
  if (!take_key()) return 3;
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR2}) ::sigaddset(&wanted, signal);
  ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
  keeper.signals = ::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
  return keeper.signals < 0 ? 3 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (const int error = set_up(argc, argv); error != 0) return error;
  ask_to_be_spared();
  keep();
}
