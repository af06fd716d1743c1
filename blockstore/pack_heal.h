// SPDX-License-Identifier: Apache-2.0
// Healing a sealed pack: what is damaged in it is made again from its parity, and parity that is
// damaged or missing is made again from a pack that is sound.
//
//   1 look      header, frames, footer of the pack; the parity file against its own checksums
//   2 restore   lost shards in memory; each must have the checksum that it had
//   3 check     the pack, with these in place, by its own checks: no byte that passed before may
//               fail now
//   4 write     only these shards, in place; sync; read back
//   5 look      again: what is still damaged is named
//
// A pack that passes its own checks is never written to, whatever its parity says. A crash or error
// in 4 leaves shards that were damaged before, some of them healed: it is done again.
// Threads: one at a time for one pack; beside readers, who may see a damaged frame as damaged until
//          4 is over.
// Memory:  about 16 MiB, and the lost shards.
// Errors:  when the store must not be touched (kNewerFormat) or stopped (kBroken); what cannot be
//          read or healed is in the report.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/pack_look.h"
#include "blockstore/parity_file.h"

namespace amberfs {

struct HealOptions {
  unsigned parity_percent = 0;  // of parity that has to be made; 0: none is
  bool dry_run = false;         // writes nothing; the report says what would be done
};

struct HealReport {
  bool was_sound = false;                 // the pack
  std::vector<FileRange> repaired;        // bytes of the pack that were made again
  std::vector<FrameGap> lost;             // still damaged
  std::vector<FileRange> parity_damaged;  // parts of the parity file that were
  bool parity_missing = false;
  bool parity_written = false;  // made, or made anew
  std::string failure;          // why what should have been written was not; "" when it was
};

// Everything in `look` was found by look_at_pack() a moment ago. `where` is the path of packs/.
[[nodiscard]] Result<HealReport> heal_pack(Io& io, const std::string& where,
                                           const PackToLookAt& pack, const PackLook& look,
                                           const HealOptions& options, Pace& pace);

}  // namespace amberfs
