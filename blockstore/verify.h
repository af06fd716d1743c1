// SPDX-License-Identifier: Apache-2.0
// Verifying: every published frame against its checksum (full: against its id), the index against
// the packs in both directions. Each damage is named; damage never ends the work.
// Flow:    amberfs verify → PackStore::verify → verify_packs.
// Threads: beside puts, gets and publishes: what is published meanwhile is not looked at.
// Errors:  when the list of packs in the index, or their directory, cannot be read.
#pragma once

#include "blockstore/block_store.h"
#include "blockstore/frame_cipher.h"
#include "blockstore/index.h"

namespace amberfs {

// Packs are looked at in order of id, those below `first` not at all; `begins` hears of each
// before.
struct VerifyPlace {
  PackId first{};
  std::function<Status(const PackId& pack, std::uint64_t damage_count)> begins;
};

[[nodiscard]] Result<std::vector<Damage>> verify_packs(Io& io, const std::string& packs_directory,
                                                       Index& index, const FrameCipher& frames,
                                                       const VerifyPlace& place,
                                                       const VerifyOptions& options);

// A frame's plain bytes against its id. kCorrupt when they do not decode or match.
[[nodiscard]] Status check_frame_id(const FrameCipher& frames, const OpenedFrame& frame);

}  // namespace amberfs
