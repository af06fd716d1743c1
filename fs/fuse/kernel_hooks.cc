// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/kernel_hooks.h"

#include "blockstore/base/log.h"
#include "fs/fuse/file_change.h"
#include "fs/fuse/through_mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>

namespace amberfs {
namespace {

// EINTR comes from a request that a program had interrupted; its pages are written again. Another
// error may be of pages that were lost before: their writers are told through their own
// descriptors, and this one is told once. So it is asked again: what fails twice fails now.
Status sync_again(const std::function<Status()>& sync) {
  constexpr int kInterruptedMax = 10;
  bool told = false;
  for (int interrupted = 0;;) {
    Status synced = sync();
    if (synced) return synced;
    if (synced.error().sys_errno == EINTR && ++interrupted < kInterruptedMax) continue;
    if (told) return synced;
    told = true;
    log_warning("{}: pages of a program were lost", synced.error().to_string());
  }
}

Status start_writing_out(const MountPlace& place) {
  TRY_ASSIGN(const ThroughMount root, ThroughMount::open_root(place));
  return sync_again([&] { return root.sync_file_system(); });
}

// fdatasync() waits for the answers to all writes of a file, on every kernel.
Status write_out_file(Edge& edge, Ino ino) {
  auto file = ThroughMount::open(edge.fs, edge.place, ino, O_RDONLY);
  if (!file && file.error().code == Errc::kNoSuchPath) return ok();  // an orphan: in no snapshot
  if (!file) return fail(std::move(file).error());
  return sync_again([&] { return file->sync_data(); });
}

std::string read_link(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  return size > 0 ? std::string(target.data(), static_cast<std::size_t>(size)) : std::string();
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return names;  // the process has ended, or is not ours to look at
  while (const dirent* entry = ::readdir(stream)) names.emplace_back(entry->d_name);
  ::closedir(stream);
  return names;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

// syncfs() starts to write out every dirty page, but does not wait for those of FUSE file systems
// (measured on 6.18); so files that are open for writing are waited for one by one. (Closing a
// file waits, too: no other file can have dirty pages.)
Status KernelHooks::flush_kernel() {
  const std::vector<Ino> writers = edge_.open_files.written();
  if (writers.empty()) return ok();
  TRY(start_writing_out(edge_.place));
  for (const Ino ino : writers) TRY(write_out_file(edge_, ino));
  return ok();
}

Status KernelHooks::change_held(const std::vector<Ino>& inos,
                                const std::function<Status()>& change) {
  MutexLock lock(change_mu_);
  FileChange changing({edge_.fs, edge_.held, notifier_, edge_.place});
  return changing.run(inos, change);
}

Status KernelHooks::change_files(const std::vector<Ino>& inos,
                                 const std::function<Status()>& change) {
  std::vector<Ino> all = inos;
  std::ranges::sort(all);
  all.erase(std::ranges::unique(all).begin(), all.end());
  std::vector<Ino> open;
  for (const auto& file : edge_.fs.open_files()) {
    if (std::ranges::binary_search(all, file.ino)) open.push_back(file.ino);
  }
  const bool few = all.size() <= FileChange::kFilesMax;
  const Status changed = change_held(few ? all : open, change);
  if (few) return changed;
  std::ranges::sort(open);
  for (const Ino ino : all) {
    if (!std::ranges::binary_search(open, ino)) invalidate_inode(ino);
  }
  return changed;
}

void KernelHooks::invalidate_name(Ino directory, ByteView name) {
  notifier_.invalidate_name(directory, name);
}

void KernelHooks::invalidate_inode(Ino ino) {
  if (!notifier_.invalidate_inode(ino)) return;
  const auto view = edge_.fs.view();
  const auto record = view->find_inode(ino);
  if (!record || !*record || !S_ISREG((*record)->mode)) return;
  const auto parents = view->parents(ino);
  if (!parents) return;
  for (const View::Parent& parent : *parents) notifier_.invalidate_name(parent.ino, parent.name);
  if (!notifier_.invalidate_inode(ino)) return;  // it was not in use: forgotten
  if (Status told = change_held({ino}, [] { return ok(); }); !told) {
    log_warning("inode {}: the kernel may keep its old size: {}", ino, told.error().to_string());
  }
}

std::vector<OpenFileUser> KernelHooks::open_file_users() {
  const std::string prefix = edge_.place.path + "/";
  const std::string past = prefix + std::string(kSnapshotsName) + "/";
  std::vector<OpenFileUser> users;
  for (const std::string& process : names_in("/proc")) {
    std::uint32_t pid = 0;
    const char* end = process.data() + process.size();
    if (std::from_chars(process.data(), end, pid).ptr != end) continue;
    if (pid == static_cast<std::uint32_t>(::getpid())) continue;
    const std::string directory = "/proc/" + process + "/fd";
    for (const std::string& name : names_in(directory)) {
      const std::string path = read_link(directory + "/" + name);
      if (!path.starts_with(prefix) || path.starts_with(past)) continue;
      users.push_back({path.substr(prefix.size()), first_line("/proc/" + process + "/comm"), pid});
    }
  }
  return users;
}

void KernelHooks::begin_change() {
  if (changes_++ == 0) edge_.state.set_caches_stale(true);
}

void KernelHooks::end_change() {
  if (--changes_ == 0) edge_.state.set_caches_stale(false);
}

void PageTimer::start() {
  thread_ = std::thread([this] { run(); });
}

void PageTimer::stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PageTimer::run() {
  constexpr auto kEvery = std::chrono::seconds(1);
  while (true) {
    {
      MutexLock lock(mu_);
      if (!stopping_) wake_.wait_for(mu_, kEvery);
      if (stopping_) return;
    }
    if (!edge_.open_files.has_writers()) continue;
    if (Status started = start_writing_out(edge_.place); !started) {
      log_warning("write out the kernel's pages: {}", started.error().to_string());
    }
  }
}

}  // namespace amberfs
