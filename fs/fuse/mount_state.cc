// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/mount_state.h"

#include "fs/fuse/device_protocol.h"

#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace amberfs {
namespace {

constexpr std::uint64_t kMagic = 0x314D54534D42414D;  // "MABMSTM1"
constexpr std::uint32_t kVersion = kMountStateVersion;
constexpr std::size_t kInitSizeMax = 256;
constexpr std::size_t kCarriedMax = 4096;
constexpr std::size_t kSlotsAt = kRequestSlotsAt;
constexpr std::size_t kOpenAt = 1024 * 1024;
constexpr std::size_t kSize = kOpenAt + MountState::kOpenFilesMax * sizeof(MountState::OpenEntry);

static_assert(kSlotsAt + MountState::kSlots * sizeof(MountState::Slot) <= kOpenAt);
static_assert(sizeof(fuse_in_header) == MountState::kRequestHeadSize);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// The slot of this thread, given back when the thread ends.
struct Claim {
  std::shared_ptr<char> memory;
  MountState::Slot* slot = nullptr;
  ~Claim() { give_back(); }
  void give_back() {
    if (slot != nullptr) slot->thread.store(0);
    slot = nullptr;
    memory.reset();
  }
};
thread_local Claim claim_of_thread;

}  // namespace

struct MountState::Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t init_size;
  char init[kInitSizeMax];
  std::atomic<std::uint32_t> begun;
  std::atomic<std::uint32_t> caches_stale;
  std::atomic<std::uint32_t> open_entries_used;
  // Applied ids that a successor took from the slots, before it used the slots itself: a ring.
  std::atomic<std::uint64_t> carried_count;
  std::atomic<std::uint64_t> carried[kCarriedMax];
};

MountState::Header& MountState::header() const {
  static_assert(sizeof(Header) <= kSlotsAt);
  return *reinterpret_cast<Header*>(memory_.get());
}

MountState::Slot* MountState::slots() const {
  return reinterpret_cast<Slot*>(memory_.get() + kSlotsAt);
}

MountState::OpenEntry* MountState::open_entries() {
  return reinterpret_cast<OpenEntry*>(memory_.get() + kOpenAt);
}

std::atomic<std::uint32_t>& MountState::open_entries_used() {
  return header().open_entries_used;
}

Result<std::unique_ptr<MountState>> MountState::map(int fd) {
  void* memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    const int error = errno;
    ::close(fd);
    return fail(Errc::kMountFailed, error, "map the state of the mount");
  }
  std::shared_ptr<char> mapping(static_cast<char*>(memory), [](char* at) { ::munmap(at, kSize); });
  return std::unique_ptr<MountState>(new MountState(fd, std::move(mapping)));
}

Result<std::unique_ptr<MountState>> MountState::create(ByteView init_request) {
  const int fd = ::memfd_create("amberfs-mount", MFD_CLOEXEC);
  if (fd < 0) return fail(Errc::kMountFailed, errno, "make memory for the state of the mount");
  if (::ftruncate(fd, kSize) != 0) {
    const int error = errno;
    ::close(fd);
    return fail(Errc::kMountFailed, error, "make memory for the state of the mount");
  }
  TRY_ASSIGN(auto state, map(fd));
  Header& header = state->header();
  header.magic = kMagic;
  header.version = kVersion;
  header.init_size = static_cast<std::uint32_t>(std::min(init_request.size(), kInitSizeMax));
  std::memcpy(header.init, init_request.data(), header.init_size);
  return state;
}

Result<std::unique_ptr<MountState>> MountState::take_over(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || status.st_size != static_cast<off_t>(kSize)) {
    ::close(fd);
    return fail(Errc::kMountFailed, 0, "take over the mount: its state is not of this version");
  }
  TRY_ASSIGN(auto state, map(fd));
  const Header& header = state->header();
  if (header.magic != kMagic || header.version != kVersion || header.init_size > kInitSizeMax) {
    return fail(Errc::kMountFailed, 0, "take over the mount: its state is not of this version");
  }
  state->take_from_predecessors();
  return state;
}

void MountState::take_from_predecessors() {
  Header& shared = header();
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots()[i];
    fuse_in_header read{};
    std::memcpy(&read, slot.head, sizeof read);
    if (read.unique != 0 && awaits_answer(read.opcode))
      read_before_.push_back({read.unique, read.opcode});
    if (const std::uint64_t applied = slot.applied_id.load(); applied != 0) {
      // Carried before the slot is cleared: this server may be killed between the two.
      const std::uint64_t at = shared.carried_count.load();
      shared.carried[at % kCarriedMax].store(applied);
      shared.carried_count.store(at + 1);
      slot.applied_id.store(0);
    }
    std::memset(slot.head, 0, sizeof slot.head);
    slot.thread.store(0);
  }
  for (const auto& carried : shared.carried) {
    if (const std::uint64_t id = carried.load(); id != 0) applied_before_.insert(id);
  }
}

MountState::~MountState() {
  ::close(fd_);
}

ByteView MountState::init_request() const {
  return {header().init, header().init_size};
}

MountState::Slot& MountState::slot() {
  Claim& claim = claim_of_thread;
  if (claim.memory == memory_) return *claim.slot;
  claim.give_back();
  for (std::size_t i = 0; i + 1 < kSlots; ++i) {
    pid_t free = 0;
    if (!slots()[i].thread.compare_exchange_strong(free, ::gettid())) continue;
    claim.memory = memory_;
    claim.slot = &slots()[i];
    return *claim.slot;
  }
  return slots()[kSlots - 1];
}

void MountState::for_each_reader(const std::function<void(pid_t)>& visit) const {
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (const pid_t thread = slots()[i].thread.load(); thread != 0) visit(thread);
  }
}

void MountState::set_begun() {
  header().begun.store(1);
}

bool MountState::begun() const {
  return header().begun.load() != 0;
}

void MountState::set_caches_stale(bool stale) {
  header().caches_stale.store(stale ? 1 : 0);
}

bool MountState::caches_stale() const {
  return header().caches_stale.load() != 0;
}

}  // namespace amberfs
