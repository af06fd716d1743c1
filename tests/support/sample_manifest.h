// SPDX-License-Identifier: Apache-2.0
// A manifest with something in every member: what tests and fuzzers begin with.
#pragma once

#include "snapshot/manifest.h"

namespace amberfs::testing {

[[nodiscard]] inline Manifest sample_manifest() {
  Manifest manifest;
  manifest.sequence = 7;
  manifest.time_ns = 1'790'000'000'123'456'789;
  manifest.root = BlockId{sha256("root")};
  manifest.name = "before-upgrade";
  manifest.reason = "apt \"full-upgrade\"\n";
  manifest.kind = "manual";
  manifest.previous_id = std::string(64, 'a');
  manifest.totals = {10, 20};
  manifest.changed_bytes = 30;
  manifest.stored_bytes = 40;
  manifest.journal_seq = 50;
  return manifest;
}

}  // namespace amberfs::testing
