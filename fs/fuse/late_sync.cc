// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/late_sync.h"

#include "fs/fuse/fuse_edge.h"

#include <utility>

namespace amberfs {

void LateSync::start() {
  MutexLock lock(mu_);
  started_ = true;
  thread_ = std::thread([this] { run(); });
}

void LateSync::stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool LateSync::answer_later(fuse_req_t request, bool others_wait) {
  MutexLock lock(mu_);
  if (!started_) return false;  // sync_to() shares flushes by itself
  if (!flushing_ && !others_wait && waiting_.empty()) {
    flushing_ = true;
    return false;
  }
  waiting_.push_back(request);
  if (!flushing_ && waiting_.size() == 1) wake_.notify_one();
  return true;
}

void LateSync::flush_for(std::vector<fuse_req_t> requests) {
  const Status synced = fs_.sync();
  {
    MutexLock lock(mu_);
    flushing_ = false;
    if (!synced) {
      requests.insert(requests.end(), waiting_.begin(), waiting_.end());
      waiting_.clear();
    }
    if (!waiting_.empty()) wake_.notify_one();
  }
  for (fuse_req_t request : requests) reply_status(request, synced);
}

void LateSync::answer(fuse_req_t request, bool others_wait) {
  if (!answer_later(request, others_wait)) flush_for({request});
}

void LateSync::run() {
  while (true) {
    std::vector<fuse_req_t> batch;
    {
      MutexLock lock(mu_);
      while ((waiting_.empty() || flushing_) && !(stopping_ && !flushing_)) wake_.wait(mu_);
      if (waiting_.empty()) return;
      batch = std::exchange(waiting_, {});
      flushing_ = true;
    }
    flush_for(std::move(batch));
  }
}

}  // namespace amberfs
