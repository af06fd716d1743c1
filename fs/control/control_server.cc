// SPDX-License-Identifier: Apache-2.0
#include "fs/control/control_server.h"

#include "blockstore/base/log.h"
#include "fs/audit_log.h"
#include "fs/control/control_client.h"
#include "fs/control/control_protocol.h"
#include "fs/control/peer.h"
#include "fs/engine.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace amberfs {
namespace {

// A client that stops in the middle of a message loses its connection after this.
constexpr timeval kMessageTimeout{.tv_sec = 60, .tv_usec = 0};
constexpr int kPollMs = 500;
constexpr std::size_t kReaderRequestMax = 256 * kKiB;

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::start(Engine& engine,
                                                            const std::string& store) {
  const std::string path = store + "/control.sock";
  TRY_ASSIGN(SocketAddress where, SocketAddress::of(store));
  // Left by a server that was killed: this process holds the store's lock, so nobody listens there.
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail(errc_for(errno, Errc::kControl), errno, "remove the old control socket", path);
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(Errc::kControl, errno, "make a socket");
  std::unique_ptr<ControlServer> server(new ControlServer(engine, path, fd));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, where.path().c_str(), sizeof address.sun_path - 1);
  const mode_t old_mask = ::umask(0177);
  const int bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(old_mask);
  if (bound != 0) return fail(errc_for(error, Errc::kControl), error, "bind", path);
  server->let_group_in(engine, store);
  if (::listen(fd, static_cast<int>(kConnectionsMax)) != 0) {
    return fail(Errc::kControl, errno, "listen", path);
  }
  server->accept_ = std::thread([raw = server.get()] { raw->accept_loop(); });
  return server;
}

ControlServer::ControlServer(Engine& engine, std::string socket_path, int fd)
    : service_(engine), socket_path_(std::move(socket_path)), fd_(fd) {}

void ControlServer::let_group_in(const Engine& engine, const std::string& store) {
  const std::string& name = engine.config().access_group;
  if (name.empty()) return;
  const auto group = find_group(name);
  const Status opened =
      group ? open_to_group(store, socket_path_, *group) : Status(fail(group.error()));
  if (!opened) {
    log_error("[access] group: {}", opened.error().to_string());
    return;
  }
  group_ = *group;
}

ControlServer::~ControlServer() {
  stopping_ = true;
  if (accept_.joinable()) {
    accept_.join();
    reap(true);
  }
  ::unlink(socket_path_.c_str());
  ::close(fd_);
}

void ControlServer::accept_loop() {
  while (!stopping_) {
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, kPollMs) <= 0) {
      reap(false);
      continue;
    }
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    reap(false);
    if (const auto refused = begin(fd)) {
      (void)send_message(fd, {MessageKind::kError, encode_error(*refused), {}}).has_value();
      ::close(fd);
    }
  }
}

std::optional<Error> ControlServer::begin(int fd) {
  const std::optional<Caller> caller = caller_at(fd, group_);
  if (!caller) {
    return Error{
        Errc::kDenied,
        EACCES,
        "use the control socket: only root, the user who mounted, and members of the group "
        "in config.toml ([access] group) may",
        {}};
  }
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kMessageTimeout, sizeof kMessageTimeout);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kMessageTimeout, sizeof kMessageTimeout);
  const Error too_many{Errc::kControl,
                       EAGAIN,
                       "use the control socket: the server has too many connections; try again",
                       {}};
  const bool reads_only = caller->access == Caller::Access::kRead;
  MutexLock lock(mu_);
  const auto readers = std::ranges::count_if(connections_, [](const auto& connection) {
    return connection->caller.access == Caller::Access::kRead;
  });
  if (connections_.size() >= kConnectionsMax ||
      (reads_only && static_cast<std::size_t>(readers) >= kReaderConnectionsMax)) {
    return too_many;
  }
  connections_.push_back(std::make_unique<Connection>());
  Connection& connection = *connections_.back();
  connection.fd = fd;
  connection.caller = *caller;
  try {
    connection.thread = std::thread([this, &connection] {
      serve(connection);
      connection.done = true;
    });
  } catch (const std::system_error& e) {
    log_warning("control socket: start a thread: {}", e.what());
    connections_.pop_back();
    return too_many;
  }
  return std::nullopt;
}

// Requests of one connection, one after another, until the peer hangs up or the server stops.
void ControlServer::serve(Connection& connection) {
  const bool reads_only = connection.caller.access == Caller::Access::kRead;
  const MessageLimits limits{.json_max = reads_only ? kReaderRequestMax : kControlJsonMax,
                             .payload_max = 0};
  while (!stopping_) {
    pollfd waiting{.fd = connection.fd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, kPollMs);
    if (ready < 0 && errno != EINTR) return;
    if (ready <= 0) continue;
    const ActorScope actor(actor_of_peer(connection.fd));
    auto request = receive_message(connection.fd, {}, limits);
    if (!request || request->kind != MessageKind::kRequest) return;
    const auto progress = [&](const std::string& json) {
      // Who does not listen to progress may still want the answer; a lost peer shows there.
      (void)send_message(connection.fd, {MessageKind::kProgress, json, {}}).has_value();
    };
    auto reply = service_.call(request->json, progress, connection.caller);
    const Status sent =
        reply ? send_message(connection.fd, {MessageKind::kReply, std::move(reply->json),
                                             std::move(reply->payload)})
              : send_message(connection.fd, {MessageKind::kError, encode_error(reply.error()), {}});
    if (!sent) return;
  }
}

void ControlServer::reap(bool all) {
  MutexLock lock(mu_);
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (!all && !(*it)->done) {
      ++it;
      continue;
    }
    (*it)->thread.join();
    ::close((*it)->fd);
    it = connections_.erase(it);
  }
}

}  // namespace amberfs
