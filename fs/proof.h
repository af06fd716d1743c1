// SPDX-License-Identifier: Apache-2.0
// Proofs: that these bytes stood in that file of that snapshot, at that place of the sealed chain,
// to someone who has nothing but the proof and the verification key.
// A proof holds the chain up to the snapshot, its manifest, and exactly those blocks that looking
// the file up and reading the range needs. It is made by doing so over blocks that are recorded,
// and checked by doing the same over the blocks in it, whose ids are computed anew: the same code
// reads a store and a proof.
// Flow:    service → make_proof;   tools → check_proof.
// Threads: functions of values; make_proof on a mounted store, too.
// Errors:  make_proof: kNoSuchPath, kBadRequest (no regular file, too large, not in the chain),
//          those of reading. check_proof: kCorrupt when it does not hold, and says why.
#pragma once

#include "fs/engine.h"
#include "fs/proof_format.h"

#include <functional>

namespace amberfs {

// The range is clipped to the file's size.
[[nodiscard]] Result<Bytes> make_proof(Engine& engine, const Manifest& manifest,
                                       const std::string& path, std::uint64_t offset,
                                       std::uint64_t size);

struct ProvedClaim {
  ProofClaim claim;
  Manifest manifest;
  Link link;  // the snapshot's
};
// `sink` gets the bytes of the range, in order, only after all of them were checked once.
[[nodiscard]] Result<ProvedClaim> check_proof(ByteView bytes, const PublicKey& key,
                                              const std::function<Status(ByteView)>& sink = {});

}  // namespace amberfs
