// SPDX-License-Identifier: Apache-2.0
// amberfs serve: a server as the keeper starts it; nobody else should. Works on descriptors that
// are open already (fs/fuse/mount_state_layout.h).
//
//   helper process → engine (recovery) → take over the mount → "ready" → serve
//     … until unmounted: close the store, exit 0
//     … or until asked to make way (amberfs upgrade): commit, answer what is under way, exit 75
#include "blockstore/base/log.h"
#include "fs/control/control_protocol.h"
#include "fs/control/control_server.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/mount_helper.h"
#include "fs/fuse/mount_state_layout.h"
#include "fs/memory.h"
#include "tools/command.h"
#include "tools/keeper_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

namespace amberfs::tools {
namespace {

struct Options {
  std::string store;
  std::string directory;
  std::string mount_options;
  std::string last_death;
  std::uint32_t life = 1;
  bool foreground = false;
};

// Stops the mount on SIGTERM or SIGINT. These are blocked in every thread and taken here.
class StopOnSignal {
 public:
  explicit StopOnSignal(FuseMount& mount) {
    thread_ = std::thread([&mount] {
      sigset_t wanted = signals();
      int signal = 0;
      while (::sigwait(&wanted, &signal) == 0) {
        if (signal == SIGUSR1) return;
        log_info("stopping on signal {}", signal);
        mount.stop();
      }
    });
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() {
    ::pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }
  static void block() {
    const sigset_t blocked = signals();
    ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    std::signal(SIGHUP, SIG_IGN);
  }

 private:
  static sigset_t signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) ::sigaddset(&set, signal);
    return set;
  }
  std::thread thread_;
};

// Without a keeper to hear it (it was killed) the server goes on alone.
bool tell_keeper(const std::string& message) {
  return ::send(kKeeperFd, message.data(), message.size(), MSG_NOSIGNAL) >= 0;
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

// The kernel has nothing to ask any more: unmounted, or aborted.
bool is_connection_gone() {
  pollfd device{.fd = kDeviceFd, .events = POLLIN, .revents = 0};
  return ::poll(&device, 1, 0) == 1 && (device.revents & POLLERR) != 0;
}

void tell_starter(const std::string& text) {
  if (!is_open(kReadyFd)) return;
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(kReadyFd, text.data() + done, text.size() - done);
    if (n <= 0) break;  // nobody waits for it any more
    done += static_cast<std::size_t>(n);
  }
  ::close(kReadyFd);
}

// Makes way for another server, when asked: amberfs upgrade.
class HandOver {
 public:
  explicit HandOver(Engine& engine) : engine_(engine) {}
  ~HandOver() {
    if (thread_.joinable()) thread_.join();
  }
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;

  // From the control socket's thread, which first has to answer who asked.
  Status begin(FuseMount& mount, const std::string& binary) {
    if (asked_.exchange(true)) {
      return fail(Errc::kControl, EBUSY, "upgrade: another upgrade is under way", binary);
    }
    if (!tell_keeper(kSaysUpgrade + binary)) {
      asked_ = false;
      return fail(Errc::kControl, errno, "upgrade: the keeper is gone; unmount and mount", binary);
    }
    thread_ = std::thread([this, &mount, binary] {
      log_info("making way for {}", binary);
      // What is committed now need not be replayed while programs wait.
      if (Status committed = engine_.commit(); !committed) {
        log_warning("before making way: {}", committed.error().to_string());
      }
      mount.hand_over();
    });
    return ok();
  }
  [[nodiscard]] bool asked() const { return asked_; }

