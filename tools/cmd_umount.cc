// SPDX-License-Identifier: Apache-2.0
// amberfs umount: unmounts and waits until the server has closed the store.
#include "fs/adopt.h"
#include "tools/command.h"
#include "tools/keeper_process.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <initializer_list>
#include <thread>

namespace amberfs::tools {
namespace {

// An ordinary user's mount goes through the set-user-id helper that made it.
int unmount_as_user(const std::string& directory, bool lazy) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    const char* flag = lazy ? "-uz" : "-u";
    ::execlp("fusermount3", "fusermount3", flag, "--", directory.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EBUSY;
}

int unmount(const std::string& directory, bool lazy) {
  // UMOUNT_NOFOLLOW: the last part must not lead elsewhere.
  if (::umount2(directory.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return 0;
  return errno == EPERM ? unmount_as_user(directory, lazy) : errno;
}

// The server's pid; 0 when it does not answer.
pid_t server_of(const std::string& target) {
  const auto status = ask(target, {{"command", "status"}});
  return status ? server_in(status->json) : 0;
}

// True while the process runs; one that nobody has waited for yet is gone as well.
bool is_running(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return false;
  const auto behind_name = line.rfind(") ");
  return behind_name == std::string::npos || line.compare(behind_name + 2, 1, "Z") != 0;
}

// The lock says that the store is closed; the process holds its log a moment longer, and who
// unmounts the disk beneath next would find it busy.
Status wait_for_server(const std::string& store, std::initializer_list<pid_t> processes) {
  const auto any_runs = [&] {
    return std::ranges::any_of(processes, [](pid_t pid) { return pid != 0 && is_running(pid); });
  };
  constexpr auto kPatience = std::chrono::seconds(120);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (any_runs()) {  // and may need the lock itself
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    auto lock = FileLock::acquire(store + "/lock");
    // A disk that failed may be read-only by now: then the processes alone tell.
    const bool closed = lock || lock.error().code == Errc::kReadOnlyDisk;
    if (closed) return ok();
    if (lock.error().code != Errc::kStoreLocked) return fail(std::move(lock).error());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return fail(Errc::kStoreLocked, 0,
              "unmount: it is unmounted, but the server still works on the store after 120 s; see "
              "server.log",
              store);
}

std::unexpected<Error> busy(const std::string& directory) {
  std::string users;
  for (const OpenFileUser& user : holders_of(directory)) {
    users += fmt::format("{}{} (pid {}) has {}", users.empty() ? ": " : ", ", user.command,
                         user.pid, user.path);
  }
  return fail(Errc::kMountBusy, EBUSY,
              "unmount" + (users.empty() ? std::string(": a program works in it") : users),
              directory);
}

Result<int> run(const std::string& target, bool lazy) {
  TRY_ASSIGN(auto mounted, find_mounted(target));
  if (!mounted) return fail(Errc::kNotMounted, 0, "unmount: no amberfs is mounted there", target);
  const bool dead = is_given_up(mounted->mount_point) || is_dead_mount(mounted->mount_point);
  const pid_t server = dead ? 0 : server_of(mounted->mount_point);
  const auto keeper = find_keeper(mounted->mount_point);
  const int error = unmount(mounted->mount_point, lazy || dead);
  if (error == EBUSY) return busy(mounted->mount_point);
  if (error != 0) return fail(Errc::kMountFailed, error, "unmount", mounted->mount_point);
  if (!lazy) TRY(wait_for_server(mounted->store, {server, keeper.value_or(0)}));
  return kDone;
}

}  // namespace

void add_umount(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("umount", "unmount, and wait until the store is closed");
  auto target = std::make_shared<std::string>();
  auto lazy = std::make_shared<bool>(false);
  command->add_option("TARGET", *target, "the mounted directory or its store")->required();
  command->add_flag("-l,--lazy", *lazy, "also while programs use it: it goes when they are done");
  command->footer("  amberfs umount /var/log");
  set_run(*command, context, [target, lazy] { return run(*target, *lazy); });
}

}  // namespace amberfs::tools
