// SPDX-License-Identifier: Apache-2.0
// How long it takes from write(2) until a reader that follows the file, woken by inotify as tail -F
// is, has the line.
#include "tools/benchmark/system_call.h"
#include "tools/benchmark/work.h"

#include <poll.h>
#include <sys/inotify.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

namespace amberfs::benchmark {
namespace {

constexpr std::size_t kLineSize = 150;
constexpr int kPatienceMs = 5000;

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

void follow_lines(const TailWork& work, int fd, int watcher, std::atomic<bool>& ready,
                  std::vector<std::uint64_t>& latencies) {
  std::array<char, 4096> events{};
  std::array<char, kLineSize> line{};
  std::size_t have = 0;
  ready = true;
  while (latencies.size() < work.lines) {
    const ssize_t got = checked(::read(fd, line.data() + have, line.size() - have), "read");
    have += static_cast<std::size_t>(got);
    if (have == line.size()) {
      latencies.push_back(now_ns() - std::strtoull(line.data(), nullptr, 10));
      have = 0;
    }
    if (got > 0) continue;
    pollfd waiting{watcher, POLLIN, 0};
    if (::poll(&waiting, 1, kPatienceMs) != 1) die("follow: no line came");
    checked(::read(watcher, events.data(), events.size()), "read inotify");
  }
}

}  // namespace

Outcome follow(const TailWork& work) {
  const Descriptor writer(work.file, O_WRONLY | O_CREAT | O_APPEND);
  const Descriptor reader(work.file, O_RDONLY);
  checked(::lseek(reader.get(), 0, SEEK_END), "lseek");
  const int watcher = checked(::inotify_init1(IN_CLOEXEC), "inotify_init1");
  checked(::inotify_add_watch(watcher, work.file.c_str(), IN_MODIFY), "inotify_add_watch");
  std::atomic<bool> ready = false;
  Outcome outcome;
  const Stopwatch watch;
  std::thread thread(
      [&] { follow_lines(work, reader.get(), watcher, ready, outcome.latencies_ns); });
  while (!ready) std::this_thread::yield();
  for (unsigned i = 0; i < work.lines; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(work.pause_us));
    std::string line = fmt::format("{:020}", now_ns());
    line.resize(kLineSize - 1, '.');
    line.push_back('\n');
    write_all(writer.get(), line.data(), line.size());
  }
  thread.join();
  checked(::close(watcher), "close inotify");
  outcome.seconds = watch.seconds();
  outcome.operations = work.lines;
  return outcome;
}

}  // namespace amberfs::benchmark
