// SPDX-License-Identifier: Apache-2.0
// LateSync: answers fsync. When nobody else asks for anything, at once, by the thread that read the
// request. Else by a thread of its own, so that no request thread sleeps while the disk works, and
// all that came meanwhile are answered after one flush.
// Flow:    fuse_data fsync → answer → FileSystem::sync → reply.
// Durability: a reply of success comes after a flush that began after the request was read.
// Threads: answer() from any thread; one thread of its own between start() and stop().
// Owns:    requests not yet answered.
// Errors:  a flush that fails is told to all that waited for it, also those that came while it ran.
#pragma once

#define FUSE_USE_VERSION 314
#include "blockstore/base/mutex.h"
#include "fs/filesystem.h"

#include <fuse_lowlevel.h>

#include <thread>
#include <vector>

namespace amberfs {

class LateSync {
 public:
  explicit LateSync(FileSystem& fs) : fs_(fs) {}
  ~LateSync() { stop(); }
  LateSync(const LateSync&) = delete;
  LateSync& operator=(const LateSync&) = delete;

  // Without start() every request is answered at once: where an unanswered request is not sent
  // again to the next server, only what a request thread has at hand is remembered.
  void start();
  // `others_wait`: there are more requests to be read.
  void answer(fuse_req_t request, bool others_wait);
  // Answers what is left. No request comes any more.
  void stop();

 private:
  [[nodiscard]] bool answer_later(fuse_req_t request, bool others_wait);
  void flush_for(std::vector<fuse_req_t> requests);
  void run();

  FileSystem& fs_;
  Mutex mu_;
  CondVar wake_;
  std::vector<fuse_req_t> waiting_ GUARDED_BY(mu_);
  bool flushing_ GUARDED_BY(mu_) = false;
  bool started_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace amberfs
