// SPDX-License-Identifier: Apache-2.0
// FuseSession: the loop of request threads on an open device, around libfuse's session. libfuse's
// device reads and writes go through hooks here (custom io): libfuse 3.14 knows less of the
// protocol than the kernel (raw_request.h), and it believes that it is the only server the mount
// ever had: it is given the saved INIT to answer first.
// Flow:    FuseDevice → open → take_over (a successor) → serve → the destructor closes the device.
// Threads: open(), take_over() and serve() by one thread; the rest by any.
// Owns:    the session with its descriptor.
// Errors:  kMountFailed.
#pragma once

#include "fs/fuse/fuse_device.h"
#include "fs/fuse/fuse_edge.h"
#include "fs/fuse/request_loop.h"

#include <atomic>
#include <memory>

namespace amberfs {

class FuseSession {
 public:
  // Requests wait until serve().
  [[nodiscard]] static Result<std::unique_ptr<FuseSession>> open(Edge& edge, FuseDevice device,
                                                                 const MountOptions& options);
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // What an earlier server read and did not answer comes again, or fails where the kernel cannot
  // send it again (before 6.9) or `may_resend` is false.
  void take_over(bool may_resend);
  // Runs the request threads; returns when the file system was unmounted or aborted, or by
  // stop_serving().
  [[nodiscard]] Status serve();
  // serve() returns once the requests under way are answered. The mount stays.
  void stop_serving();
  // kFlush: the kernel writes out its pages first if nothing is in use. Else the mount point is
  // freed and what programs still do there fails. Once no thread serves, only kForce can end.
  enum class How { kFlush, kForce };
  void unmount(How how);
  [[nodiscard]] bool is_mounted() const;
  [[nodiscard]] fuse_session* session() { return session_; }

 private:
  explicit FuseSession(Edge& edge) : edge_(edge) {}
  [[nodiscard]] Status start(FuseDevice device, const MountOptions& options);
  [[nodiscard]] Status ask_to_resend();
  void fail_unanswered();
  [[nodiscard]] bool unmount_with_helper();
  void unmount_as_user();

  Edge& edge_;
  fuse_session* session_ = nullptr;
  std::unique_ptr<RequestLoop> loop_;
  std::atomic<bool> served_{false};
};

}  // namespace amberfs
