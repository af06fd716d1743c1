// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_files.h"

#include "blockstore/parity_format.h"

#include <cerrno>

namespace amberfs {

namespace {

// `take` gets the directory's name and each file in it.
template <class Take>
Status each_file(Io& io, const std::string& packs_directory, const Take& take) {
  TRY_ASSIGN(auto directories, io.list(packs_directory));
  for (const DirEntry& directory : directories) {
    if (directory.is_link) {
      return fail(Errc::kIo, 0, "list packs: a link has no place in a store",
                  packs_directory + "/" + directory.name);
    }
    if (!directory.is_directory || directory.name.size() != 2) continue;
    TRY_ASSIGN(auto files, io.list(packs_directory + "/" + directory.name));
    for (const DirEntry& file : files) take(directory.name, file.name);
  }
  return ok();
}

}  // namespace

Result<std::vector<PackId>> list_packs(Io& io, const std::string& packs_directory) {
  std::vector<PackId> ids;
  TRY(each_file(io, packs_directory, [&](const std::string& directory, const std::string& name) {
    PackId id;
    if (parse_pack_file_name(name, &id) && pack_directory(id) == directory) ids.push_back(id);
  }));
  return ids;
}

Result<ParityFiles> list_parity(Io& io, const std::string& packs_directory) {
  ParityFiles found;
  TRY(each_file(io, packs_directory, [&](const std::string& directory, const std::string& name) {
    PackId id;
    if (parse_parity_file_name(name, &id) && pack_directory(id) == directory) {
      found.whole.push_back(id);
    } else if (is_unfinished_parity(name)) {
      found.unfinished.push_back(packs_directory + "/" + directory + "/" + name);
    }
  }));
  return found;
}

Result<std::shared_ptr<File>> PackFiles::open(const PackId& id) {
  {
    MutexLock lock(mu_);
    if (auto it = by_id_.find(id); it != by_id_.end()) {
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->file;
    }
  }
  const std::string path = packs_directory_ + "/" + pack_file_name(id);
  auto opened = io_.open(path, OpenMode::kRead);
  if (!opened) {
    // A program that reads a file must not hear that the file does not exist.
    if (opened.error().sys_errno == ENOENT) return fail(Errc::kCorrupt, 0, "pack is gone", path);
    return fail(std::move(opened).error());
  }
  std::shared_ptr<File> file = *std::move(opened);
  MutexLock lock(mu_);
  if (auto it = by_id_.find(id); it != by_id_.end()) return it->second->file;
  entries_.push_front({id, file});
  by_id_[id] = entries_.begin();
  if (entries_.size() > kOpenMax) {
    by_id_.erase(entries_.back().id);
    entries_.pop_back();
  }
  return file;
}

void PackFiles::forget(const PackId& id) {
  MutexLock lock(mu_);
  auto it = by_id_.find(id);
  if (it == by_id_.end()) return;
  entries_.erase(it->second);
  by_id_.erase(it);
}

void PackFiles::clear() {
  MutexLock lock(mu_);
  entries_.clear();
  by_id_.clear();
}

}  // namespace amberfs
