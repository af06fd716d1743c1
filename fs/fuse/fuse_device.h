// SPDX-License-Identifier: Apache-2.0
// FuseDevice: /dev/fuse as one mount uses it. Who mounts is not who serves: `amberfs mount` (or a
// test) mounts and reads INIT, the first request; servers come and go on the open descriptor.
// Threads: one.
// Owns:    the descriptor. The mount is dead when the last process closes its copy.
// Errors:  kMountFailed.
#pragma once

#include "fs/fuse/fuse_mount.h"

#include <sys/types.h>

#include <string>

struct fuse_lowlevel_ops;
struct fuse_session;

namespace amberfs {

class FuseDevice {
 public:
  // Mounts; as an ordinary user through fusermount3.
  [[nodiscard]] static Result<FuseDevice> mount(const std::string& store,
                                                const std::string& real_mount_point,
                                                const MountOptions& options);
  // `fd` becomes this object's.
  explicit FuseDevice(int fd) : fd_(fd) {}
  FuseDevice(FuseDevice&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), init_request_(std::move(other.init_request_)) {}
  FuseDevice& operator=(FuseDevice&&) = delete;
  ~FuseDevice();

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  // Of a device that mount() returned.
  [[nodiscard]] const std::string& init_request() const { return init_request_; }

 private:
  int fd_ = -1;
  std::string init_request_;
};

// A session of libfuse with these options, for who mounts and for who serves. The caller destroys
// it.
[[nodiscard]] Result<fuse_session*> new_libfuse_session(const std::string& store,
                                                        const MountOptions& options,
                                                        const fuse_lowlevel_ops& ops,
                                                        void* userdata);

// Options as libfuse takes them: one "-o" text.
[[nodiscard]] std::string libfuse_options(const std::string& store, const MountOptions& options,
                                          bool as_root);

}  // namespace amberfs
