// SPDX-License-Identifier: Apache-2.0
// DyingIo: an Io whose process is killed right after a journal write, when the switch is armed: the
// change is in the journal, and nobody was told. The switch is shared between processes.
// Threads: every method from any thread.
// Owns:    nothing below; borrows the Io beneath and the switch.
#pragma once

#include "blockstore/base/io.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <new>

namespace amberfs::testing {

class DeathSwitch {
 public:
  DeathSwitch() {
    void* memory = ::mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    armed_ = new (memory) std::atomic<bool>(false);
  }
  DeathSwitch(const DeathSwitch&) = delete;
  DeathSwitch& operator=(const DeathSwitch&) = delete;
  ~DeathSwitch() { ::munmap(armed_, sizeof *armed_); }
  void arm() { armed_->store(true); }
  void strike() {
    if (armed_->exchange(false)) ::kill(::getpid(), SIGKILL);
  }

 private:
  std::atomic<bool>* armed_;
};

class DyingIo final : public Io {
 public:
  DyingIo(Io& below, DeathSwitch& death) : below_(below), death_(death) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    TRY_ASSIGN(auto file, below_.open(path, mode));
    if (!path.ends_with(".wal")) return file;
    return std::make_unique<JournalFile>(std::move(file), death_);
  }
  Status make_directory(const std::string& path) override { return below_.make_directory(path); }
  Result<std::vector<DirEntry>> list(const std::string& path) override { return below_.list(path); }
  Status rename(const std::string& source, const std::string& target) override {
    return below_.rename(source, target);
  }
  Status unlink(const std::string& path) override { return below_.unlink(path); }
  Status sync_directory(const std::string& path) override { return below_.sync_directory(path); }
  Result<bool> exists(const std::string& path) override { return below_.exists(path); }
  Result<DiskSpace> disk_space(const std::string& path) override { return below_.disk_space(path); }

 private:
  class JournalFile final : public File {
   public:
    JournalFile(std::unique_ptr<File> below, DeathSwitch& death)
        : below_(std::move(below)), death_(death) {}
    Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t offset) override {
      return below_->pread_some(target, size, offset);
    }
    Status pwritev(std::span<const ByteView> parts, std::uint64_t offset) override {
      Status written = below_->pwritev(parts, offset);
      if (written) death_.strike();
      return written;
    }
    Status sync_data() override { return below_->sync_data(); }
    Status truncate(std::uint64_t size) override { return below_->truncate(size); }
    Status allocate(std::uint64_t offset, std::uint64_t size) override {
      return below_->allocate(offset, size);
    }
    Result<std::uint64_t> size() override { return below_->size(); }
    Status close() override { return below_->close(); }
    const std::string& path() const override { return below_->path(); }

   private:
    const std::unique_ptr<File> below_;
    DeathSwitch& death_;
  };

  Io& below_;
  DeathSwitch& death_;
};

}  // namespace amberfs::testing
