// SPDX-License-Identifier: Apache-2.0
// MountState: what must outlive the server but not the mount, in memory that the keeper holds open
// (a memfd): INIT, by which the kernel and the first server agreed; what each request thread last
// read and applied; which files programs hold open.
//
//   0          header: magic, version, INIT, counters
//   64 KiB     request slots: one for each thread that reads the device
//   1 MiB      open-file entries (open_files.h)
//
// Every change is made such that a server killed at any instruction leaves something its successor
// can go by: an entry counts only once its last field is written.
// Threads: any, each with a slot of its own; one server at a time.
// Owns:    the descriptor and the mapping.
// Errors:  kMountFailed.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/mutex.h"
#include "blockstore/base/result.h"
#include "fs/applied_requests.h"
#include "fs/fuse/mount_state_layout.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

namespace amberfs {

class MountState final : public RequestMarks {
 public:
  static constexpr std::size_t kSlots = kRequestSlots;
  static constexpr std::size_t kOpenFilesMax = std::size_t{1} << 20;
  static constexpr std::size_t kRequestHeadSize = 40;  // struct fuse_in_header

  // Of one thread. `head` is the beginning of the request it read last: the kernel writes it there,
  // so no request can be taken from the device without a trace.
  struct Slot {
    char head[kRequestHeadSize];
    std::atomic<std::uint64_t> applied_id;  // the last request that it changed the store for
    std::atomic<pid_t> thread;              // that has it; 0: nobody
    std::uint32_t reserved[3];
  };
  static_assert(sizeof(Slot) == kRequestSlotSize);

  // One open file. `ino` 0: free.
  struct OpenEntry {
    std::atomic<std::uint64_t> ino;
    std::uint64_t opened_by;  // the request
    std::uint32_t generation;
    std::uint32_t flags;
    std::uint32_t uid;  // who opened it; written before `ino`
    std::uint32_t pid;
  };
  static_assert(sizeof(OpenEntry) == 32);

  [[nodiscard]] static Result<std::unique_ptr<MountState>> create(ByteView init_request);
  // Of a mount that another server served: `fd` becomes this object's.
  [[nodiscard]] static Result<std::unique_ptr<MountState>> take_over(int fd);
  ~MountState() override;
  MountState(const MountState&) = delete;
  MountState& operator=(const MountState&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] ByteView init_request() const;

  // The calling thread's; never null (threads beyond kSlots share the last one).
  [[nodiscard]] Slot& slot();
  // The threads that have one.
  void for_each_reader(const std::function<void(pid_t)>& visit) const;
  // Remembered for the calling thread, before it answers.
  void applied(std::uint64_t request_id) override { slot().applied_id.store(request_id); }
  // What earlier servers of this mount applied and may not have answered, and the heads of what
  // they read. Fixed when this one took over.
  [[nodiscard]] const std::unordered_set<std::uint64_t>& applied_before() const {
    return applied_before_;
  }
  struct Unanswered {
    std::uint64_t id = 0;
    std::uint32_t opcode = 0;
  };
  [[nodiscard]] const std::vector<Unanswered>& read_before() const { return read_before_; }

  // Set by the first server once it may serve; every later one takes over.
  void set_begun();
  [[nodiscard]] bool begun() const;

  // While names or contents change behind the kernel's back: a server that is killed in between
  // leaves caches that its successor must drop.
  void set_caches_stale(bool stale);
  [[nodiscard]] bool caches_stale() const;

  [[nodiscard]] OpenEntry* open_entries();
  // Entries at and above it were never used.
  [[nodiscard]] std::atomic<std::uint32_t>& open_entries_used();

 private:
  struct Header;
  MountState(int fd, std::shared_ptr<char> memory) : fd_(fd), memory_(std::move(memory)) {}
  [[nodiscard]] static Result<std::unique_ptr<MountState>> map(int fd);
  [[nodiscard]] Header& header() const;
  [[nodiscard]] Slot* slots() const;
  void take_from_predecessors();

  const int fd_;
  const std::shared_ptr<char> memory_;  // also of threads that end later
  std::unordered_set<std::uint64_t> applied_before_;
  std::vector<Unanswered> read_before_;
};

}  // namespace amberfs
