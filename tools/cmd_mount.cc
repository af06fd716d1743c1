// SPDX-License-Identifier: Apache-2.0
// amberfs mount: checks, forks the server, waits until the mount answers.
//
//   parent                                child
//   fork ───────────────────────────────→ setsid, log to STORE/server.log
//   waits on a pipe                       open engine, adopt, mount, start threads
//   ←──────────────── "" or the error ──  serve
//   stat(DIR): the mount answers          … until unmounted or told to stop; close
#include "blockstore/base/log.h"
#include "fs/adopt.h"
#include "fs/control/control_protocol.h"
#include "fs/control/control_server.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/mount_point.h"
#include "fs/memory.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <thread>

namespace amberfs::tools {
namespace {

struct Options {
  std::string store;
  std::string directory;
  std::string mount_options;
  bool adopt = false;
  bool foreground = false;
  bool nonempty = false;
};

// What a killed server leaves behind answers nothing: it goes before a new one comes.
Status clean_dead_mount(const std::string& directory) {
  if (!is_dead_mount(directory)) return ok();
  if (::umount2(directory.c_str(), MNT_DETACH) != 0) {
    return fail(Errc::kMountFailed, errno, "remove the dead mount a killed server left", directory);
  }
  fmt::print(stderr, "amberfs: removed the dead mount that a killed server left on {}\n",
             directory);
  return ok();
}

Result<bool> is_empty_directory(const std::string& directory) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().filename() != "lost+found") return false;
  }
  if (error) {
    return fail(Errc::kBadMountPoint, error.value(), "use as a mount point: give a directory",
                directory);
  }
  return true;
}

Status check_not_mounted(const Options& options) {
  TRY_ASSIGN(auto stores, mounted_stores());
  for (const MountedStore& mounted : stores) {
    if (mounted.store == options.store) {
      return fail(Errc::kStoreLocked, 0,
                  "mount: the store is mounted already on " + mounted.mount_point, options.store);
    }
    if (mounted.mount_point == options.directory) {
      return fail(
          Errc::kBadMountPoint, EBUSY,
          "mount: " + mounted.store + " is mounted there; unmount it first with amberfs umount",
          options.directory);
    }
  }
  return ok();
}

void show_adopted(const AdoptReport& report, const std::string& directory) {
  fmt::print(stderr, "Took in {} files, {} directories, {} others: {}\n", report.files,
             report.directories, report.others, human_size(report.bytes));
  for (const std::string& warning : report.warnings) fmt::print(stderr, "warning: {}\n", warning);
  const auto holders = holders_of(directory);
  for (const OpenFileUser& holder : holders) {
    fmt::print(stderr, "pid {} ({}) holds {}/{} open underneath\n", holder.pid, holder.command,
               directory, holder.path);
  }
  if (!holders.empty()) {
    fmt::print(stderr,
               "These go on writing to the originals: restart them, or send them HUP, once it is "
               "mounted.\n");
  }
}

// An empty store takes on owner and mode of the directory it is mounted over.
Status take_root_attributes(Engine& engine, const std::string& directory) {
  if (engine.live().totals().inode_count != 1 || engine.catalog().count() != 0) return ok();
  struct stat st {};
  if (::stat(directory.c_str(), &st) != 0) {
    return fail(Errc::kBadMountPoint, errno, "stat the mount point", directory);
  }
  SetAttr set;
  set.uid = st.st_uid;
  set.gid = st.st_gid;
  TRY(engine.filesystem().setattr({}, kRootIno, set));
  SetAttr mode;
  mode.mode = st.st_mode & 07777;
  TRY(engine.filesystem().setattr({}, kRootIno, mode));
  return ok();
}

Status prepare_tree(Engine& engine, const Options& options) {
  if (options.adopt) {
    TRY_ASSIGN(AdoptReport report, adopt(engine, options.directory, [](const AdoptReport& so_far) {
                 if (::isatty(STDERR_FILENO) == 0) return;
                 fmt::print(stderr, "\rtaking in: {} files, {}\033[K\r", so_far.files,
                            human_size(so_far.bytes));
               }));
    show_adopted(report, options.directory);
    return ok();
  }
  TRY_ASSIGN(bool empty, is_empty_directory(options.directory));
  if (!empty && !options.nonempty && engine.head().adopted_directory != options.directory) {
    return fail(Errc::kMountPointNotEmpty, 0, "mount: it holds files that would be hidden",
                options.directory);
  }
  return take_root_attributes(engine, options.directory);
}

