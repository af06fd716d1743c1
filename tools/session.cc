// SPDX-License-Identifier: Apache-2.0
#include "tools/session.h"

#include "blockstore/base/flat_json.h"
#include "fs/service.h"
#include "tools/keeper_process.h"
#include "tools/output.h"
#include "tools/store_key.h"

#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace amberfs::tools {
namespace {

// Octal escapes of /proc/self/mountinfo: \040 is a space.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool is_within(const std::string& path, const std::string& directory) {
  return path == directory || directory == "/" ||
         (path.starts_with(directory) && path[directory.size()] == '/');
}

}  // namespace

Result<std::vector<MountedStore>> mounted_stores() {
  std::ifstream mounts("/proc/self/mountinfo");
  if (!mounts) return fail(Errc::kIo, errno, "read the mount table", "/proc/self/mountinfo");
  std::vector<MountedStore> stores;
  for (std::string line; std::getline(mounts, line);) {
    // id parent device root MOUNT-POINT options [fields] - TYPE SOURCE super-options
    std::istringstream fields(line);
    std::string skipped;
    std::string mount_point;
    std::string type;
    std::string source;
    fields >> skipped >> skipped >> skipped >> skipped >> mount_point;
    while (fields >> skipped && skipped != "-") {
    }
    fields >> type >> source;
    if (type == "fuse.amberfs") stores.push_back({unescape(mount_point), unescape(source)});
  }
  return stores;
}

bool is_dead_mount(const std::string& directory) {
  struct statfs st {};
  return ::statfs(directory.c_str(), &st) != 0 && errno == ENOTCONN;
}

bool is_given_up(const std::string& directory) {
  // Only a keeper that refuses requests answers this with EIO. Asked without waiting for a server
  // that is just starting: by a process that can be left behind.
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    struct statfs st {};
    ::_exit(::statfs(directory.c_str(), &st) != 0 && errno == EIO ? 1 : 0);
  }
  constexpr int kLooks = 20;
  for (int look = 0; look < kLooks; ++look) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      return WIFEXITED(status) && WEXITSTATUS(status) == 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ::kill(child, SIGKILL);
  return false;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  auto absolute = std::filesystem::absolute(path, error);
  if (error) return path;
  // weakly_canonical would stat a dead mount; then the text of the path has to do.
  auto canonical = std::filesystem::weakly_canonical(absolute, error);
  std::string text = (error ? absolute.lexically_normal() : canonical).string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

Result<std::optional<MountedStore>> find_mounted(const std::string& path) {
  const std::string absolute = absolute_path(path);
  TRY_ASSIGN(auto stores, mounted_stores());
  std::optional<MountedStore> found;
  for (const MountedStore& store : stores) {
    const bool better = !found || store.mount_point.size() >= found->mount_point.size();
    if (store.store == absolute) return store;
    if (is_within(absolute, store.mount_point) && better) found = store;
  }
  return found;
}

namespace {

// While a server is being replaced nobody listens for a moment.
Result<ControlClient> connect_to_server(const MountedStore& mounted) {
  constexpr auto kPatience = std::chrono::seconds(10);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    auto client = ControlClient::connect(mounted.store);
    if (client) return client;
    const int error = client.error().sys_errno;
    if (error != ECONNREFUSED && error != ENOENT) return client;
    const bool kept = find_keeper(mounted.mount_point).has_value();
    if (!kept || is_given_up(mounted.mount_point)) {
      const std::string advice = kept ? "mount --recover " + mounted.mount_point
                                      : "umount " + mounted.mount_point + " and mount it again";
      return fail(Errc::kControl, 0,
                  "reach the server: it is dead (see server.log); amberfs " + advice,
                  mounted.store);
    }
    if (std::chrono::steady_clock::now() >= deadline) return client;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

pid_t server_in(const Json& status) {
  const auto pid = status.find("server_pid");
  return pid != status.end() && pid->is_number_integer() ? pid->get<pid_t>() : 0;
}

Result<Session> Session::open(const std::string& target, const OpenOptions& options) {
  Session session;
  TRY_ASSIGN(auto mounted, find_mounted(target));
  if (mounted) {
    session.mount_point_ = mounted->mount_point;
    session.store_ = mounted->store;
    TRY_ASSIGN(session.client_, connect_to_server(*mounted));
    return session;
  }
  session.io_ = make_posix_io();
  auto engine = open_store(*session.io_, absolute_path(target), options);
  if (!engine && engine.error().code == Errc::kNotAStore) {
    return fail(Errc::kNotAStore, 0, "open: neither a store nor inside a mounted amberfs", target);
  }
  TRY_ASSIGN(session.owned_engine_, std::move(engine));
  session.engine_ = session.owned_engine_.get();
  return session;
}

Result<Session> Session::branch() const {
  Session session;
  session.mount_point_ = mount_point_;
  session.store_ = store_;
  session.engine_ = engine_;
  if (client_) {
    TRY_ASSIGN(session.client_, connect_to_server({mount_point_, store_}));
  }
  return session;
}

Result<Session::Answer> Session::call(const Json& request) {
  const std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  const ProgressSink progress = terminal_progress();
  TRY_ASSIGN(Reply reply,
             client_ ? client_->call(text, progress) : Service(*engine_).call(text, progress));
  Answer answer{parse_flat_json(reply.json), std::move(reply.payload)};
  if (!answer.json.is_object()) return fail(Errc::kControl, 0, "read the server's answer");
  return answer;
}

Result<std::size_t> Session::read_into(const Json& request, std::span<char> target) {
  const std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (client_) return client_->read_into(text, target);
  TRY_ASSIGN(const Reply reply, Service(*engine_).call(text, {}));
  if (reply.payload.size() > target.size()) {
    return fail(Errc::kBadRequest, 0, "read: more than there is room for");
  }
  std::ranges::copy(reply.payload, target.begin());
  return reply.payload.size();
}

Status Session::close() {
  return owned_engine_ ? owned_engine_->close() : ok();
}

Result<Session::Answer> ask(const std::string& target, const Json& request,
                            const OpenOptions& options) {
  TRY_ASSIGN(Session session, Session::open(target, options));
  TRY_ASSIGN(Session::Answer answer, session.call(request));
  TRY(session.close());
  return answer;
}

}  // namespace amberfs::tools
