// SPDX-License-Identifier: Apache-2.0
// ControlServer: answers requests on STORE/control.sock with a Service, while the store is mounted.
// Threads: one that accepts and one a connection, at most kConnectionsMax; none serves FUSE
// requests,
//          so commands may wait for the kernel.
// Access:  the socket has mode 0600, and the peer must be root or the user who mounted.
// Owns:    the socket file and the threads; borrows the engine.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/service.h"

#include <atomic>
#include <list>
#include <memory>
#include <thread>

namespace amberfs {

class ControlServer {
 public:
  static constexpr std::size_t kConnectionsMax = 128;

  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> start(Engine& engine,
                                                                    const std::string& store);
  // Ends all connections once the request at hand is answered, and removes the socket.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Connection {
    int fd = -1;
    std::thread thread;
    std::atomic<bool> done{false};
  };
  ControlServer(Engine& engine, std::string socket_path, int fd);

  void accept_loop();
  void serve(Connection& connection);
  [[nodiscard]] bool peer_may_ask(int fd) const;
  void reap(bool all);

  Service service_;
  const std::string socket_path_;
  const int fd_;
  std::atomic<bool> stopping_{false};
  Mutex mu_;
  std::list<std::unique_ptr<Connection>> connections_ GUARDED_BY(mu_);
  std::thread accept_;
};

}  // namespace amberfs
