// SPDX-License-Identifier: Apache-2.0
// RequestLoop: the threads that read requests from the device and have libfuse call the handlers.
// Instead of libfuse's own loop, which has all idle threads wait for the device: then each request
// wakes one of them, and waking is what a small request costs most.
// Flow:    one thread leads: it reads a request and, if that is quick to answer, answers it before
//          it reads the next one; so a stream of small requests is served by a thread that never
//          sleeps. Before a request that may take long it passes the lead on, unless
//          enough threads work already. A watcher takes the
//          lead from a leader that is stuck in a quick one (a lock, a disk), so none waits for it
//          longer than two ticks. (Leader/Followers, Schmidt et al. 2000.)
// Spinning: a leader whose last wait was short looks for the next request for some microseconds
//          before it goes to sleep: a core that sleeps takes longer to wake than that.
// Threads: run() by one thread; wake() by any.
// Owns:    its threads; borrows the session.
// Errors:  kMountFailed when a first thread cannot be started.
#pragma once

#define FUSE_USE_VERSION 314
#include "blockstore/base/mutex.h"
#include "blockstore/base/result.h"

#include <fuse_lowlevel.h>

#include <atomic>
#include <chrono>
#include <list>
#include <thread>

namespace amberfs {

// True when a request can be read from the device.
[[nodiscard]] bool is_request_waiting(int device_fd);

class RequestLoop {
 public:
  explicit RequestLoop(fuse_session* session);
  ~RequestLoop();
  RequestLoop(const RequestLoop&) = delete;
  RequestLoop& operator=(const RequestLoop&) = delete;

  // Returns when the session has exited and what was under way is answered.
  [[nodiscard]] Status run();
  // After fuse_session_exit(): threads that wait for the lead see it. One that waits for the device
  // needs a signal.
  void wake();

 private:
  using Clock = std::chrono::steady_clock;
  struct Reader;  // what a thread keeps between two requests

  struct Thread {
    std::thread thread;
    bool ended = false;
  };
  void serve_requests(Thread& self);
  // True when this thread leads; false when it is not needed any more.
  [[nodiscard]] bool lead();
  void pass_lead();
  [[nodiscard]] bool start_thread() REQUIRES(mu_);
  void join_ended() REQUIRES(mu_);
  // Reads and answers until the lead is passed on or taken; false at the end of the session.
  [[nodiscard]] bool serve_as_leader(Reader& reader);
  [[nodiscard]] bool more_waiting() const;
  void spin(const Reader& reader) const;
  [[nodiscard]] bool answer(Reader& reader, std::uint32_t opcode, std::size_t size);
  [[nodiscard]] bool answer_as_leader(Reader& reader);
  void end_session();
  void watch();
  void wake_watcher();
  void stop_watcher();

  fuse_session* const session_;
  const unsigned quick_max_;  // threads that answer quick requests at the same time
  const unsigned busy_max_;   // threads that answer whatever, if they do not wait for anything
  std::atomic<unsigned> answering_{0};  // of those that do not lead

  // The leader's request under way, by a number that is never used again; 0: none, or the lead was
  // taken from it.
  std::atomic<std::uint64_t> turn_{0};
  std::atomic<std::uint64_t> turns_{0};
  std::atomic<std::uint32_t> watching_{0};
  std::atomic<bool> watcher_stops_{false};
  std::thread watcher_;

  Mutex mu_;
  CondVar lead_free_;
  CondVar thread_ended_;
  bool led_ GUARDED_BY(mu_) = false;
  unsigned idle_ GUARDED_BY(mu_) = 0;
  unsigned running_ GUARDED_BY(mu_) = 0;
  std::list<Thread> threads_ GUARDED_BY(mu_);
};

}  // namespace amberfs
