// SPDX-License-Identifier: Apache-2.0
// Manifest: what makes a commit a snapshot: a small JSON file that names the root and says when,
// why and what it holds. Immutable once written.
// Format:  docs/format/manifest.md. `checksum` is SHA-256 over the canonical JSON without it.
// Threads: a value type.
// Errors:  kCorrupt for text that is no manifest or fails its checksum, kNewerFormat.
#pragma once

#include "blockstore/base/result.h"
#include "blockstore/block_id.h"
#include "snapshot/link.h"

#include <optional>
#include <string>

namespace amberfs {

struct TreeTotals {
  std::uint64_t inode_count = 0;
  std::uint64_t logical_bytes = 0;  // sum of the sizes of regular files
  friend bool operator==(const TreeTotals&, const TreeTotals&) = default;
};

struct Manifest {
  static constexpr std::uint64_t kFormat = 2;          // of those written now
  static constexpr std::uint64_t kFormatWithLink = 2;  // those before know no link

  std::string id;  // 64 hex digits: SHA-256 of the canonical JSON without id, link, checksum
  std::uint64_t format = kFormat;
  std::uint64_t sequence = 0;  // 1, 2, 3 … never reused; the view number in node ids
  std::int64_t time_ns = 0;    // since 1970, UTC; strictly increasing with sequence
  BlockId root;
  std::string name;         // "" or unique
  std::string reason;       // free text
  std::string kind;         // "manual", "scheduled", "before-rollback", "before-restore", "adopt"
  std::string previous_id;  // of the snapshot before it; "" for the first
  TreeTotals totals;
  std::uint64_t changed_bytes = 0;  // bytes of new file data since the snapshot before
  std::uint64_t stored_bytes = 0;   // what packs grew by since the snapshot before
  std::uint64_t journal_seq = 0;    // every batch up to this one is in the root
  bool keyed_ids = false;           // of blocks: the store is encrypted (StoreCipher::id_of)
  std::optional<Link> link;         // its place in the sealed chain; none: unsigned
  std::uint64_t audit_size = 0;     // of the audit log in bytes
  std::string audit_hash;           // of its last line: 64 hex digits; "" when there was none
};

[[nodiscard]] std::string encode_manifest(Manifest& manifest);  // fills in id
[[nodiscard]] LinkSubject link_subject(const Manifest& manifest);
[[nodiscard]] Result<Manifest> decode_manifest(ByteView json);

// 2026-11-20T10:33:05.123Z, always UTC and milliseconds.
[[nodiscard]] std::string format_time(std::int64_t time_ns);
// Accepts the above and shorter ones: 2026-11-20, …T10:33, …T10:33:05, …:05.123Z, with "T" or a
// space, "Z" or nothing (UTC), or +hh:mm; also "now-90s", "now-10m", "now-2h", "now-3d" relative to
// `now_ns`. nullopt: not a time. A shorter one means its first instant.
[[nodiscard]] std::optional<std::int64_t> parse_time(std::string_view text, std::int64_t now_ns);

}  // namespace amberfs
