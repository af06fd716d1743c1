// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_mount.h"

#include "blockstore/base/log.h"
#include "fs/fuse/dirty_limit.h"
#include "fs/fuse/fuse_session.h"
#include "fs/fuse/kernel_hooks.h"
#include "fs/fuse/mount_point.h"

#include <charconv>

namespace amberfs {
namespace {

std::uint32_t max_read_of(const MountOptions& options) {
  constexpr std::string_view kKey = "max_read=";
  std::uint32_t value = 0;
  for (const std::string& option : options.extra) {
    if (!option.starts_with(kKey)) continue;
    std::from_chars(option.data() + kKey.size(), option.data() + option.size(), value);
  }
  return value;
}

class MountedStore final : public FuseMount {
 public:
  MountedStore(Engine& engine, const MountOptions& options, const std::string& real_mount_point)
      : engine_(engine),
        edge_(engine, real_mount_point, options.show_snapshots),
        hooks_(edge_, notifier_),
        timer_(edge_) {
    edge_.max_read = max_read_of(options);
  }

  [[nodiscard]] Status open(const MountOptions& options) {
    TRY_ASSIGN(session_, FuseSession::open(edge_, options));
    return guard_space();
  }

  [[nodiscard]] Status serve() override {
    notifier_.attach(session_->session());
    engine_.set_hooks(&hooks_);
    edge_.late_seek.start();
    edge_.space_gate.start(notifier_);
    timer_.start();
    const Status served = session_->serve();
    // From here on no request is served. Closing the device ends whatever of ours still waits for
    // one; only then can the threads be waited for.
    engine_.set_hooks(nullptr);
    session_->unmount(FuseSession::How::kForce);
    notifier_.detach();
    session_->close();
    timer_.stop();
    edge_.space_gate.stop();
    edge_.late_seek.stop();
    return served;
  }

  void stop() override {
    if (Status flushed = hooks_.flush_kernel(); !flushed) {
      log_error("before unmounting: {}", flushed.error().to_string());
    }
    session_->unmount(FuseSession::How::kFlush);
  }

 private:
  // What the kernel may hold is known now, so it is known what must be kept free for it.
  [[nodiscard]] Status guard_space() {
    TRY_ASSIGN(const DiskSpace disk, engine_.io().disk_space(engine_.store()));
    const std::uint64_t wanted = dirty_max_for(disk.total_bytes);
    const auto mounted = find_mount(edge_.place.path);
    engine_.guard_space(mounted ? limit_dirty_bytes(mounted->device, wanted) : wanted);
    return ok();
  }

  Engine& engine_;
  Edge edge_;
  Notifier notifier_;
  KernelHooks hooks_;
  PageTimer timer_;
  std::unique_ptr<FuseSession> session_;
};

}  // namespace

Result<std::unique_ptr<FuseMount>> FuseMount::mount(Engine& engine, const MountOptions& options) {
  TRY_ASSIGN(const std::string point, check_mount_point(engine.store(), options.mount_point));
  auto mounted = std::make_unique<MountedStore>(engine, options, point);
  TRY(mounted->open(options));
  return mounted;
}

}  // namespace amberfs
