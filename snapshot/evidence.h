// SPDX-License-Identifier: Apache-2.0
// Evidence: what is known of bytes that were captured and then removed: by whom, when, from which
// file. Its inode, which has no name, holds the bytes at the offsets that they had in the file; so
// they are part of every snapshot, and stay when blocks are collected. The number of an event is
// the number of that inode.
// Flow:    fs/tampering.cc puts (0, EVIDENCE, ino) → this record, in the batch that removes.
// Format:  docs/format/records.md#evidence. On disk: never renumber a kind.
// Threads: a value type.
// Errors:  kCorrupt for bytes that are no record, kNewerFormat.
#pragma once

#include "snapshot/record_format.h"

namespace amberfs {

enum class RemovalKind : std::uint8_t {
  kOverwritten = 1,
  kTruncated = 2,
  kCleared = 3,   // a hole was punched, or a range zeroed
  kDeleted = 4,   // the last name was removed: the inode is the file itself
  kReplaced = 5,  // another file was renamed over it: the same
  kHidden = 6,    // renamed to a name that is not watched: nothing was removed yet
};

struct Evidence {
  RemovalKind kind = RemovalKind::kOverwritten;
  bool rotation = false;    // taken for a rotation by its names: kept, but no tampering
  bool one_of = false;      // several programs had the file open for writing: the newest is named
  Ino file = kNoIno;        // whose bytes they were
  std::uint64_t begin = 0;  // the range of the file that they lie in
  std::uint64_t end = 0;
  std::uint64_t kept_bytes = 0;    // of it, in the inode
  std::uint64_t missed_bytes = 0;  // removed again and again, and not kept
  std::uint32_t count = 1;         // removals that were put together
  std::int64_t first_ns = 0;       // since 1970
  std::int64_t last_ns = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;  // 0: not known
  Bytes command;          // at most 16 bytes; "" when not known
  Bytes path;             // of the file, from the root, without a leading slash
  Bytes other;            // what was renamed over it, or its new name; "" otherwise
  friend bool operator==(const Evidence&, const Evidence&) = default;
};

[[nodiscard]] Bytes encode(const Evidence& evidence);
[[nodiscard]] Result<Evidence> decode_evidence(ByteView value);
// "overwritten", "truncated" …: as people and scripts see it.
[[nodiscard]] const char* to_text(RemovalKind kind);

}  // namespace amberfs
