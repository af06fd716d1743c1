// SPDX-License-Identifier: Apache-2.0
// amberfs mount: checks, mounts, starts the keeper, waits until the first server is ready.
//
//   amberfs mount                        keeper                       server (amberfs serve)
//   open the store, adopt, close
//   mount, read INIT
//   fork, exec ────────────────────────→ fork, exec ────────────────→ open the store, take over
//   ←─────────────────────────────────────────────────── "ready" or the error
//                                        … restarts it when it dies   … serves until unmounted
#include "fs/adopt.h"
#include "fs/control/peer.h"
#include "fs/fuse/fuse_device.h"
#include "fs/fuse/mount_point.h"
#include "fs/fuse/mount_state.h"
#include "tools/command.h"
#include "tools/keeper_process.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/store_key.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
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
  bool recover = false;
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

// What must be done before anything is mounted, as it looks at what lies beneath: its errors come
// straight to who mounts. Returns the data key; empty for a plain store.
Result<SecretBytes> prepare_store(const Options& options) {
  const auto io = make_posix_io();
  TRY_ASSIGN(StoreKey key, unlock_store(*io, options.store));
  TRY_ASSIGN(auto engine, Engine::open(*io, options.store, std::move(key.cipher)));
  TRY(prepare_tree(*engine, options));
  TRY(engine->close());
  return std::move(key.data_key);
}

// The mount point is free again for another try.
void give_up_mount(const std::string& directory) {
  ::umount2(directory.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

Status mount_and_serve(const Options& options, const MountOptions& mount_options) {
  TRY(keeper_binary());
  TRY_ASSIGN(const SecretBytes data_key, prepare_store(options));
  TRY_ASSIGN(const std::string point, check_mount_point(options.store, options.directory));
  TRY_ASSIGN(FuseDevice device, FuseDevice::mount(options.store, point, mount_options));
  TRY_ASSIGN(const auto state, MountState::create(device.init_request()));
  KeeperStart start{.device_fd = device.fd(),
                    .state_fd = state->fd(),
                    .mount_point = point,
                    .server = {"serve", "--store", options.store, "--dir", point},
                    .foreground = options.foreground,
                    .data_key = &data_key};
  if (options.foreground) start.server.emplace_back("--foreground");
  if (!options.mount_options.empty()) {
    start.server.insert(start.server.end(), {"-o", options.mount_options});
  }
  Status started = start_keeper(start, give_up_mount);
  if (!started) give_up_mount(point);
  return started;
}

// The keeper refuses requests because its servers kept dying.
Status recover_mount(const std::string& directory) {
  const auto keeper = find_keeper(directory);
  if (!keeper) {
    return fail(Errc::kNotMounted, 0, "recover: no keeper holds a mount there; mount it anew",
                directory);
  }
  if (::kill(*keeper, SIGUSR2) != 0) {
    return fail(Errc::kMountFailed, errno, "recover: ask the keeper", std::to_string(*keeper));
  }
  constexpr auto kPatience = std::chrono::seconds(20);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Result<Session::Answer> status = fail(Errc::kControl, 0, "recover");
  while (!status && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    status = ask(directory, {{"command", "status"}});
  }
  if (!status) {
    return fail(Errc::kMountFailed, 0,
                "recover: the server still cannot start; see server.log. What it says to do to "
                "the store comes after: amberfs umount DIR",
                directory);
  }
  return ok();
}

std::string plain_directory(const std::string& text) {
  std::string path =
      text.starts_with('/') ? text : std::filesystem::current_path().string() + "/" + text;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
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
  options.mount_options = rest;
  TRY(parse_mount_options(rest, mount_options));
  options.directory =
      plain_directory(options.directory.empty() ? options.store : options.directory);
  if (options.recover) {
    TRY(recover_mount(options.directory));
    return kDone;
  }
  options.store = absolute_path(options.store);
  TRY(clean_dead_mount(options.directory));
  options.directory = absolute_path(options.directory);
  mount_options.mount_point = options.directory;
  TRY(check_not_mounted(options));
  // The store first: what is wrong with it matters more than where it would be mounted.
  TRY_ASSIGN(const Config config, read_config(*make_posix_io(), options.store));
  TRY(check_tells_nothing(mount_options, config.encrypted));
  if (!config.access_group.empty()) TRY(find_group(config.access_group));
  TRY(check_mount_point(options.store, options.directory));
  TRY(mount_and_serve(options, mount_options));
  return kDone;
}

}  // namespace

void add_mount(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("mount", "mount a store over a directory");
  auto options = std::make_shared<Options>();
  command->add_option("STORE", options->store, "made with amberfs init")->required();
  command->add_option("DIR", options->directory, "where programs write their logs");
  command->add_flag("--adopt", options->adopt,
                    "take what is in DIR into the store first (the originals stay beneath)");
  command->add_flag("-f,--foreground", options->foreground, "stay in the foreground");
  command->add_flag("--recover", options->recover,
                    "go on with a mount whose server kept dying (give only DIR)");
  command->add_option(
      "-o", options->mount_options,
      "ro, show_snapshots, snapshots=all|root|none, nosuid, nodev, noexec, nonempty, debug, …");
  command->footer(
      "Snapshots appear in DIR/.snapshots/. Undo with amberfs umount DIR.\n"
      "  amberfs mount /var/lib/logstore /var/log --adopt");
  set_run(*command, context, [options] { return run(*options); });
}

}  // namespace amberfs::tools
