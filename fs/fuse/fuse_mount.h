// SPDX-License-Identifier: Apache-2.0
// FuseMount: one server of a mounted file system: serves requests until it is unmounted, or until a
// successor takes over.
// Flow:    Engine::open → FuseMount::mount | serve_mounted → serve → Engine::close.
// Threads: made and served by one thread; serve() runs the request threads and returns when the
//          file system is unmounted or stop() or hand_over() was called (by any other thread).
//          Destroy it after Engine::close(): a thread of the engine may still be in a hook when
//          serve() returns (it ends with an error).
// Owns:    device, state and helper; borrows the engine, which must outlive it.
// Errors:  kBadMountPoint, kMountFailed.
#pragma once

#include "fs/engine.h"
#include "fs/fuse/mount_helper.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace amberfs {

struct MountOptions {
  std::string mount_point;
  bool read_only = false;
  bool allow_other = true;      // as root: programs of all users; access is checked by modes
  bool show_snapshots = false;  // .snapshots appears in ls of the root
  // Who may look into .snapshots; without: as config.toml says.
  std::optional<SnapshotsFor> snapshots_for = {};
  bool debug = false;              // libfuse prints each request to stderr
  bool resend = true;              // false: as on a kernel that cannot send requests again
  std::vector<std::string> extra;  // further -o options, passed to the kernel or libfuse
};

// A mount that another process made and watches over (tools/keeper).
struct ServedMount {
  int device_fd = -1;
  int state_fd = -1;
  std::string real_mount_point;
  std::unique_ptr<MountHelper> helper;
  Supervision supervision;
};

class FuseMount {
 public:
  // Mounts and serves in this process, without a keeper. (Tests.)
  [[nodiscard]] static Result<std::unique_ptr<FuseMount>> mount(Engine& engine,
                                                                const MountOptions& options);
  // The first server of a mount, or its successor.
  [[nodiscard]] static Result<std::unique_ptr<FuseMount>> serve_mounted(Engine& engine,
                                                                        const MountOptions& options,
                                                                        ServedMount mounted);
  virtual ~FuseMount() = default;
  // The engine's hooks are set while it runs. `settled` is called by another thread, once nothing
  // that an earlier server left unanswered is outstanding: commits may begin.
  [[nodiscard]] virtual Status serve(const std::function<void()>& settled) = 0;
  // Makes serve() unmount and return.
  virtual void stop() = 0;
  // Makes serve() return as soon as the requests under way are answered; the mount stays.
  virtual void hand_over() = 0;
};

// Splits "ro,show_snapshots,max_read=…" into options; kBadRequest names what is not known.
[[nodiscard]] Status parse_mount_options(const std::string& text, MountOptions& options);
// kBadRequest for what would write down in clear what an encrypted store hides.
[[nodiscard]] Status check_tells_nothing(const MountOptions& options, bool encrypted);

}  // namespace amberfs
