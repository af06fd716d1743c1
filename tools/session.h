// SPDX-License-Identifier: Apache-2.0
// Session: where a command's requests are answered. TARGET is a store or any path in a mounted
// file system. A mounted store is asked through its control socket; an unmounted one is opened in
// this process: the same Service answers, so the answers are the same.
// Threads: one.
// Errors:  kNotAStore, kNotMounted, kStoreLocked, those of the request.
#pragma once

#include "fs/control/control_client.h"
#include "fs/engine.h"

#include <nlohmann/json.hpp>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

namespace amberfs::tools {

using Json = nlohmann::json;

struct MountedStore {
  std::string mount_point;
  std::string store;
};
// The amberfs mounts of this machine, newest last.
[[nodiscard]] Result<std::vector<MountedStore>> mounted_stores();
// The mount that `path` lies in (also a dead one), or that has `path` as its store.
[[nodiscard]] Result<std::optional<MountedStore>> find_mounted(const std::string& path);
// True when the server behind a mount is gone: nothing is answered any more. Asks for statfs, which
// the kernel never answers from its caches.
[[nodiscard]] bool is_dead_mount(const std::string& directory);
// True when a keeper holds the mount, but has given up starting servers: requests fail with EIO.
[[nodiscard]] bool is_given_up(const std::string& directory);
// Absolute, without symlinks as far as it exists, without a trailing slash.
[[nodiscard]] std::string absolute_path(const std::string& path);

// Of the reply to "status": the server that answered; 0 for a store that is not mounted, or while
// a server is only just starting or ending.
[[nodiscard]] pid_t server_in(const Json& status);

class Session {
 public:
  // `options`: of a store that is not mounted.
  [[nodiscard]] static Result<Session> open(const std::string& target,
                                            const OpenOptions& options = {});
  Session(Session&&) = default;
  Session& operator=(Session&&) = delete;
  ~Session() = default;

  struct Answer {
    Json json;
    Bytes payload;
  };
  [[nodiscard]] Result<Answer> call(const Json& request);
  // A "read" request whose bytes are put into `target`. Returns how many; 0 at the end of the file.
  [[nodiscard]] Result<std::size_t> read_into(const Json& request, std::span<char> target);
  // Another session with the same store for another thread: a connection of its own, or the same
  // engine, which this session goes on to own and must outlive the branch.
  [[nodiscard]] Result<Session> branch() const;
  // Closes an engine opened here, reporting what goes wrong. Call it after the last request.
  [[nodiscard]] Status close();
  // Where TARGET itself lies inside the mount ("" for its root), so that paths can be relative.
  [[nodiscard]] const std::string& mount_point() const { return mount_point_; }

 private:
  Session() = default;
  std::optional<ControlClient> client_;
  std::unique_ptr<Io> io_;
  std::unique_ptr<Engine> owned_engine_;
  Engine* engine_ = nullptr;  // of a store that is not mounted; of a branch: borrowed
  std::string store_;         // of a mounted store
  std::string mount_point_;
};

// Sends one request and closes: what most commands do.
[[nodiscard]] Result<Session::Answer> ask(const std::string& target, const Json& request,
                                          const OpenOptions& options = {});

}  // namespace amberfs::tools
