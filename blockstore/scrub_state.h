// SPDX-License-Identifier: Apache-2.0
// ScrubState: what is remembered of looking at packs: when each was looked at, which blocks are
// known to be damaged, how far a pass is. A small file beside the store, written whole.
// Threads: a value type.
// Errors:  kCorrupt, kNewerFormat. Losing the file loses no data: packs count as not looked at.
// Format:  docs/format/scrub.md.
#pragma once

#include "blockstore/block_store.h"
#include "blockstore/pack_format.h"

#include <map>
#include <vector>

namespace amberfs {

constexpr std::string_view kScrubStateFile = "scrub.state";

// Work on packs in order of their ids stands here.
struct PackPlace {
  PackId pack{};
  std::uint64_t offset = 0;  // a frame begins here; 0: at the pack's beginning
  friend auto operator<=>(const PackPlace&, const PackPlace&) = default;
};

struct ScrubState {
  ScrubPass last;     // the newest that came to its end
  ScrubPass current;  // begin_ns 0: none is under way
  PackPlace place;    // where the current one goes on
  ScrubPass verify;   // a verify that was cut short; begin_ns 0: none
  PackPlace verify_place;
  std::map<PackId, std::int64_t> checked_ns;  // when all of the pack was last found sound, or made
  std::vector<BlockId> damaged;               // blocks that are not readable where the index says
  friend bool operator==(const ScrubState&, const ScrubState&) = default;
};

[[nodiscard]] Bytes encode_scrub_state(const ScrubState& state);
[[nodiscard]] Result<ScrubState> decode_scrub_state(ByteView raw);

}  // namespace amberfs
