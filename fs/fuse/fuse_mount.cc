// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_mount.h"

#include "blockstore/base/log.h"
#include "fs/fuse/dirty_limit.h"
#include "fs/fuse/fuse_device.h"
#include "fs/fuse/fuse_session.h"
#include "fs/fuse/kernel_hooks.h"
#include "fs/fuse/mount_helper.h"
#include "fs/fuse/mount_point.h"
#include "fs/fuse/mount_state.h"

#include <atomic>
#include <charconv>
#include <thread>

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

struct Parts {
  FuseDevice device;
  std::unique_ptr<MountState> state;
  std::unique_ptr<MountHelper> helper;
  MountPlace place;
  Supervision supervision;
};

class MountedStore final : public FuseMount {
 public:
  MountedStore(Engine& engine, const MountOptions& options, Parts parts)
      : engine_(engine),
        state_(std::move(parts.state)),
        helper_(std::move(parts.helper)),
        supervision_(std::move(parts.supervision)),
        edge_(engine, *state_, parts.place, options.show_snapshots,
              options.snapshots_for.value_or(engine.config().snapshots_for)),
        hooks_(edge_, notifier_, supervision_),
        timer_(edge_) {
    edge_.max_read = max_read_of(options);
  }

  [[nodiscard]] Status open(FuseDevice device, const MountOptions& options) {
    const bool takes_over = state_->begun();
    stale_caches_ = takes_over && state_->caches_stale();
    if (takes_over) {
      engine_.take_over_mount(*state_);
    } else {
      TRY(engine_.begin_mount(*state_));
    }
    TRY(engine_.filesystem().drop_orphans());
    state_->set_begun();
    TRY_ASSIGN(session_, FuseSession::open(edge_, std::move(device), options));
    TRY(guard_space());
    if (takes_over) session_->take_over(options.resend);
    return ok();
  }

  [[nodiscard]] Status serve(const std::function<void()>& settled) override {
    notifier_.attach(session_->session());
    engine_.set_hooks(&hooks_);
    edge_.late_seek.start();
    if (edge_.may_resend) edge_.late_sync.start();
    edge_.space_gate.start(notifier_);
    timer_.start();
    std::thread settling([&] { wait_until_settled(settled); });
    const Status served = session_->serve();
    // From here on no request is served. What of ours still waits for an answer is given up; only
    // then can the threads be waited for.
    engine_.set_hooks(nullptr);
    if (!handing_over_) session_->unmount(FuseSession::How::kForce);
    helper_->abandon();
    settling.join();
    notifier_.detach();
    timer_.stop();
    edge_.space_gate.stop();
    edge_.late_seek.stop();
    edge_.late_sync.stop();
    return served;
  }

  void stop() override {
    if (Status flushed = hooks_.flush_kernel(); !flushed) {
      log_error("before unmounting: {}", flushed.error().to_string());
    }
    session_->unmount(FuseSession::How::kFlush);
  }

  void hand_over() override {
    handing_over_ = true;
    session_->stop_serving();
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

  // The kernel hands out resent requests before any new one: when a new one is answered, each of
  // them has been read, and whether it had been applied is in the marks again.
  void wait_until_settled(const std::function<void()>& settled) {
    const auto channel = helper_->channel();
    const auto answered =
        channel ? (*channel)->call({.op = MountHelper::Op::kStatFs, .path = edge_.place.path})
                : Result<MountHelper::Answer>(fail(channel.error()));
    if (answered) {
      settled();
      if (stale_caches_) finish_predecessors_change();
    } else if (session_->is_mounted()) {
      log_error("commits wait: the mount does not answer: {}", answered.error().to_string());
    }
  }

  void finish_predecessors_change() {
    if (Status finished = engine_.finish_predecessors_change(); !finished) {
      log_error("refresh the kernel's caches: {}", finished.error().to_string());
      return;
    }
    state_->set_caches_stale(false);
    log_info("the kernel's caches are refreshed: the server before was killed during a change");
  }

  Engine& engine_;
  const std::unique_ptr<MountState> state_;
  const std::unique_ptr<MountHelper> helper_;
  const Supervision supervision_;
  Edge edge_;
  Notifier notifier_;
  KernelHooks hooks_;
  PageTimer timer_;
  std::unique_ptr<FuseSession> session_;
  std::atomic<bool> handing_over_{false};
  bool stale_caches_ = false;  // left by the server before
};

Result<std::unique_ptr<FuseMount>> make_server(Engine& engine, const MountOptions& options,
                                               Parts parts) {
  const auto found = find_mount(parts.place.path);
  // Unmounted lazily, it is served as long as programs use it; only we cannot use it any more.
  parts.place.device = found ? found->number : 0;
  parts.place.helper = parts.helper.get();
  FuseDevice device = std::move(parts.device);
  auto server = std::make_unique<MountedStore>(engine, options, std::move(parts));
  TRY(server->open(std::move(device), options));
  return server;
}

}  // namespace

Result<std::unique_ptr<FuseMount>> FuseMount::mount(Engine& engine, const MountOptions& options) {
  TRY_ASSIGN(auto helper, MountHelper::start());
  TRY_ASSIGN(const std::string point, check_mount_point(engine.store(), options.mount_point));
  TRY_ASSIGN(FuseDevice device, FuseDevice::mount(engine.store(), point, options));
  TRY_ASSIGN(auto state, MountState::create(device.init_request()));
  return make_server(engine, options,
                     {.device = std::move(device),
                      .state = std::move(state),
                      .helper = std::move(helper),
                      .place = {.path = point},
                      .supervision = {}});
}

Result<std::unique_ptr<FuseMount>> FuseMount::serve_mounted(Engine& engine,
                                                            const MountOptions& options,
                                                            ServedMount mounted) {
  FuseDevice device(mounted.device_fd);
  TRY_ASSIGN(auto state, MountState::take_over(mounted.state_fd));
  return make_server(engine, options,
                     {.device = std::move(device),
                      .state = std::move(state),
                      .helper = std::move(mounted.helper),
                      .place = {.path = std::move(mounted.real_mount_point)},
                      .supervision = std::move(mounted.supervision)});
}

}  // namespace amberfs
