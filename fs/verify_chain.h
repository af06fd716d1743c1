// SPDX-License-Identifier: Apache-2.0
// verify_chain: whether the sealed chain of an open store is whole (snapshot/chain_check.h).
// Flow:    service → verify_chain → Engine::chain_evidence → check_chain.
// Threads: any; on a mounted store too.   Errors: of Io; what is wrong is a finding.
#pragma once

#include "fs/engine.h"

namespace amberfs {

struct ChainVerification {
  bool sealed = false;
  // The key was given by who asks. With the store's own nothing is proved against who can write
  // the store: the whole chain may be another one.
  bool key_given = false;
  std::optional<PublicKey> key;
  ChainReport report;
};

// Without `key` the store's own is taken; a store that was never sealed has nothing to find then.
[[nodiscard]] Result<ChainVerification> verify_chain(
    Engine& engine, const std::optional<PublicKey>& key = std::nullopt,
    const std::optional<NotedHead>& head = std::nullopt);

// Writes STORE/chain anew where a document has what it lost. Returns how many findings that mends;
// kCorrupt when what is lost cannot be had from the documents.
[[nodiscard]] Result<std::uint64_t> mend_chain(Engine& engine);

}  // namespace amberfs
