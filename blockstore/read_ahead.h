// SPDX-License-Identifier: Apache-2.0
// ReadAhead: loads blocks into the cache in the background, when somebody says they will be read.
// Flow:    prefetch → request → (thread) load.
// Threads: every method from any thread; its own threads start with the first request.
// Owns:    its threads; stop() and the destructor join them.
// Errors:  none: what cannot be loaded ahead is reported by the get() that needs it.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/block_id.h"

#include <deque>
#include <functional>
#include <span>
#include <thread>
#include <vector>

namespace amberfs {

class ReadAhead {
 public:
  using Load = std::function<void(const BlockId&)>;

  explicit ReadAhead(Load load) : load_(std::move(load)) {}
  ~ReadAhead() { stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // What does not fit in the queue is dropped: it is a hint.
  void request(std::span<const BlockId> ids);
  void stop();

 private:
  static constexpr std::size_t kQueueMax = 64;
  static constexpr std::size_t kThreads = 2;  // enough to keep one sequential reader busy

  void start() REQUIRES(mu_);
  void run();

  const Load load_;
  Mutex mu_;
  CondVar wake_;
  std::deque<BlockId> queue_ GUARDED_BY(mu_);
  std::vector<std::thread> threads_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
};

}  // namespace amberfs
