// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/random.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace amberfs {
namespace {

// As the kernel has it in include/uapi/linux/random.h and arch/*/entry/vdso/vgetrandom.c.
struct StateParameters {
  std::uint32_t size;
  std::uint32_t mmap_prot;
  std::uint32_t mmap_flags;
  std::array<std::uint32_t, 13> reserved;
};
using DrawFunction = ssize_t (*)(void* target, std::size_t size, unsigned flags, void* state,
                                 std::size_t state_size);

struct Vdso {
  DrawFunction draw = nullptr;  // null: this kernel has none
  StateParameters state{};
};

Vdso find_vdso() {
  Vdso vdso;
  void* library = ::dlopen("linux-vdso.so.1", RTLD_NOLOAD | RTLD_LAZY);  // always loaded
  if (library == nullptr) return {};
  vdso.draw = reinterpret_cast<DrawFunction>(::dlvsym(library, "__vdso_getrandom", "LINUX_2.6"));
  if (vdso.draw == nullptr) return {};
  if (vdso.draw(nullptr, 0, 0, &vdso.state, ~std::size_t{0}) != 0) return {};
  const long page = ::sysconf(_SC_PAGESIZE);
  if (vdso.state.size == 0 || page <= 0 || vdso.state.size > static_cast<std::size_t>(page)) {
    return {};
  }
  return vdso;
}

const Vdso& vdso() {
  static const Vdso found = find_vdso();
  return found;
}

// The state of a thread: a mapping of its own, of the kind that the kernel asks for.
class ThreadState {
 public:
  ThreadState() {
    if (vdso().draw == nullptr) return;
    const auto prot = static_cast<int>(vdso().state.mmap_prot);
    const auto flags = static_cast<int>(vdso().state.mmap_flags);
    void* memory = ::mmap(nullptr, vdso().state.size, prot, flags, -1, 0);
    if (memory != MAP_FAILED) memory_ = memory;
  }
  ~ThreadState() {
    if (memory_ != nullptr) ::munmap(memory_, vdso().state.size);
    memory_ = nullptr;
    ended = true;
  }
  ThreadState(const ThreadState&) = delete;
  ThreadState& operator=(const ThreadState&) = delete;
  [[nodiscard]] void* memory() const { return memory_; }

  // Destructors of statics may still draw.
  static thread_local bool ended;

 private:
  void* memory_ = nullptr;
};

thread_local bool ThreadState::ended = false;

ssize_t draw(char* target, std::size_t size) {
  if (!ThreadState::ended) {
    thread_local const ThreadState state;
    if (state.memory() != nullptr) {
      const ssize_t got = vdso().draw(target, size, 0, state.memory(), vdso().state.size);
      if (got > 0) return got;
    }
  }
  return ::getrandom(target, size, 0);
}

}  // namespace

void fill_random(char* target, std::size_t size) {
  while (size > 0) {
    const ssize_t got = draw(target, size);
    if (got <= 0) continue;
    target += got;
    size -= static_cast<std::size_t>(got);
  }
}

}  // namespace amberfs
