// SPDX-License-Identifier: Apache-2.0
// SmallStore: a store with two snapshots and changes that are only in its journal, as a kill of the
// server leaves it, whose files a fuzz target may change before it is opened. The files are in
// memory; only the index (LMDB maps it) and the lock lie in a directory of their own. It may be an
// encrypted one.
// Threads: one.
#pragma once

#include "fs/engine.h"
#include "tests/support/memory_io.h"
#include "tests/support/temp_dir.h"

#include <map>
#include <set>

namespace amberfs::fuzz {

class SmallStore {
 public:
  explicit SmallStore(std::shared_ptr<const StoreCipher> cipher);

  // As it was made. What an engine does to it is forgotten.
  void restore();
  // Every file but the index and the lock, by path.
  [[nodiscard]] testing::MemoryIo::Files& files() { return memory_.files(); }
  [[nodiscard]] Io& io() { return io_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Result<std::unique_ptr<Engine>> open() { return Engine::open(io_, path_, cipher_); }
  [[nodiscard]] Result<RebuildReport> rebuild_index();

  // Path → content, of each snapshot, by its id.
  using Contents = std::map<std::string, Bytes>;
  [[nodiscard]] const std::map<std::string, Contents>& snapshots() const { return snapshots_; }
  // Path → what the live file may hold, when the end of the journal may be torn.
  [[nodiscard]] const std::map<std::string, std::set<Bytes>>& live() const { return live_; }

 private:
  // Index and lock on the disk, all else in memory; a small disk, so that segments are small.
  class SplitIo final : public Io {
   public:
    SplitIo(Io& disk, Io& memory) : disk_(disk), memory_(memory) {}
    Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
      return of(path).open(path, mode);
    }
    Status make_directory(const std::string& path) override;
    Result<std::vector<DirEntry>> list(const std::string& path) override {
      return memory_.list(path);
    }
    Status rename(const std::string& source, const std::string& target) override {
      return of(source).rename(source, target);
    }
    Status unlink(const std::string& path) override { return of(path).unlink(path); }
    Status sync_directory(const std::string&) override { return ok(); }
    Result<bool> exists(const std::string& path) override { return of(path).exists(path); }
    Result<DiskSpace> disk_space(const std::string&) override {
      return DiskSpace{64 * kMiB, 48 * kMiB, 48 * kMiB};
    }

   private:
    [[nodiscard]] Io& of(const std::string& path) {
      return path.find("/index") != std::string::npos ? disk_ : memory_;
    }
    Io& disk_;
    Io& memory_;
  };

  void fill();
  void keep(Engine& engine);

  const std::shared_ptr<const StoreCipher> cipher_;
  const testing::TempDir directory_;
  const std::string path_ = directory_ / "store";
  const std::unique_ptr<Io> disk_ = make_posix_io();
  testing::MemoryIo memory_;
  SplitIo io_{*disk_, memory_};
  testing::MemoryIo::Files kept_;
  Bytes kept_index_;
  std::map<std::string, Contents> snapshots_;
  std::map<std::string, std::set<Bytes>> live_;
};

}  // namespace amberfs::fuzz
