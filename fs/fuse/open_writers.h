// SPDX-License-Identifier: Apache-2.0
// OpenWriters: which inodes are open for writing: only of those can the kernel hold newer bytes
// than the server.
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
    if (it != counts_.end() && --it->second == 0) counts_.erase(it);
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
};

}  // namespace amberfs