 private:
  Engine& engine_;
  std::atomic<bool> asked_{false};
  std::thread thread_;
};

void say_how_it_began(const Options& options) {
  if (options.life == 1) {
    log_info("mounted {} on {}", options.store, options.directory);
  } else {
    log_warning("took over {} on {}: server {} of this mount, the one before: {}", options.store,
                options.directory, options.life, options.last_death);
  }
}

// Null for a plain store. The key is gone when it returns.
Result<std::shared_ptr<const StoreCipher>> make_cipher(SecretBytes data_key) {
  if (data_key.empty()) return nullptr;
  if (!data_key.is_locked()) {
    log_warning("the key's memory cannot be locked and may be swapped (RLIMIT_MEMLOCK)");
  }
  return StoreCipher::make(data_key);
}

Result<int> serve(const Options& options) {
  MountOptions mount_options;
  TRY(parse_mount_options(options.mount_options, mount_options));
  mount_options.mount_point = options.directory;
  if (!is_open(kDeviceFd) || !is_open(kStateFd) || !is_open(kKeeperFd)) {
    return fail(Errc::kBadRequest, 0, "serve: only amberfs-keeper starts it; use amberfs mount",
                options.store);
  }
  for (const int fd : {kDeviceFd, kStateFd, kKeeperFd}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  // First of all: the helper is a fork of this process and has no use for it.
  TRY_ASSIGN(SecretBytes data_key, take_data_key());
  TRY_ASSIGN(const std::string own, own_binary());
  TRY_ASSIGN(auto helper, MountHelper::start());
  if (!options.foreground) TRY(open_log_file(options.store + "/server.log"));
  StopOnSignal::block();
  lower_oom_score();
  keep_memory_reserve();
  const auto io = make_posix_io();
  TRY_ASSIGN(auto cipher, make_cipher(std::move(data_key)));
  TRY_ASSIGN(auto engine, Engine::open(*io, options.store, std::move(cipher)));
  if (is_connection_gone()) {  // unmounted while the server before was dying
    log_info("{} is not mounted any more", options.directory);
    TRY(engine->close());
    return kDone;
  }
  HandOver hand_over(*engine);
  std::unique_ptr<FuseMount> mount;
  TRY_ASSIGN(mount,
             FuseMount::serve_mounted(*engine, mount_options,
                                      {.device_fd = kDeviceFd,
                                       .state_fd = kStateFd,
                                       .real_mount_point = options.directory,
                                       .helper = std::move(helper),
                                       .supervision = {.keeper_pid = ::getppid(),
                                                       .life = options.life,
                                                       .binary = own,
                                                       .last_death = options.last_death,
                                                       .hand_over = [&](const std::string& binary) {
                                                         return hand_over.begin(*mount, binary);
                                                       }}}));
  Status served = ok();
  {
    TRY_ASSIGN(auto control, ControlServer::start(*engine, options.store));
    const StopOnSignal stop(*mount);
    tell_starter(std::string(kReadyText));
    tell_keeper({kSaysReady});
    say_how_it_began(options);
    served = mount->serve([&] {
      engine->start_background();
      tell_keeper({kSaysSettled});
    });
    if (hand_over.asked() && served) {
      // As after a kill, but with nothing under way: what follows must not wait for more.
      const Status synced = engine->live().sync();
      if (!synced) log_error("before making way: {}", synced.error().to_string());
      log_info("made way");
      ::_exit(kExitHandOver);
    }
    engine->stop_collecting();  // before the control server waits for who asked for it
  }
  const Status closed = engine->close();
  mount.reset();  // its hooks were the engine's until now
  log_info("unmounted {}", options.directory);
  TRY(std::move(served));
  TRY(closed);
  return kDone;
}

Result<int> run(const Options& options) {
  const Result<int> served = serve(options);
  if (!served) {
    tell_starter(encode_error(served.error()));
    log_error("{}", served.error().to_string());
    ::_exit(served.error().exit_code());  // the device must be closed by nothing but the end
  }
  return served;
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("serve", "serve a mount (started by amberfs-keeper)");
  command->group("");  // not for people
  auto options = std::make_shared<Options>();
  command->add_option("--store", options->store)->required();
  command->add_option("--dir", options->directory)->required();
  command->add_option("-o", options->mount_options);
  command->add_option("--life", options->life);
  command->add_option("--last", options->last_death);
  command->add_flag("--foreground", options->foreground);
  set_run(*command, context, [options] { return run(*options); });
}

}  // namespace amberfs::tools
