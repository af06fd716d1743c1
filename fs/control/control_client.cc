// SPDX-License-Identifier: Apache-2.0
#include "fs/control/control_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace amberfs {

Result<SocketAddress> SocketAddress::of(const std::string& store) {
  std::string path = store + "/control.sock";
  if (path.size() < sizeof(sockaddr_un{}.sun_path)) return SocketAddress(std::move(path), -1);
  const int fd = ::open(store.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(Errc::kControl, errno, "open the store's directory", store);
  return SocketAddress("/proc/self/fd/" + std::to_string(fd) + "/control.sock", fd);
}

SocketAddress::~SocketAddress() {
  if (directory_fd_ >= 0) ::close(directory_fd_);
}

Result<ControlClient> ControlClient::connect(const std::string& store) {
  TRY_ASSIGN(SocketAddress where, SocketAddress::of(store));
  ControlClient client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (client.fd_ < 0) return fail(Errc::kControl, errno, "make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, where.path().c_str(), sizeof address.sun_path - 1);
  if (::connect(client.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES || errno == EPERM) {
      return fail(Errc::kDenied, errno,
                  "reach the server of the mounted store: only root, the user who mounted, and "
                  "members of the group in its config.toml ([access] group) may",
                  store);
    }
    return fail(Errc::kControl, errno, "reach the server of the mounted store", store);
  }
  return client;
}

ControlClient::~ControlClient() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Message> ControlClient::exchange(const std::string& request_json,
                                        const ProgressSink& progress, std::span<char> target) {
  Status sent = send_message(fd_, {MessageKind::kRequest, request_json, {}});
  while (true) {
    Result<Message> received = receive_message(fd_, target);
    // A server that refuses says why before it hangs up.
    if (!sent && (!received || received->kind != MessageKind::kError)) {
      return fail(std::move(sent).error());
    }
    if (!received) return fail(std::move(received).error());
    Message message = *std::move(received);
    switch (message.kind) {
      case MessageKind::kReply:
        return message;
      case MessageKind::kError:
        return fail(decode_error(message.json));
      case MessageKind::kProgress:
        if (progress) progress(message.json);
        break;
      case MessageKind::kRequest:
        return fail(Errc::kControl, 0, "read the server's answer: it is a request");
    }
  }
}

Result<Reply> ControlClient::call(const std::string& request_json, const ProgressSink& progress) {
  TRY_ASSIGN(Message message, exchange(request_json, progress, {}));
  return Reply{std::move(message.json), std::move(message.payload)};
}

Result<std::size_t> ControlClient::read_into(const std::string& request_json,
                                             std::span<char> target) {
  TRY_ASSIGN(const Message message, exchange(request_json, {}, target));
  if (!message.payload.empty()) {
    return fail(Errc::kControl, 0, "read the server's answer: more than was asked for");
  }
  return message.placed;
}

}  // namespace amberfs
