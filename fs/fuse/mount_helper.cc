// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/mount_helper.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <utility>

namespace amberfs {
namespace {

using Op = MountHelper::Op;

constexpr std::size_t kReadMax = 64 * 1024;
constexpr std::size_t kIdleMax = 4;

struct WireCall {
  Op op;
  std::uint32_t path_size;
  std::int64_t number;
  std::uint64_t size;
  std::uint64_t device;
  timespec times[2];
  char path[PATH_MAX];
};

struct WireAnswer {
  std::int32_t error;
  std::int32_t caller;
  std::uint64_t ino;
  std::uint64_t size;
  std::uint32_t bytes_size;
  std::uint32_t reserved;
  char bytes[kReadMax];
};
constexpr std::size_t kAnswerHead = offsetof(WireAnswer, bytes);

// A message of one byte that carries one descriptor, to be sent or received.
struct DescriptorMessage {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};

  DescriptorMessage() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = space;
    message.msg_controllen = sizeof space;
  }
  DescriptorMessage(const DescriptorMessage&) = delete;
  DescriptorMessage& operator=(const DescriptorMessage&) = delete;
};

// ---- the helper's side: forked from a process that may have threads, so nothing is allocated

int failed(int result) {
  return result < 0 ? errno : 0;
}

int stat_file(int file, WireAnswer& answer) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return errno;
  answer.ino = status.st_ino;
  answer.size = static_cast<std::uint64_t>(status.st_size);
  return 0;
}

int open_file(const WireCall& call, int& file, WireAnswer& answer) {
  if (file >= 0) ::close(file);
  file = ::open(call.path, static_cast<int>(call.number) | O_CLOEXEC);
  if (file < 0) return errno;
  struct stat status {};
  int error = failed(::fstat(file, &status));
  if (error == 0 && status.st_dev != call.device) error = ENXIO;
  if (error == 0) return stat_file(file, answer);
  ::close(file);
  file = -1;
  return error;
}

int change_mode(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return errno;
  return failed(::fchmod(file, status.st_mode & 07777U));
}

int read_file(const WireCall& call, int file, WireAnswer& answer) {
  const ssize_t got = ::pread(file, answer.bytes, std::min<std::uint64_t>(call.size, kReadMax),
                              static_cast<off_t>(call.number));
  if (got < 0) return errno;
  answer.bytes_size = static_cast<std::uint32_t>(got);
  return 0;
}

int perform(const WireCall& call, int& file, WireAnswer& answer) {
  struct statfs space {};
  constexpr unsigned kWholeRange =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  switch (call.op) {
    case Op::kOpen:
      return open_file(call, file, answer);
    case Op::kClose:
      return failed(::close(std::exchange(file, -1)));
    case Op::kStat:
      return stat_file(file, answer);
    case Op::kSyncFs:
      return failed(::syncfs(file));
    case Op::kDataSync:
      return failed(::fdatasync(file));
    case Op::kSyncRange:
      return failed(::sync_file_range(file, 0, 0, kWholeRange));
    case Op::kChmod:
      return change_mode(file);
    case Op::kTruncate:
      return failed(::ftruncate(file, call.number));
    case Op::kSetTimes:
      return failed(::futimens(file, call.times));
    case Op::kRead:
      return read_file(call, file, answer);
    case Op::kStatFs:
      return failed(::statfs(call.path, &space));
    case Op::kUnmount:
      return failed(::umount2(call.path, static_cast<int>(call.number)));
  }
  return EINVAL;
}

[[noreturn]] void serve_channel(int channel) {
  static WireCall call;
  static WireAnswer answer;
  int file = -1;
  while (::recv(channel, &call, sizeof call, 0) >= static_cast<ssize_t>(offsetof(WireCall, path))) {
    call.path[std::min<std::size_t>(call.path_size, PATH_MAX - 1)] = '\0';
    answer.bytes_size = 0;
    answer.error = perform(call, file, answer);
    answer.caller = ::getpid();
    if (::send(channel, &answer, kAnswerHead + answer.bytes_size, MSG_NOSIGNAL) < 0) break;
  }
  ::_exit(0);
}

