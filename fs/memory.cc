// SPDX-License-Identifier: Apache-2.0
#include "fs/memory.h"

#include "blockstore/base/bytes.h"
#include "blockstore/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>

namespace amberfs {
namespace {

constexpr std::size_t kReserveSize = 8 * kMiB;
constexpr int kExitOutOfMemory = 70;

std::atomic<void*> reserve{nullptr};

void on_allocation_failure() {
  void* held = reserve.exchange(nullptr);
  if (held == nullptr) {
    std::fputs("amberfs: out of memory: the server ends; nothing is lost\n", stderr);
    ::_exit(kExitOutOfMemory);  // nothing that could allocate
  }
  std::free(held);
  log_error("out of memory: the last {} bytes are used now", kReserveSize);
}

}  // namespace

void lower_oom_score() {
  std::ofstream file("/proc/self/oom_score_adj");
  file << -900 << std::flush;
  if (!file.good())
    log_info("the kernel may end this process when memory runs out: no right to ask");
}

void keep_memory_reserve() {
  reserve = std::malloc(kReserveSize);
  std::set_new_handler(on_allocation_failure);
}

}  // namespace amberfs
