// SPDX-License-Identifier: Apache-2.0
// FuseSession: the device, the mount and the loop of request threads, around libfuse's session.
// libfuse's device reads and writes go through hooks here (custom io), because libfuse 3.14 knows
// less of the protocol than the kernel: see raw_request.h.
// Threads: open() and serve() by one thread; stop() by any, notifications (session()) by any.
// Owns:    the session, its descriptor, and the mount as long as the device is open.
// Errors:  kMountFailed.
#pragma once

#include "fs/fuse/fuse_edge.h"
#include "fs/fuse/fuse_mount.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace amberfs {

class FuseSession {
 public:
  // Mounts at `real_mount_point`; requests wait until serve().
  [[nodiscard]] static Result<std::unique_ptr<FuseSession>> open(Edge& edge,
                                                                 const MountOptions& options);
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // Runs the request threads; returns when the file system was unmounted or aborted.
  [[nodiscard]] Status serve();
  // kFlush: the kernel writes out its pages first if nothing is in use. Else the mount point is
  // freed and what programs still do there fails. Once no thread serves, only kForce can end.
  enum class How { kFlush, kForce };
  void unmount(How how);
  // Closes the device: what still waits for an answer ends with an error.
  void close();
  [[nodiscard]] fuse_session* session() { return session_; }

 private:
  explicit FuseSession(Edge& edge) : edge_(edge) {}
  [[nodiscard]] Status mount(const MountOptions& options);
  [[nodiscard]] bool is_mounted() const;
  void unmount_as_user();

  Edge& edge_;
  fuse_session* session_ = nullptr;
  std::atomic<bool> mounted_{false};
};

// Options as libfuse takes them: one "-o" text.
[[nodiscard]] std::string libfuse_options(const std::string& store, const MountOptions& options,
                                          bool as_root);

}  // namespace amberfs
