// SPDX-License-Identifier: Apache-2.0
// FuseMount: one mounted file system: opens /dev/fuse, mounts, serves requests until unmounted.
// The only header of fs/fuse that others include; <fuse_lowlevel.h> is seen by fs/fuse alone.
// Flow:    tools/cmd_mount → Engine::open → FuseMount::mount → set_hooks → serve → Engine::close.
// Threads: mount() and serve() by one thread; serve() runs the request threads and returns when the
//          file system is unmounted or stop() was called (also from a signal handler's thread).
//          Destroy it after Engine::close(): a thread of the engine may still be in a hook when
//          serve() returns (it ends with an error, as the device is closed).
// Owns:    the session; borrows the engine, which must outlive it.
// Errors:  kBadMountPoint, kMountFailed.
#pragma once

#include "fs/engine.h"

#include <memory>
#include <string>
#include <vector>

namespace amberfs {

struct MountOptions {
  std::string mount_point;
  bool read_only = false;
  bool allow_other = true;         // as root: programs of all users; access is checked by modes
  bool show_snapshots = false;     // .snapshots appears in ls of the root
  bool debug = false;              // libfuse prints each request to stderr
  std::vector<std::string> extra;  // further -o options, passed to the kernel or libfuse
};

class FuseMount {
 public:
  [[nodiscard]] static Result<std::unique_ptr<FuseMount>> mount(Engine& engine,
                                                                const MountOptions& options);
  virtual ~FuseMount() = default;
  // Serves until unmounted. The engine's hooks are set while it runs.
  [[nodiscard]] virtual Status serve() = 0;
  // Makes serve() unmount and return.
  virtual void stop() = 0;
};

// Splits "ro,show_snapshots,max_read=…" into options; kBadRequest names what is not known.
[[nodiscard]] Status parse_mount_options(const std::string& text, MountOptions& options);

}  // namespace amberfs
