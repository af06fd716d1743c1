// SPDX-License-Identifier: Apache-2.0
// MemoryIo: a disk in memory, as a map from path to bytes that tests may look at and change between
// calls. Directories are those that were made or that a path of a file implies.
// Threads: every method from any thread; files() while nothing is running.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

namespace amberfs::testing {

class MemoryIo final : public Io {
 public:
  using Files = std::map<std::string, std::shared_ptr<Bytes>>;
  // What a file may grow to: what asks for more gets ENOSPC.
  static constexpr std::uint64_t kFileSizeMax = 256 * kMiB;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    MutexLock lock(mu_);
    auto found = files_.find(path);
    const bool is_there = found != files_.end();
    if (mode == OpenMode::kCreateNew && is_there) return fail_with(EEXIST, "create", path);
    if (!is_there) {
      if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) {
        return fail_with(ENOENT, "open", path);
      }
      found = files_.emplace(path, std::make_shared<Bytes>()).first;
    }
    return std::unique_ptr<File>(new MemoryFile(*this, path, found->second));
  }
  Status make_directory(const std::string& path) override {
    MutexLock lock(mu_);
    directories_.insert(path);
    return ok();
  }
  Result<std::vector<DirEntry>> list(const std::string& path) override {
    MutexLock lock(mu_);
    const std::string prefix = path + "/";
    std::map<std::string, bool> names;
    for (const auto& [file, bytes] : files_) note_name(file, prefix, false, names);
    for (const std::string& directory : directories_) note_name(directory, prefix, true, names);
    if (names.empty() && !directories_.contains(path)) return fail_with(ENOENT, "list", path);
    std::vector<DirEntry> entries;
    for (const auto& [name, is_directory] : names) entries.push_back({name, is_directory});
    return entries;
  }
  Status rename(const std::string& source, const std::string& target) override {
    MutexLock lock(mu_);
    auto found = files_.find(source);
    if (found == files_.end()) return fail_with(ENOENT, "rename", source);
    auto bytes = found->second;
    files_.erase(found);
    files_[target] = std::move(bytes);
    return ok();
  }
  Status unlink(const std::string& path) override {
    MutexLock lock(mu_);
    if (files_.erase(path) == 0) return fail_with(ENOENT, "unlink", path);
    return ok();
  }
  Status sync_directory(const std::string&) override { return ok(); }
  Result<bool> exists(const std::string& path) override {
    MutexLock lock(mu_);
    return files_.contains(path) || directories_.contains(path);
  }
  Result<DiskSpace> disk_space(const std::string&) override {
    return DiskSpace{
        .total_bytes = 64 * kGiB, .available_bytes = 32 * kGiB, .free_bytes = 32 * kGiB};
  }

  [[nodiscard]] Files& files() NO_THREAD_SAFETY_ANALYSIS { return files_; }
  void forget_all() {
    MutexLock lock(mu_);
    files_.clear();
    directories_.clear();
  }

 private:
  class MemoryFile final : public File {
   public:
    MemoryFile(MemoryIo& io, std::string path, std::shared_ptr<Bytes> bytes)
        : io_(io), path_(std::move(path)), bytes_(std::move(bytes)) {}
    Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t at) override {
      MutexLock lock(io_.mu_);
      if (at >= bytes_->size()) return std::size_t{0};
      const std::size_t got = std::min<std::uint64_t>(size, bytes_->size() - at);
      std::memcpy(target, bytes_->data() + at, got);
      return got;
    }
    Status pwritev(std::span<const ByteView> parts, std::uint64_t at) override {
      MutexLock lock(io_.mu_);
      for (const ByteView part : parts) {
        TRY(grow_to(at + part.size()));
        bytes_->replace(at, part.size(), part);
        at += part.size();
      }
      return ok();
    }
    Status sync_data() override { return ok(); }
    Status truncate(std::uint64_t size) override {
      MutexLock lock(io_.mu_);
      TRY(grow_to(size));
      bytes_->resize(size);
      return ok();
    }
    Status allocate(std::uint64_t at, std::uint64_t size) override {
      MutexLock lock(io_.mu_);
      return grow_to(at + size);
    }
    Result<std::uint64_t> size() override {
      MutexLock lock(io_.mu_);
      return std::uint64_t{bytes_->size()};
    }
    Status close() override { return ok(); }
    const std::string& path() const override { return path_; }

   private:
    Status grow_to(std::uint64_t size) {
      if (size > kFileSizeMax) return fail_with(ENOSPC, "write", path_);
      if (size > bytes_->size()) bytes_->resize(size);
      return ok();
    }
    MemoryIo& io_;
    const std::string path_;
    const std::shared_ptr<Bytes> bytes_;
  };

  [[nodiscard]] static std::unexpected<Error> fail_with(int error, const char* tried,
                                                        const std::string& path) {
    return fail(errc_for(error), error, tried, path);
  }
  static void note_name(const std::string& path, const std::string& prefix, bool is_directory,
                        std::map<std::string, bool>& names) {
    if (!path.starts_with(prefix) || path.size() == prefix.size()) return;
    const auto slash = path.find('/', prefix.size());
    names[path.substr(prefix.size(), slash - prefix.size())] |=
        slash != std::string::npos || is_directory;
  }

  Mutex mu_;
  Files files_;
  std::set<std::string> directories_;
};

}  // namespace amberfs::testing
