// SPDX-License-Identifier: Apache-2.0
// Replay: reads the journal from the head's position to its last valid record and decides whether
// what lies behind is a torn tail or damage.
// Threads: one, before the journal is used.
// Errors:  kJournalDamaged names segment and offset; those of Io and of the visitor.
#pragma once

#include "fs/journal_reader.h"

namespace amberfs {

struct Replayed {
  JournalPosition end;      // behind the last valid record
  bool has_segment = true;  // false: a new store, the segment of `end` is not made yet
};

// `pool` is loaded. Nothing on disk is changed.
[[nodiscard]] Result<Replayed> replay_journal(SegmentPool& pool, const StoreCipher* cipher,
                                              const JournalPosition& from,
                                              const ReplayVisitor& visit);

// What journal damage at this place is called, everywhere.
[[nodiscard]] std::unexpected<Error> journal_damage(SegmentPool& pool,
                                                    const JournalPosition& position,
                                                    const std::string& why);

}  // namespace amberfs
