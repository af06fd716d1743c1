// SPDX-License-Identifier: Apache-2.0
// The file of a proof: what stands in it, and how. Everything in it is as its reader finds it: who
// made it may be hostile, so sizes are bounded before anything is allocated.
// Flow:    prove: proof.h → encode_proof.   check-proof: decode_proof → proof.h.
// Threads: functions of values.
// Errors:  kCorrupt, kNewerFormat; kBadRequest for a proof that would be too large.
// Format:  docs/format/proof.md.
#pragma once

#include "blockstore/block_id.h"
#include "blockstore/blocks.h"
#include "snapshot/link.h"
#include "snapshot/record_format.h"

#include <optional>
#include <vector>

namespace amberfs {

// What is claimed: that bytes [offset, offset + size) of the file at `path` are those that the
// proof's blocks give, and that the inode was this.
struct ProofClaim {
  std::string path;  // from the root of the snapshot, without a leading slash
  Ino ino = kNoIno;
  InodeRecord inode;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  friend bool operator==(const ProofClaim&, const ProofClaim&) = default;
};

struct Proof {
  static constexpr std::uint64_t kPlainMax = 128 * kMiB;  // of all sections together
  static constexpr std::uint64_t kRangeMax = 1 * kGiB;    // of a claim: holes have no blocks
  static constexpr std::uint64_t kFileMax = kPlainMax + 16 * kMiB;

  struct Block {
    std::optional<Sha256> opening;  // of its id, in an encrypted store
    BlockData bytes;
  };
  ProofClaim claim;
  std::vector<Link> links;    // from the first to that of the snapshot
  std::string manifest;       // JSON, as in snapshots/
  std::vector<Block> blocks;  // in the order in which a reader first needs them
};

[[nodiscard]] Result<Bytes> encode_proof(const Proof& proof);
[[nodiscard]] Result<Proof> decode_proof(ByteView bytes);

}  // namespace amberfs
