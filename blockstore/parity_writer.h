// SPDX-License-Identifier: Apache-2.0
// Writing the parity of a sealed pack: beside, synced, renamed: there is a whole one or none.
// Flow:    protect (what was sealed) and heal (a damaged or missing parity file).
// Threads: one at a time for one pack; the pack is only read.
// Memory:  about 8 MiB, and 8 bytes a shard.
// Errors:  kCorrupt: the pack does not pass its own checks, and rot is not to be made permanent;
//          kBroken: stopped; as of Io. Nothing is left then.
// Format:  docs/format/parity.md.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/pace.h"
#include "blockstore/parity_format.h"

namespace amberfs {

// `pack_size`: as the index has it. Replaces a parity file that is there. Returns its size.
[[nodiscard]] Result<std::uint64_t> write_parity(Io& io, const std::string& packs_directory,
                                                 const PackId& id, std::uint64_t pack_size,
                                                 unsigned percent, Pace& pace);

}  // namespace amberfs
