// SPDX-License-Identifier: Apache-2.0
// OpenWriters: which inodes are open for writing: only of those can the kernel hold newer bytes
// than the server. And of which of them such bytes had to be refused: the kernel tells that to
// fsync(2) of every descriptor, but to close(2) of only one, which may be ours.
// Threads: every method from any thread.
#pragma once

#include "blockstore/base/mutex.h"
#include "snapshot/record_format.h"

#include <unordered_map>
#include <vector>

namespace amberfs {

class OpenWriters {
 public:
  void add(Ino ino) {
    MutexLock lock(mu_);
    ++counts_[ino];
  }
  void remove(Ino ino) {
    MutexLock lock(mu_);
    const auto it = counts_.find(ino);
    if (it == counts_.end() || --it->second > 0) return;
    counts_.erase(it);
    lost_.erase(ino);
  }
  // Late pages of `ino` were refused with this errno: close(2) says so until an fsync(2) came
  // through, which means that its caller was told by the one before.
  void note_lost(Ino ino, int sys_errno) {
    MutexLock lock(mu_);
    if (counts_.contains(ino)) lost_[ino] = sys_errno;
  }
  void forget_lost(Ino ino) {
    MutexLock lock(mu_);
    lost_.erase(ino);
  }
  // 0: none.
  [[nodiscard]] int lost_errno(Ino ino) {
    MutexLock lock(mu_);
    const auto it = lost_.find(ino);
    return it == lost_.end() ? 0 : it->second;
  }
  [[nodiscard]] bool contains(Ino ino) {
    MutexLock lock(mu_);
    return counts_.contains(ino);
  }
  [[nodiscard]] bool empty() {
    MutexLock lock(mu_);
    return counts_.empty();
  }
  [[nodiscard]] std::vector<Ino> inos() {
    MutexLock lock(mu_);
    std::vector<Ino> all;
    all.reserve(counts_.size());
    for (const auto& [ino, count] : counts_) all.push_back(ino);
    return all;
  }

 private:
  Mutex mu_;
  std::unordered_map<Ino, std::uint32_t> counts_ GUARDED_BY(mu_);
  std::unordered_map<Ino, int> lost_ GUARDED_BY(mu_);
};

}  // namespace amberfs
