// SPDX-License-Identifier: Apache-2.0
// Whether the sealed chain of a store is whole, seen from outside: given only its verification key,
// and perhaps a head that was noted down elsewhere. Finds snapshots that were removed, reordered,
// back-dated, altered or forged, and a tail that was cut off.
// What it can and cannot show: docs/SECURITY.md.
// Flow:    Engine::chain_evidence (under the commit lock) → check_chain (without any lock).
// Threads: functions of values.
// Errors:  evidence: of Io. What is wrong with the chain is a finding, never an error.
#pragma once

#include "snapshot/catalog.h"
#include "snapshot/chain.h"
#include "snapshot/notes.h"

#include <optional>
#include <string>
#include <vector>

namespace amberfs {

struct ChainEvidence {
  bool sealed = false;
  std::optional<PublicKey> recorded_key;  // as the store says
  std::string key_file_problem;           // of signing.pub
  ChainFile::Records records;
  SigningState signing_state;
  Catalog::Inspection manifests;
  Notes::Inspection notes;
};
[[nodiscard]] Result<ChainEvidence> collect_evidence(Chain& chain, Catalog& catalog, Notes& notes);

// SEQUENCE:HASH as verify printed it, of which at least 16 digits count.
struct NotedHead {
  std::uint64_t sequence = 0;
  std::string hash_prefix;
};
[[nodiscard]] std::optional<NotedHead> parse_noted_head(std::string_view text);

struct ChainFinding {
  std::string object;    // "chain", "signing.key", "snapshot #7", "notes/…"
  std::string snapshot;  // its time; ""
  std::string what;
  bool mendable = false;  // a second copy has what is lost: repair
};

struct ChainReport {
  std::vector<ChainFinding> findings;
  std::vector<Link> links;  // those that are proved
  ChainEnd end;
  std::uint64_t forgotten = 0;  // snapshots with a tombstone
  std::uint64_t unsealed = 0;   // snapshots older than the chain, named in its begin note
};
[[nodiscard]] ChainReport check_chain(const ChainEvidence& evidence, const PublicKey& key,
                                      const std::optional<NotedHead>& head = std::nullopt);

}  // namespace amberfs
