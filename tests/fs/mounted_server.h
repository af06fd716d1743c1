// SPDX-License-Identifier: Apache-2.0
// MountedServer: a store served on a real mount by another process, and what a test asks that
// process to do: one line of text there, one back. Whatever happens, the mount is gone at the end:
// a server that dies ends its connection, and this one kills itself after a time-out. Threads: one
// test thread. Owns:    the server process, the mount, the directories.
#pragma once

#include "fs/fuse/fuse_mount.h"
#include "tests/support/both_forms.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace amberfs::testing {

inline bool can_mount() {
  return ::geteuid() == 0 && ::access("/dev/fuse", R_OK | W_OK) == 0;
}

class MountedServer {
 public:
  // Answers what answer_common() does not know.
  using Answer = std::function<std::string(Engine&, const std::vector<std::string>& words)>;

  explicit MountedServer(std::string more_config = {}, std::string options = {}, Answer answer = {})
      : more_config_(std::move(more_config)),
        options_(std::move(options)),
        answer_(std::move(answer)) {
    ::chmod(directory_.path().c_str(), 0755);  // other users come here, too
    ::mkdir(mount_point().c_str(), 0755);
    ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets_);
    server_ = ::fork();
    if (server_ == 0) {
      ::close(sockets_[0]);
      ::_exit(run());
    }
    ::close(sockets_[1]);
    EXPECT_EQ(receive(sockets_[0]), "ready");
  }
  ~MountedServer() {
    ::close(sockets_[0]);  // the server then unmounts
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 1000 && ended == 0; ++i) {
      ended = ::waitpid(server_, &status, WNOHANG);
      if (ended == 0) ::usleep(10'000);
    }
    EXPECT_EQ(ended, server_) << "the server does not end";
    EXPECT_EQ(status, 0) << "the server ended with an error";
    if (ended == 0) {
      ::kill(server_, SIGKILL);
      ::waitpid(server_, &status, 0);
    }
    ::umount2(mount_point().c_str(), MNT_DETACH);
  }
  MountedServer(const MountedServer&) = delete;
  MountedServer& operator=(const MountedServer&) = delete;

  [[nodiscard]] std::string mount_point() const { return directory_ / "mount"; }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return mount_point() + "/" + name;
  }
  // Words are separated by spaces.
  std::string ask(const std::string& line) {
    ::send(sockets_[0], line.data(), line.size(), MSG_NOSIGNAL);
    return receive(sockets_[0]);
  }

 private:
  static std::string receive(int socket) {
    std::string text(64 * 1024, '\0');
    const ssize_t size = ::recv(socket, text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }
  static std::vector<std::string> words_of(const std::string& line) {
    std::vector<std::string> words(1);
    for (const char c : line) {
      if (c == ' ') {
        words.emplace_back();
      } else {
        words.back().push_back(c);
      }
    }
    return words;
  }
  template <class T>
  static std::string text_of(const Result<T>& result) {
    return result ? "ok" : result.error().to_string();
  }

  int run() {
    std::thread([] {
      ::sleep(100);
      ::_exit(99);
    }).detach();
    const std::string store = directory_ / "store";
    const auto io = make_posix_io();
    const std::string config = testing::test_config_text(std::string(32, 'a'));
    Status created = testing::create_store(*io, store, config);
    if (created && !more_config_.empty())
      created = io->replace_file(store + "/config.toml", with_more(config));
    if (!created) return fail_with(created.error());
    auto engine = testing::open_engine(*io, store);
    if (!engine) return fail_with(engine.error());
    MountOptions options{.mount_point = mount_point()};
    Status parsed = parse_mount_options(options_, options);
    if (!parsed) return fail_with(parsed.error());
    auto mounted = FuseMount::mount(**engine, options);
    if (!mounted) return fail_with(mounted.error());
    std::thread control([&] { answer_all(**engine, **mounted); });
    const Status served = (*mounted)->serve([] {});
    ::shutdown(sockets_[1], SHUT_RDWR);
    control.join();
    const Status closed = (*engine)->close();
    return served && closed ? 0 : 1;
  }
  // `more_config_` is "old=new": the text of one setting replaced.
  std::string with_more(std::string config) const {
    const std::size_t bar = more_config_.find('|');
    const std::string old = more_config_.substr(0, bar);
    const std::size_t at = config.find(old);
    if (at != std::string::npos) config.replace(at, old.size(), more_config_.substr(bar + 1));
    return config;
  }
  int fail_with(const Error& error) {
    const std::string text = error.to_string();
    ::send(sockets_[1], text.data(), text.size(), MSG_NOSIGNAL);
    return 3;
  }
  void answer_all(Engine& engine, FuseMount& mounted) {
    while (engine.hooks() == nullptr) ::usleep(1000);
    std::string reply = "ready";
    while (::send(sockets_[1], reply.data(), reply.size(), MSG_NOSIGNAL) > 0) {
      const std::string line = receive(sockets_[1]);
      if (line.empty()) break;
      const auto words = words_of(line);
      reply = answer_common(engine, words);
      if (reply.empty() && answer_) reply = answer_(engine, words);
      if (reply.empty()) reply = "not understood";
    }
    mounted.stop();
  }
  static std::string answer_common(Engine& engine, const std::vector<std::string>& words) {
    if (words[0] == "flush") return text_of(engine.hooks()->flush_kernel());
    if (words[0] == "snapshot") {
      const auto made = engine.snapshot({.name = words.at(1), .reason = {}});
      return made ? format_time(made->manifest.time_ns) : made.error().to_string();
    }
    if (words[0] == "rollback") {
      const auto target = engine.catalog().resolve(words.at(1));
      return target ? text_of(engine.rollback(*target, true)) : target.error().to_string();
    }
    if (words[0] == "size") {  // as the server has it
      const auto ino = engine.live_view()->resolve_path(words.at(1));
      if (!ino) return ino.error().to_string();
      const auto attr = engine.filesystem().getattr(*ino);
      return attr ? std::to_string(attr->record.size_bytes) : attr.error().to_string();
    }
    return {};
  }

  TempDir directory_;
  const std::string more_config_;
  const std::string options_;
  const Answer answer_;
  int sockets_[2] = {-1, -1};
  pid_t server_ = -1;
};

}  // namespace amberfs::testing
