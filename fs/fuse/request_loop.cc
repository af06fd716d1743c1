// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/request_loop.h"

#include "blockstore/base/log.h"
#include "fs/fuse/raw_request.h"

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

namespace amberfs {
namespace {

constexpr unsigned kThreadsMax = 64;  // each has a buffer for the largest request
constexpr unsigned kIdleMax = 16;
constexpr auto kTick = std::chrono::microseconds(500);
// A leader is stuck when it is found with the same request so often in a row: more often while all
// the threads that may work at the same time do, as one more would only take time from them.
constexpr unsigned kStuckTicks = 1;
constexpr unsigned kStuckTicksWhenBusy = 40;
constexpr unsigned kBusyMin = 4;
constexpr unsigned kQuietTicksMax = 40;  // then the watcher sleeps until there is a request
constexpr auto kSpinMax = std::chrono::microseconds(50);
// Copying so much takes longer than waking another thread.
constexpr std::size_t kQuickSizeMax = 32 * 1024;

// What only looks at or changes a few entries of the map, and waits for nothing but, rarely, a
// lock or the disk.
bool is_quick(std::uint32_t opcode, std::size_t size) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_GETATTR:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_LINK:
    case FUSE_SYMLINK:
    case FUSE_OPEN:
    case FUSE_OPENDIR:
    case FUSE_CREATE:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FLUSH:
    case FUSE_FSYNC:
    case FUSE_SETATTR:
    case FUSE_READLINK:
    case FUSE_STATFS:
    case FUSE_ACCESS:
    case FUSE_GETXATTR:
    case FUSE_SETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_INTERRUPT:
      return true;
    case FUSE_WRITE:
      return size <= kQuickSizeMax;
    default:
      return false;
  }
}

// Signals that end the server are for the thread that waits for them.
void block_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

bool is_request_waiting(int device_fd) {
  pollfd device{device_fd, POLLIN, 0};
  return ::poll(&device, 1, 0) > 0;
}

struct RequestLoop::Reader {
  fuse_buf request{};
  Clock::time_point free_since = Clock::now();
  Clock::duration last_wait = kSpinMax * 2;
  std::uint32_t last_opcode = 0;