int receive_channel(int control) {
  DescriptorMessage carrier;
  ssize_t got = -1;
  do {
    got = ::recvmsg(control, &carrier.message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  const cmsghdr* header = CMSG_FIRSTHDR(&carrier.message);
  if (got <= 0 || header == nullptr || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

// It must hold nothing of the server's: not the device, not the store's lock.
void close_all_but(int fd) {
  constexpr int kKept = 3;
  ::dup2(fd, kKept);
  ::close_range(kKept + 1, ~0U, 0);
}

[[noreturn]] void run_helper(int control) {
  close_all_but(control);
  control = 3;
  ::prctl(PR_SET_NAME, "amberfs-helper");
  sigset_t none;
  ::sigemptyset(&none);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal, SIG_IGN);
  std::signal(SIGCHLD, SIG_IGN);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  while (true) {
    const int channel = receive_channel(control);
    if (channel < 0) ::_exit(0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(control);
      serve_channel(channel);
    }
    ::close(channel);  // a fork that failed ends the channel: the server sees it
  }
}

std::unexpected<Error> helper_gone(int error) {
  return fail(Errc::kMountFailed, error, "use the mount: the helper process is gone");
}

}  // namespace

// ---- the server's side

Result<std::unique_ptr<MountHelper>> MountHelper::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(Errc::kMountFailed, errno, "make a socket");
  }
  const pid_t child = ::fork();
  if (child < 0) return fail(Errc::kMountFailed, errno, "start the helper process");
  if (child == 0) {
    // A grandchild: nobody has to wait for it.
    const pid_t helper = ::fork();
    if (helper != 0) ::_exit(helper < 0 ? 1 : 0);
    run_helper(ends[1]);
  }
  ::close(ends[1]);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return std::unique_ptr<MountHelper>(new MountHelper(ends[0]));
}

MountHelper::~MountHelper() {
  abandon();
  ::close(fd_);
}

Result<std::shared_ptr<MountHelper::Channel>> MountHelper::channel() {
  MutexLock lock(mu_);
  if (abandoned_) return helper_gone(0);
  if (!idle_.empty()) {
    std::shared_ptr<Channel> channel = std::move(idle_.back());
    idle_.pop_back();
    return channel;
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(Errc::kMountFailed, errno, "make a socket");
  }
  std::shared_ptr<Channel> channel(new Channel(ends[0]));
  DescriptorMessage carrier;
  cmsghdr* header = CMSG_FIRSTHDR(&carrier.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
  const ssize_t sent = ::sendmsg(fd_, &carrier.message, MSG_NOSIGNAL);
  const int error = errno;
  ::close(ends[1]);
  if (sent < 0) return helper_gone(error);
  std::erase_if(all_, [](const auto& other) { return other.expired(); });
  all_.push_back(channel);
  return channel;
}

void MountHelper::give_back(std::shared_ptr<Channel> channel) {
  MutexLock lock(mu_);
  if (!abandoned_ && idle_.size() < kIdleMax) idle_.push_back(std::move(channel));
}

void MountHelper::abandon() {
  MutexLock lock(mu_);
  abandoned_ = true;
  idle_.clear();
  for (const auto& weak : all_) {
    if (const auto channel = weak.lock()) ::shutdown(channel->fd_, SHUT_RDWR);
  }
}

MountHelper::Channel::~Channel() {
  ::close(fd_);
}

Result<MountHelper::Answer> MountHelper::Channel::call(const Call& call) {
  if (call.path.size() >= PATH_MAX) return fail(posix_error(ENAMETOOLONG));
  WireCall wire{};
  wire.op = call.op;
  wire.path_size = static_cast<std::uint32_t>(call.path.size());
  wire.number = call.number;
  wire.size = call.size;
  wire.device = call.device;
  std::copy(std::begin(call.times), std::end(call.times), std::begin(wire.times));
  std::memcpy(wire.path, call.path.data(), call.path.size());
  const std::size_t size = offsetof(WireCall, path) + call.path.size() + 1;
  if (::send(fd_, &wire, size, MSG_NOSIGNAL) < 0) return helper_gone(errno);
  const auto answer = std::make_unique_for_overwrite<WireAnswer>();
  ssize_t got = -1;
  do {
    got = ::recv(fd_, answer.get(), sizeof(WireAnswer), 0);
  } while (got < 0 && errno == EINTR);
  if (got < static_cast<ssize_t>(kAnswerHead)) return helper_gone(got < 0 ? errno : 0);
  if (answer->error != 0) return fail(posix_error(answer->error));
  return Answer{.ino = answer->ino,
                .size = answer->size,
                .caller = answer->caller,
                .bytes = Bytes(answer->bytes, answer->bytes_size)};
}

}  // namespace amberfs
