// SPDX-License-Identifier: Apache-2.0
// DurableMark: a small file beside the segments that says up to which batch the journal is durable.
// A record says that of those before it; nothing in a segment says it of the last ones, so that
// rot or a cut at the end would pass for the torn tail of a power cut. The mark tells them apart.
// Flow:       sync_to: segments synced → mark written → waiters answered;  open: mark read → replay
//             → what it calls durable and is not there was lost.
// Durability: written, and synced only when the kernel does or when a loss is noted: after a kill
//             it is exact, after a loss of power some seconds old at most. Never ahead of what is
//             durable.
// Threads:    every method from any thread.
// Owns:       its file, open from the first write on; borrows Io.
// Errors:     those of Io; kNewerFormat. A damaged mark is no mark: the journal does not need it.
// Format:     docs/format/journal.md#mark.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/journal.h"

#include <string>

namespace amberfs {

struct DurableState {
  std::uint64_t generation = 0;  // one more with each write; 0: there is no mark
  JournalPosition end;           // behind the last batch that is durable
  std::int64_t time_ns = 0;      // of the write
  std::optional<JournalLoss> loss;
};

class DurableMark {
 public:
  static constexpr std::size_t kSlotSize = 88;
  // Two slots, written in turn, each in a page of its own: a torn or rotten one leaves the other.
  static constexpr std::uint64_t kSlotDistance = 4096;

  DurableMark(Io& io, const std::string& directory) : io_(io), path_(directory + "/durable") {}

  // The newest state in the file. Nothing is changed.
  [[nodiscard]] Status load();
  [[nodiscard]] DurableState state();
  // Everything before `end` is durable.
  [[nodiscard]] Status note(const JournalPosition& end);
  // The same, with a loss that is to be known until it is taken back (nullopt). Synced.
  [[nodiscard]] Status note_loss(const JournalPosition& end, std::optional<JournalLoss> loss);
  [[nodiscard]] Status close();

 private:
  [[nodiscard]] Status write(DurableState next) REQUIRES(mu_);

  Io& io_;
  const std::string path_;
  Mutex mu_;
  std::unique_ptr<File> file_ GUARDED_BY(mu_);
  DurableState state_ GUARDED_BY(mu_);
};

[[nodiscard]] Bytes encode_durable_state(const DurableState& state);
[[nodiscard]] Result<DurableState> decode_durable_state(ByteView bytes);

}  // namespace amberfs
