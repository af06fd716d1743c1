// SPDX-License-Identifier: Apache-2.0
#include "blockstore/read_ahead.h"

#include "blockstore/base/log.h"

#include <system_error>

namespace amberfs {

void ReadAhead::request(std::span<const BlockId> ids) {
  MutexLock lock(mu_);
  if (stopping_ || ids.empty()) return;
  if (threads_.empty()) start();
  for (const BlockId& id : ids) {
    if (queue_.size() >= kQueueMax) break;
    queue_.push_back(id);
  }
  wake_.notify_all();
}

void ReadAhead::start() {
  try {
    while (threads_.size() < kThreads) threads_.emplace_back([this] { run(); });
  } catch (const std::system_error& e) {
    log_warning("read-ahead: a thread could not be started: {}", e.what());
  }
}

void ReadAhead::run() {
  while (true) {
    BlockId id;
    {
      MutexLock lock(mu_);
      while (!stopping_ && queue_.empty()) wake_.wait(mu_);
      if (stopping_) return;
      id = queue_.front();
      queue_.pop_front();
    }
    load_(id);
  }
}

void ReadAhead::stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    queue_.clear();
    threads.swap(threads_);
    wake_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace amberfs
