// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/space_gate.h"

#include <chrono>

namespace amberfs {

SpaceGate::SpaceGate(Space& space) : space_(space) {
  space_.on_tight_change([this] { wake_.notify_all(); });
}

void SpaceGate::start(Notifier& notifier) {
  notifier_ = &notifier;
  thread_ = std::thread([this] { run(); });
}

void SpaceGate::stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  notifier_ = nullptr;
}

void SpaceGate::add_cached_writer(Ino ino) {
  MutexLock lock(mu_);
  ++writers_[ino];
}

void SpaceGate::remove_cached_writer(Ino ino) {
  MutexLock lock(mu_);
  const auto it = writers_.find(ino);
  if (it != writers_.end() && --it->second == 0) writers_.erase(it);
}

bool SpaceGate::has_cached_writer(Ino ino) {
  MutexLock lock(mu_);
  return writers_.contains(ino);
}

Status SpaceGate::before_cached_write(Ino ino) {
  TRY(space_.admit(0));
  before_attributes(ino);
  return ok();
}

void SpaceGate::before_attributes(Ino ino) {
  Notifier* notifier = notifier_.load();
  if (notifier == nullptr || !space_.is_tight() || !has_cached_writer(ino)) return;
  notifier->make_attributes_stale(ino);
}

void SpaceGate::make_all_stale() {
  std::vector<Ino> inos;
  {
    MutexLock lock(mu_);
    inos.reserve(writers_.size());
    for (const auto& [ino, count] : writers_) inos.push_back(ino);
  }
  Notifier* notifier = notifier_.load();
  if (notifier == nullptr) return;
  for (const Ino ino : inos) notifier->make_attributes_stale(ino);
}

void SpaceGate::run() {
  constexpr auto kAgain = std::chrono::milliseconds(100);
  while (true) {
    {
      MutexLock lock(mu_);
      if (!stopping_) wake_.wait_for(mu_, kAgain);
      if (stopping_) return;
      if (writers_.empty()) continue;
    }
    if (space_.is_tight()) make_all_stale();
  }
}

}  // namespace amberfs
