// SPDX-License-Identifier: Apache-2.0
// verify_store: whether everything a store holds can be read and is what it was: frames and index
// (BlockStore::verify), every tree node and every block that a snapshot or the live tree refers to,
// manifests, and the consistency of the live file system.
// Flow:    service → verify_store.   Nodes shared by snapshots are walked once.
// Threads: any; on a mounted store too, as everything it reads is immutable (the live tree is
//          committed first).
// Memory:  32 bytes a tree node and a few words a damaged block.
// Errors:  an Error means that verify itself could not go on; damage is a finding.
#pragma once

#include "fs/engine.h"

#include <functional>
#include <string>
#include <vector>

namespace amberfs {

struct VerifyFinding {
  // "frame", "index", "parity", "node", "file", "manifest", "inode", "journal", "audit"
  std::string kind;
  std::string object;  // file of the store, or path in a snapshot
  std::string snapshot;      // time of the snapshot, "live", or ""
  std::uint64_t offset = 0;  // byte range of the object that is lost
  std::uint64_t size = 0;
  std::string what;
  // Of a file: what can be read before and behind the lost range, up to the next lost one or an
  // end of the file. Ranges [begin, end).
  std::uint64_t before_begin = 0;
  std::uint64_t behind_end = 0;
};

struct VerifyReport {
  std::vector<VerifyFinding> findings;  // the first 10,000
  std::uint64_t finding_count = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t nodes = 0;
  std::uint64_t blocks = 0;
  [[nodiscard]] bool ok() const { return findings.empty(); }
};

// `options` are of the packs; manifests and trees are always looked at as a whole.
[[nodiscard]] Result<VerifyReport> verify_store(Engine& engine, const VerifyOptions& options);
[[nodiscard]] Result<VerifyReport> verify_store(
    Engine& engine, bool full, const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace amberfs
