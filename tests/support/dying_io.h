// SPDX-License-Identifier: Apache-2.0
// DyingIo: an Io whose process is killed right after a journal write, when the switch is armed: the
// change is in the journal, and nobody was told. The switch is shared between processes.
// Threads: every method from any thread.
// Owns:    nothing below; borrows the Io beneath and the switch.
#pragma once

#include "tests/support/pass_io.h"

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

class DyingIo final : public PassIo {
 public:
  DyingIo(Io& below, DeathSwitch& death) : PassIo(below), death_(death) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    TRY_ASSIGN(auto file, PassIo::open(path, mode));
    if (!path.ends_with(".wal")) return file;
    return std::make_unique<JournalFile>(std::move(file), death_);
  }

 private:
  class JournalFile final : public PassFile {
   public:
    JournalFile(std::unique_ptr<File> below, DeathSwitch& death)
        : PassFile(std::move(below)), death_(death) {}
    Status pwritev(std::span<const ByteView> parts, std::uint64_t offset) override {
      Status written = PassFile::pwritev(parts, offset);
      if (written) death_.strike();
      return written;
    }

   private:
    DeathSwitch& death_;
  };

  DeathSwitch& death_;
};

}  // namespace amberfs::testing
