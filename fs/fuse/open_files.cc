// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/open_files.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

constexpr unsigned kEntryShift = 8;
constexpr unsigned kGenerationShift = 40;
constexpr std::uint32_t kGenerationMask = 0xFFFFFF;

std::uint64_t make_handle(std::uint32_t entry, std::uint32_t generation, std::uint32_t flags) {
  return std::uint64_t{generation & kGenerationMask} << kGenerationShift |
         std::uint64_t{entry} << kEntryShift | flags;
}

}  // namespace

OpenFiles::OpenFiles(MountState& state) : state_(state) {
  const std::uint32_t used =
      std::min<std::uint32_t>(state_.open_entries_used(), MountState::kOpenFilesMax);
  MutexLock lock(mu_);
  for (std::uint32_t i = used; i-- > 0;) {
    const MountState::OpenEntry& entry = state_.open_entries()[i];
    const Ino ino = entry.ino.load();
    if (ino == kNoIno) {
      free_.push_back(i);
      continue;
    }
    inherited_.push_back({.ino = ino, .flags = entry.flags});
    inherited_requests_.emplace(entry.opened_by, i);
    if ((entry.flags & kHandleWrites) != 0) add_writer(ino, i);
  }
}

std::optional<std::uint64_t> OpenFiles::find(std::uint64_t request_id, Ino ino) {
  MutexLock lock(mu_);
  const auto it = inherited_requests_.find(request_id);
  if (it == inherited_requests_.end()) return std::nullopt;
  const MountState::OpenEntry& entry = state_.open_entries()[it->second];
  if (entry.ino.load() != ino) return std::nullopt;
  return make_handle(it->second, entry.generation, entry.flags);
}

Result<std::uint64_t> OpenFiles::add(const File& file, std::uint64_t request_id) {
  MutexLock lock(mu_);
  std::uint32_t index = 0;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else {
    index = state_.open_entries_used().load();
    if (index >= MountState::kOpenFilesMax) return fail(posix_error(ENFILE));
    state_.open_entries_used().store(index + 1);
  }
  MountState::OpenEntry& entry = state_.open_entries()[index];
  entry.generation = entry.generation % kGenerationMask + 1;  // never 0: no handle is 0
  entry.flags = file.flags;
  entry.opened_by = request_id;
  entry.uid = file.uid;
  entry.pid = file.pid;
  entry.ino.store(file.ino);
  if ((file.flags & kHandleWrites) != 0) add_writer(file.ino, index);
  return make_handle(index, entry.generation, file.flags);
}

bool OpenFiles::remove(std::uint64_t handle, Ino ino) {
  const auto index = static_cast<std::uint32_t>(handle >> kEntryShift);
  const auto generation = static_cast<std::uint32_t>(handle >> kGenerationShift);
  MutexLock lock(mu_);
  if (index >= state_.open_entries_used().load()) return false;
  MountState::OpenEntry& entry = state_.open_entries()[index];
  if (entry.ino.load() != ino || entry.generation != generation) return false;
  if ((entry.flags & kHandleWrites) != 0) {
    const auto it = writers_.find(ino);
    if (it != writers_.end()) std::erase(it->second, index);
    if (it != writers_.end() && it->second.empty()) {
      writers_.erase(it);
      lost_.erase(ino);
    }
  }
  inherited_requests_.erase(entry.opened_by);
  entry.ino.store(kNoIno);
  free_.push_back(index);
  return true;
}

void OpenFiles::for_each_inherited(const std::function<void(const File&)>& visit) const {
  for (const File& file : inherited_) visit(file);
}

void OpenFiles::note_lost(Ino ino, int sys_errno) {
  MutexLock lock(mu_);
  if (writers_.contains(ino)) lost_[ino] = sys_errno;
}

void OpenFiles::forget_lost(Ino ino) {
  MutexLock lock(mu_);
  lost_.erase(ino);
}

int OpenFiles::lost_errno(Ino ino) {
  MutexLock lock(mu_);
  const auto it = lost_.find(ino);
  return it == lost_.end() ? 0 : it->second;
}

bool OpenFiles::has_writer(Ino ino) {
  MutexLock lock(mu_);
  return writers_.contains(ino);
}

bool OpenFiles::has_writers() {
  MutexLock lock(mu_);
  return !writers_.empty();
}

std::vector<OpenFiles::File> OpenFiles::writers_of(Ino ino) {
  MutexLock lock(mu_);
  std::vector<File> files;
  const auto it = writers_.find(ino);
  if (it == writers_.end()) return files;
  for (const std::uint32_t index : it->second) {
    const MountState::OpenEntry& entry = state_.open_entries()[index];
    files.push_back({ino, entry.flags, entry.uid, entry.pid});
  }
  return files;
}

std::vector<Ino> OpenFiles::written() {
  MutexLock lock(mu_);
  std::vector<Ino> all;
  all.reserve(writers_.size());
  for (const auto& [ino, entries] : writers_) all.push_back(ino);
  return all;
}

}  // namespace amberfs
