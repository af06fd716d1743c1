// SPDX-License-Identifier: Apache-2.0
// Replay: reads the journal from the head's position to its last valid record and decides whether
// what lies behind is a torn tail or damage.
// Threads: one, before the journal is used.
// Errors:  kJournalDamaged (segments of the wrong form); those of Io and of the visitor. Damage
//          that a person may decide about is part of the answer.
#pragma once

#include "fs/journal_reader.h"

namespace amberfs {

struct Replayed {
  JournalPosition end;      // behind the last valid record
  bool has_segment = true;  // false: the segment of `end` is not there, or not made yet
  // kJournalDamaged, names segment and offset: what is behind the end had been durable, and
  // something of it can be read.
  std::optional<Error> damage;
  // The highest sequence that something calls durable, if it is behind the end: lost. 0: none.
  std::uint64_t lost_up_to = 0;
};

// `pool` is loaded; every batch before `durable_next_seq` had been durable, as far as its mark
// knows. Nothing on disk is changed.
[[nodiscard]] Result<Replayed> replay_journal(SegmentPool& pool, const StoreCipher* cipher,
                                              const JournalPosition& from,
                                              std::uint64_t durable_next_seq,
                                              const ReplayVisitor& visit);

// Shows every batch behind `end` that can be read, wherever it stands.
[[nodiscard]] Status visit_behind(SegmentPool& pool, const StoreCipher* cipher,
                                  const JournalPosition& end,
                                  const std::function<void(const Batch&)>& visit);

// What journal damage at this place is called, everywhere.
[[nodiscard]] std::unexpected<Error> journal_damage(SegmentPool& pool,
                                                    const JournalPosition& position,
                                                    const std::string& why);

}  // namespace amberfs