  Reader() = default;
  ~Reader() { std::free(request.mem); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

RequestLoop::RequestLoop(fuse_session* session)
    : session_(session),
      quick_max_(std::max(1U, std::thread::hardware_concurrency() / 2)),
      busy_max_(std::max(kBusyMin, 2 * std::thread::hardware_concurrency())) {}

RequestLoop::~RequestLoop() {
  stop_watcher();
}

Status RequestLoop::run() {
  watcher_ = std::thread([this] { watch(); });
  MutexLock lock(mu_);
  if (!start_thread()) return fail(Errc::kMountFailed, EAGAIN, "start a request thread");
  while (running_ > 0) thread_ended_.wait(mu_);
  join_ended();
  return ok();
}

void RequestLoop::wake() {
  MutexLock lock(mu_);
  lead_free_.notify_all();
}

bool RequestLoop::more_waiting() const {
  return is_request_waiting(fuse_session_fd(session_));
}

// ---- the lead

bool RequestLoop::start_thread() {
  if (running_ == kThreadsMax) return false;
  join_ended();
  Thread& added = threads_.emplace_back();
  try {
    added.thread = std::thread([this, &added] { serve_requests(added); });
  } catch (const std::system_error& error) {
    threads_.pop_back();
    log_warning("a request thread could not be started: {}", error.what());
    return false;
  }
  ++running_;
  return true;
}

// They hold no lock any more and wait for nothing.
void RequestLoop::join_ended() {
  for (Thread& thread : threads_) {
    if (thread.ended) thread.thread.join();
  }
  std::erase_if(threads_, [](const Thread& thread) { return thread.ended; });
}

bool RequestLoop::lead() {
  MutexLock lock(mu_);
  if (led_ && idle_ >= kIdleMax) return false;
  ++idle_;
  while (led_ && fuse_session_exited(session_) == 0) lead_free_.wait(mu_);
  --idle_;
  if (fuse_session_exited(session_) != 0) return false;
  led_ = true;
  return true;
}

// When all threads are busy, the first that is done leads.
void RequestLoop::pass_lead() {
  MutexLock lock(mu_);
  led_ = false;
  if (idle_ > 0) {
    lead_free_.notify_one();
  } else {
    (void)start_thread();
  }
}

void RequestLoop::end_session() {
  fuse_session_exit(session_);
  wake();
}

// ---- requests

void RequestLoop::serve_requests(Thread& self) {
  block_signals();
  {
    Reader reader;
    while (lead() && serve_as_leader(reader)) {
    }
  }
  MutexLock lock(mu_);
  --running_;
  self.ended = true;
  thread_ended_.notify_all();
}

bool RequestLoop::serve_as_leader(Reader& reader) {
  while (true) {
    spin(reader);
    const int got = fuse_session_receive_buf(session_, &reader.request);
    if (fuse_session_exited(session_) != 0) break;
    if (got == -EINTR || got == -EAGAIN) continue;
    if (got <= 0) break;
    reader.last_wait = Clock::now() - reader.free_since;
    reader.last_opcode = current_request().opcode;  // peeked when it was read
    const bool still_leads = answer(reader, reader.last_opcode, static_cast<std::size_t>(got));
    reader.free_since = Clock::now();
    if (fuse_session_exited(session_) != 0) break;
    if (!still_leads) return true;
  }
  end_session();
  return false;
}

void RequestLoop::spin(const Reader& reader) const {
  // Who waited for the disk takes its time to come back.
  if (reader.last_wait > kSpinMax || reader.last_opcode == FUSE_FSYNC) return;
  while (!more_waiting() && Clock::now() - reader.free_since < kSpinMax) {
  }
}

// True when this thread still leads.
bool RequestLoop::answer(Reader& reader, std::uint32_t opcode, std::size_t size) {
  const unsigned answering = answering_.load();
  const bool may_share = answering < (is_quick(opcode, size) ? quick_max_ - 1 : busy_max_);
  if (!may_share || (is_quick(opcode, size) && !more_waiting())) return answer_as_leader(reader);
  pass_lead();
  ++answering_;
  fuse_session_process_buf(session_, &reader.request);
  --answering_;
  return false;
}

bool RequestLoop::answer_as_leader(Reader& reader) {
  std::uint64_t turn = ++turns_;
  turn_.store(turn);
  wake_watcher();
  fuse_session_process_buf(session_, &reader.request);
  return turn_.compare_exchange_strong(turn, 0);
}

// ---- the watcher

void RequestLoop::wake_watcher() {
  if (watching_.load() != 0) return;
  watching_.store(1);
  watching_.notify_one();
}

void RequestLoop::watch() {
  block_signals();
  std::uint64_t seen = 0;
  unsigned same_ticks = 0;
  unsigned quiet_ticks = 0;
  while (!watcher_stops_.load()) {
    std::this_thread::sleep_for(kTick);
    std::uint64_t turn = turn_.load();
    same_ticks = turn != 0 && turn == seen ? same_ticks + 1 : 0;
    const bool busy = answering_.load() >= busy_max_;
    if (same_ticks >= (busy ? kStuckTicksWhenBusy : kStuckTicks) &&
        turn_.compare_exchange_strong(turn, 0)) {
      pass_lead();
    }
    quiet_ticks = turn == 0 ? quiet_ticks + 1 : 0;
    seen = turn;
    if (quiet_ticks < kQuietTicksMax) continue;
    quiet_ticks = 0;
    // First this, then the look: a leader does both the other way round.
    watching_.store(0);
    if (turn_.load() == 0 && !watcher_stops_.load()) watching_.wait(0);
    watching_.store(1);
  }
}

void RequestLoop::stop_watcher() {
  watcher_stops_.store(true);
  watching_.store(1);
  watching_.notify_one();
  if (watcher_.joinable()) watcher_.join();
}

}  // namespace amberfs