// Stops the mount on SIGTERM or SIGINT. These are blocked in every thread and taken here.
class StopOnSignal {
 public:
  explicit StopOnSignal(FuseMount& mount) {
    thread_ = std::thread([this, &mount] {
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

Status serve(const Options& options, const MountOptions& mount_options,
             const std::function<void()>& ready) {
  const auto io = make_posix_io();
  TRY_ASSIGN(auto engine, Engine::open(*io, options.store));
  if (!options.foreground) TRY(open_log_file(options.store + "/server.log"));
  lower_oom_score();
  keep_memory_reserve();
  TRY(prepare_tree(*engine, options));
  StopOnSignal::block();
  TRY_ASSIGN(auto mount, FuseMount::mount(*engine, mount_options));
  // A new mount: the kernel holds nothing of the last one any more.
  TRY(engine->filesystem().drop_orphans());
  engine->start_background();
  Status served = ok();
  {
    TRY_ASSIGN(auto control, ControlServer::start(*engine, options.store));
    const StopOnSignal stop(*mount);
    ready();
    log_info("mounted {} on {}", options.store, options.directory);
    served = mount->serve();
  }
  const Status closed = engine->close();
  mount.reset();  // its hooks were the engine's until now
  log_info("unmounted {}", options.directory);
  TRY(served);
  return closed;
}

void write_all(int fd, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n <= 0) return;  // the parent is gone: nobody to tell
    done += static_cast<std::size_t>(n);
  }
}

void leave_terminal() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  ::close(null);
}

[[noreturn]] void run_server(const Options& options, const MountOptions& mount_options, int pipe) {
  ::setsid();
  ::umask(0);
  if (::chdir("/") != 0) ::_exit(kCouldNot);  // never inside the mount: a core file goes there
  bool told = false;
  const Status served = serve(options, mount_options, [&] {
    told = true;
    leave_terminal();
    ::close(pipe);
  });
  if (served) ::_exit(kDone);
  if (told) {
    log_error("{}", served.error().to_string());
  } else {
    write_all(pipe, encode_error(served.error()));
  }
  ::_exit(served.error().exit_code());
}

Status start_server(const Options& options, const MountOptions& mount_options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::kIo, errno, "make a pipe");
  const pid_t child = ::fork();
  if (child < 0) return fail(Errc::kIo, errno, "start the server");
  if (child == 0) {
    ::close(ends[0]);
    run_server(options, mount_options, ends[1]);
  }
  ::close(ends[1]);
  std::string error;
  char buffer[4096];
  while (true) {
    const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    error.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  if (!error.empty()) return fail(decode_error(error));
  struct statfs st {};
  if (::statfs(options.directory.c_str(), &st) != 0) {
    return fail(Errc::kMountFailed, errno,
                "mount: the server died; see " + options.store + "/server.log", options.directory);
  }
  return ok();
}

Result<int> run(Options options) {
  MountOptions mount_options;
  // "nonempty" concerns only the checks made here.
  std::string rest;
  for (const std::string& word : CLI::detail::split(options.mount_options, ',')) {
    if (word == "nonempty") {
      options.nonempty = true;
    } else {
      rest += (rest.empty() ? "" : ",") + word;
    }
  }
  TRY(parse_mount_options(rest, mount_options));
  options.store = absolute_path(options.store);
  options.directory = options.directory.starts_with('/')
                          ? options.directory
                          : std::filesystem::current_path().string() + "/" + options.directory;
  while (options.directory.size() > 1 && options.directory.ends_with('/')) {
    options.directory.pop_back();
  }
  TRY(clean_dead_mount(options.directory));
  options.directory = absolute_path(options.directory);
  mount_options.mount_point = options.directory;
  TRY(check_not_mounted(options));
  // The store first: what is wrong with it matters more than where it would be mounted.
  TRY(read_config(*make_posix_io(), options.store));
  TRY(check_mount_point(options.store, options.directory));
  if (!options.foreground) {
    TRY(start_server(options, mount_options));
    return kDone;
  }
  TRY(serve(options, mount_options, [] {}));
  return kDone;
}

}  // namespace

void add_mount(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("mount", "mount a store over a directory");
  auto options = std::make_shared<Options>();
  command->add_option("STORE", options->store, "made with amberfs init")->required();
  command->add_option("DIR", options->directory, "where programs write their logs")->required();
  command->add_flag("--adopt", options->adopt,
                    "take what is in DIR into the store first (the originals stay beneath)");
  command->add_flag("-f,--foreground", options->foreground, "stay in the foreground");
  command->add_option("-o", options->mount_options,
                      "ro, show_snapshots, nosuid, nodev, noexec, nonempty, debug, …");
  command->footer(
      "Snapshots appear in DIR/.snapshots/. Undo with amberfs umount DIR.\n"
      "  amberfs mount /var/lib/logstore /var/log --adopt");
  set_run(*command, context, [options] { return run(*options); });
}

}  // namespace amberfs::tools
