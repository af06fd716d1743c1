// SPDX-License-Identifier: Apache-2.0
// What verify and scrub found, as lines of the audit log: counts, and the first places by name.
// Nothing found, no line: `status` says when a scrub was.
// Threads: any.
#pragma once

#include "blockstore/block_store.h"
#include "fs/audit.h"

namespace amberfs {

void note_scrub(Audit& audit, const ScrubReport& report);
// `damage`: the list of the reply to verify.
void note_damage(Audit& audit, const nlohmann::json& damage, bool full);

}  // namespace amberfs
