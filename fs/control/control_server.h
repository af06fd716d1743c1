// SPDX-License-Identifier: Apache-2.0
// ControlServer: answers requests on STORE/control.sock with a Service, while the store is mounted.
// Threads: one that accepts and one a connection, at most kConnectionsMax; none serves FUSE
// requests,
//          so commands may wait for the kernel.
// Access:  root and the user who mounted may ask for everything, members of config.toml's [access]
//          group for what only reads (fs/service_access.h). The socket's mode says the same: 0600,
//          or 0660 with that group; the store's directory lets the group pass. A group that there
//          is not is logged: the mount must not fail for it.
// Owns:    the socket file and the threads; borrows the engine.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/service.h"

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <thread>

namespace amberfs {

class ControlServer {
 public:
  static constexpr std::size_t kConnectionsMax = 128;
  // Of those who may only read: they cannot keep root out.
  static constexpr std::size_t kReaderConnectionsMax = 32;

  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> start(Engine& engine,
                                                                    const std::string& store);
  // Ends all connections once the request at hand is answered, and removes the socket.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Connection {
    int fd = -1;
    Caller caller;
    std::thread thread;
    std::atomic<bool> done{false};
  };
  ControlServer(Engine& engine, std::string socket_path, int fd);

  void let_group_in(const Engine& engine, const std::string& store);

  void accept_loop();
  // Why nobody is served there, or nothing.
  [[nodiscard]] std::optional<Error> begin(int fd) EXCLUDES(mu_);
  void serve(Connection& connection);
  void reap(bool all);

  Service service_;
  const std::string socket_path_;
  const int fd_;
  std::optional<gid_t> group_;  // whose members may read
  std::atomic<bool> stopping_{false};
  Mutex mu_;
  std::list<std::unique_ptr<Connection>> connections_ GUARDED_BY(mu_);
  std::thread accept_;
};

}  // namespace amberfs
