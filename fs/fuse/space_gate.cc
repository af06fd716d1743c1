// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/space_gate.h"

#include "blockstore/base/log.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace amberfs {

SpaceGate::SpaceGate(Space& space, FileSystem& fs, const MountPlace& place)
    : space_(space), fs_(fs), place_(place) {
  space_.on_tight_change([this] {
    // Not between the thread's look and its wait.
    { const MutexLock lock(mu_); }
    wake_.notify_all();
  });
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

void SpaceGate::ask_for_cached_write(Ino ino, Answer answer) {
  if (!space_.is_tight()) return answer(ok());
  MutexLock lock(mu_);
  questions_.push_back({ino, std::move(answer)});
  wake_.notify_all();
}

void SpaceGate::answer(const Question& question) {
  write_out(question.ino);
  const Status admitted = space_.admit(0);
  if (admitted) before_attributes(question.ino);
  question.answer(admitted);
}

// Not fsync(): whoever writes through another descriptor holds the inode's lock, which that takes.
void SpaceGate::write_out(Ino ino) {
  const auto file = ThroughMount::open(fs_, place_, ino, O_RDONLY);
  if (!file) return;  // without a name, it cannot be opened: the kernel's limit has to do
  if (Status synced = file->sync_range(); !synced) {
    log_line(LogLevel::kDebug, synced.error().to_string());
  }
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

std::optional<SpaceGate::Question> SpaceGate::next_question() {
  MutexLock lock(mu_);
  if (questions_.empty()) return std::nullopt;
  Question question = std::move(questions_.front());
  questions_.pop_front();
  return question;
}

void SpaceGate::run() {
  constexpr auto kAgain = std::chrono::milliseconds(100);
  auto stale_at = std::chrono::steady_clock::time_point();
  while (true) {
    {
      MutexLock lock(mu_);
      if (!stopping_ && questions_.empty()) wake_.wait_for(mu_, kAgain);
      if (stopping_ && questions_.empty()) return;
    }
    const auto now = std::chrono::steady_clock::now();
    const bool tight = space_.is_tight();
    if (tight && now >= stale_at) {
      make_all_stale();
      stale_at = now + kAgain;
    }
    if (!tight) stale_at = {};
    if (const auto question = next_question()) answer(*question);
  }
}

}  // namespace amberfs
