// SPDX-License-Identifier: Apache-2.0
// ControlClient: one connection to a mounted store's server.
// Threads: one.
// Owns:    the socket.
// Errors:  kControl when there is no server; otherwise the error that the server answered.
#pragma once

#include "fs/control/control_protocol.h"
#include "fs/service.h"

#include <span>

namespace amberfs {

class ControlClient {
 public:
  [[nodiscard]] static Result<ControlClient> connect(const std::string& store);
  ControlClient(ControlClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ControlClient& operator=(ControlClient&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~ControlClient();

  [[nodiscard]] Result<Reply> call(const std::string& request_json, const ProgressSink& progress);
  // A "read" whose bytes come straight into `target`, without a copy of their own. Returns how
  // many; kControl when they do not fit.
  [[nodiscard]] Result<std::size_t> read_into(const std::string& request_json,
                                              std::span<char> target);

 private:
  explicit ControlClient(int fd) : fd_(fd) {}
  // Sends a request and receives up to the reply to it.
  [[nodiscard]] Result<Message> exchange(const std::string& request_json,
                                         const ProgressSink& progress, std::span<char> target);
  int fd_;
};

// The socket of a store; longer paths than a socket address holds are reached through a descriptor
// of the directory.
class SocketAddress {
 public:
  [[nodiscard]] static Result<SocketAddress> of(const std::string& store);
  SocketAddress(SocketAddress&& other) noexcept
      : path_(std::move(other.path_)), directory_fd_(std::exchange(other.directory_fd_, -1)) {}
  SocketAddress& operator=(SocketAddress&&) = delete;
  ~SocketAddress();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  SocketAddress(std::string path, int fd) : path_(std::move(path)), directory_fd_(fd) {}
  std::string path_;
  int directory_fd_;
};

}  // namespace amberfs
