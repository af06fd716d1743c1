// SPDX-License-Identifier: Apache-2.0
#include "tools/keeper_process.h"

#include "fs/control/control_protocol.h"
#include "fs/fuse/mount_state_layout.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <fstream>
#include <sstream>

namespace amberfs::tools {
namespace {

constexpr const char* kKeeperName = "amberfs-keeper";

void leave_terminal() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  ::close(null);
}

// Puts each descriptor where the keeper expects it, out of the others' way first.
Status place_descriptors(const KeeperStart& start, int ready, int data_key) {
  constexpr int kFree = 16;
  const std::array<std::pair<int, int>, 4> places{{{start.device_fd, kDeviceFd},
                                                   {start.state_fd, kStateFd},
                                                   {ready, kReadyFd},
                                                   {data_key, kDataKeyFd}}};
  std::array<int, 4> copies{};
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].first < 0) continue;
    copies[i] = ::fcntl(places[i].first, F_DUPFD, kFree);
    if (copies[i] < 0) return fail(Errc::kMountFailed, errno, "start the keeper");
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].first < 0) continue;
    if (::dup2(copies[i], places[i].second) < 0) {
      return fail(Errc::kMountFailed, errno, "start the keeper");
    }
  }
  ::close(kKeeperFd);
  if (data_key < 0) ::close(kDataKeyFd);
  ::close_range(kDataKeyFd + 1, ~0U, 0);
  return ok();
}

// Only returns when it failed.
Status become_keeper(const KeeperStart& start, int ready, int data_key, const std::string& keeper) {
  TRY_ASSIGN(const std::string binary, own_binary());
  if (::chdir("/") != 0) return fail(Errc::kMountFailed, errno, "leave the directory");
  ::umask(0);
  TRY(place_descriptors(start, ready, data_key));
  if (!start.foreground) leave_terminal();
  std::vector<std::string> words{kKeeperName, start.mount_point, binary};
  words.insert(words.end(), start.server.begin(), start.server.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(keeper.c_str(), arguments.data());
  return fail(Errc::kMountFailed, errno, "run", keeper);
}

// A pipe that holds the key, to be read by the keeper; -1 for a plain store. The bytes are in the
// kernel only, until they are read: an exec leaves nothing of this process.
Result<int> pipe_with(const SecretBytes* data_key) {
  if (data_key == nullptr || data_key->empty()) return -1;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::kIo, errno, "make a pipe");
  const ssize_t n = ::write(ends[1], data_key->view().data(), data_key->size());
  ::close(ends[1]);
  if (n == static_cast<ssize_t>(kDataKeySize)) return ends[0];
  ::close(ends[0]);
  return fail(Errc::kMountFailed, 0, "hand the key to the keeper");
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

// What the first server said before it closed the pipe.
Status first_words(int fd, const std::string& mount_point) {
  const std::string text = read_to_end(fd);
  ::close(fd);
  if (text == kReadyText) return ok();
  if (text.empty()) {
    return fail(Errc::kMountFailed, 0, "mount: the server died at its start; see server.log",
                mount_point);
  }
  return fail(decode_error(text));
}

}  // namespace

Result<std::string> own_binary() {
  std::array<char, PATH_MAX> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return fail(Errc::kMountFailed, errno, "find this binary", "/proc/self/exe");
  std::string text(path.data(), static_cast<std::size_t>(size));
  constexpr std::string_view kDeleted = " (deleted)";  // replaced by a newer one: run that
  if (text.ends_with(kDeleted)) text.resize(text.size() - kDeleted.size());
  return text;
}

Result<std::string> keeper_binary() {
  TRY_ASSIGN(const std::string own, own_binary());
  const std::string path = own.substr(0, own.rfind('/') + 1) + kKeeperName;
  if (::access(path.c_str(), X_OK) != 0) {
    return fail(Errc::kMountFailed, errno, "mount: it belongs beside amberfs; run", path);
  }
  return path;
}

Status start_keeper(const KeeperStart& start, void (*give_up)(const std::string&)) {
  TRY_ASSIGN(const std::string keeper, keeper_binary());
  TRY_ASSIGN(const int data_key, pipe_with(start.data_key));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::kIo, errno, "make a pipe");
  const pid_t child = ::fork();
  if (child < 0) return fail(Errc::kIo, errno, "start the keeper");
  const bool keeps = start.foreground ? child > 0 : child == 0;
  if (keeps) {
    ::close(ends[0]);
    if (!start.foreground) ::setsid();
    const Status failed = become_keeper(start, ends[1], data_key, keeper);
    if (start.foreground) return failed;
    const std::string text = encode_error(failed.error());
    (void)!::write(ends[1], text.data(), text.size());
    ::_exit(failed.error().exit_code());
  }
  ::close(ends[1]);
  if (data_key >= 0) ::close(data_key);
  if (!start.foreground) return first_words(ends[0], start.mount_point);
  ::close(start.device_fd);  // only the keeper and its servers hold the mount
  const Status told = first_words(ends[0], start.mount_point);
  if (!told) {
    fmt::print(stderr, "amberfs: {}\n", told.error().to_string());
    give_up(start.mount_point);
  }
  ::_exit(0);
}

Result<SecretBytes> take_data_key() {
  if (::fcntl(kDataKeyFd, F_GETFD) < 0) return SecretBytes();
  forbid_core_files();
  TRY_ASSIGN(SecretBytes key, SecretBytes::zeros(kDataKeySize));
  std::size_t done = 0;
  while (done < key.size()) {
    const ssize_t n = ::read(kDataKeyFd, key.data() + done, key.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  ::close(kDataKeyFd);
  if (done == key.size()) return key;
  return fail(Errc::kMountFailed, 0, "take the key from the keeper: it has none");
}

std::optional<pid_t> find_keeper(const std::string& mount_point) {
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return std::nullopt;
  std::optional<pid_t> found;
  while (const dirent* entry = ::readdir(processes)) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    std::ifstream file("/proc/" + std::string(name) + "/cmdline", std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    const std::string words = text.str();
    const std::string wanted = std::string(kKeeperName) + '\0' + mount_point + '\0';
    if (words.starts_with(wanted)) found = pid;
  }
  ::closedir(processes);
  return found;
}

}  // namespace amberfs::tools
