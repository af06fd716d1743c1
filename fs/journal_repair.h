// SPDX-License-Identifier: Apache-2.0
// Repair of a journal that met damage with batches behind it: what would be lost by going on
// without these batches, and going on. Flow:       repair --journal: look_at_journal → said →
// repair_journal. Durability: when repair_journal returns, the store opens without the damage; what
// the segments
//             held stands below journal/set-aside-TIME/. Cut short anywhere, it can be run again.
// Threads:    one; the store is not open elsewhere (kStoreLocked).
// Errors:     those of Engine::open, Engine::commit and Io.
#pragma once

#include "fs/engine.h"

namespace amberfs {

struct JournalRepair {
  std::optional<JournalLoss> loss;  // nullopt: nothing is wrong
  std::uint64_t batches = 0;        // behind the damage, that can still be read
  std::int64_t first_ns = 0;        // the times of these
  std::int64_t last_ns = 0;
  std::vector<std::string> paths;  // what they changed, as text; at most kPathsMax
  std::uint64_t path_count = 0;
  static constexpr std::size_t kPathsMax = 1000;
};

[[nodiscard]] Result<JournalRepair> look_at_journal(Io& io, const std::string& store,
                                                    std::shared_ptr<const StoreCipher> cipher);
[[nodiscard]] Result<JournalRepair> repair_journal(Io& io, const std::string& store,
                                                   std::shared_ptr<const StoreCipher> cipher);

}  // namespace amberfs
