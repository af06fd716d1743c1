// SPDX-License-Identifier: Apache-2.0
#include "fs/live_map.h"

#include <algorithm>

namespace amberfs {

Mutation::Mutation(LiveMap& live, OpKind kind, Origin origin)
    : live_(live), batch_(kind, std::move(origin)) {
  live_.gate_.enter();
  view_ = live_.view();
}

// The locks are chosen at run time, which the static analysis cannot follow.
Mutation::~Mutation() NO_THREAD_SAFETY_ANALYSIS {
  view_.reset();
  for (auto stripe = locked_.rbegin(); stripe != locked_.rend(); ++stripe) {
    live_.inode_locks_[*stripe].unlock();
  }
  live_.gate_.leave();
}

void Mutation::lock(std::initializer_list<Ino> inos) NO_THREAD_SAFETY_ANALYSIS {
  for (Ino ino : inos) locked_.push_back(ino % LiveMap::kStripes);
  std::ranges::sort(locked_);
  locked_.erase(std::ranges::unique(locked_).begin(), locked_.end());
  for (std::size_t stripe : locked_) live_.inode_locks_[stripe].lock();
  view_ = live_.view();  // a commit may have ended while this waited: do not hold its old layers
}

void Mutation::lock_all() NO_THREAD_SAFETY_ANALYSIS {
  for (std::size_t stripe = 0; stripe < LiveMap::kStripes; ++stripe) {
    locked_.push_back(stripe);
    live_.inode_locks_[stripe].lock();
  }
  view_ = live_.view();
}

Status Mutation::apply() {
  if (batch_.empty()) return ok();
  return live_.append_and_apply(batch_);
}

}  // namespace amberfs
