// SPDX-License-Identifier: Apache-2.0
// PutClaims: two threads that put the same block at the same time store it once: the second waits
// until the first is done, and then finds the block.
// Threads: a Claim belongs to one thread; PutClaims is shared.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/block_id.h"

#include <unordered_set>

namespace amberfs {

class PutClaims {
 public:
  class Claim {
   public:
    Claim(PutClaims& claims, const BlockId& id) : claims_(claims), id_(id) { claims_.take(id_); }
    ~Claim() { claims_.give_back(id_); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    PutClaims& claims_;
    const BlockId id_;
  };

 private:
  void take(const BlockId& id) {
    MutexLock lock(mu_);
    while (!taken_.insert(id).second) given_back_.wait(mu_);
  }
  void give_back(const BlockId& id) {
    MutexLock lock(mu_);
    taken_.erase(id);
    given_back_.notify_all();
  }

  Mutex mu_;
  CondVar given_back_;
  std::unordered_set<BlockId> taken_ GUARDED_BY(mu_);
};

}  // namespace amberfs
