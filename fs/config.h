// SPDX-License-Identifier: Apache-2.0
// Config: STORE/config.toml. Read once when the store is opened; never edited while mounted.
// Sizes are written "64MiB", durations "10m", "30s", "2h", "1d"; "off" turns a schedule off.
// Errors:  kBadConfig names the key, the value and what was expected; kNewerFormat.
// Threads: a value type.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/block_store.h"
#include "blockstore/chunker.h"
#include "fs/audit_options.h"
#include "fs/journal.h"

#include <string>
#include <vector>

namespace amberfs {

// Who may look into .snapshots: its directory's mode, which the kernel checks.
enum class SnapshotsFor : std::uint8_t { kAll, kRoot, kNone };  // kRoot: and who mounted

struct Config {
  static constexpr std::uint32_t kFormatVersion = 1;

  std::uint32_t format_version = kFormatVersion;  // [store] format
  std::string store_id;                           // [store] id: 32 hex digits, made by init
  bool encrypted = false;                         // [store] encryption; fixed by init
  ChunkerOptions chunker;                         // [chunking] min, average, max
  // [codec] zstd_level, [packs] size, [cache] blocks, [parity] percent, [scrub] age
  BlockStoreOptions blocks;
  JournalOptions journal;                           // [journal] segment, zstd_level
  std::uint64_t commit_journal_bytes = 256 * kMiB;  // [commit] journal: commit when it passes this
  std::uint64_t commit_every_s = 30;                // [commit] every; 0: only by size
  std::uint64_t journal_sync_ms = 1000;             // [journal] sync_every
  std::uint64_t memory_bytes = 512 * kMiB;          // [memory] budget
  std::uint64_t reserve_bytes = 0;                  // [disk] reserve; 0: by the disk's size
  std::vector<std::string> exact_globs;             // [capture] exact
  std::uint64_t snapshot_every_s = 600;             // [schedule] every; 0: off
  std::uint64_t gc_every_s = 86400;                 // [gc] every; 0: off
  int gc_zstd_level = CompactOptions{}.zstd_level;  // [gc] zstd_level
  std::string access_group;                         // [access] group: name or number; "": none
  SnapshotsFor snapshots_for = SnapshotsFor::kAll;  // [access] snapshots
  std::uint64_t scrub_every_s = 7 * 86400;          // [scrub] every; 0: off
  std::uint64_t scrub_rate = 20 * kMiB;             // [scrub] rate, bytes a second; 0: no limit
  AuditOptions audit{.ignore = default_ignore_globs()};  // [audit]
  std::string text_hash;                                 // SHA-256 of the file, 64 hex digits
};

// The text of a new store's config.toml: every setting with its default and a line that explains
// it.
[[nodiscard]] std::string default_config_text(const std::string& store_id, bool encrypted = false);
[[nodiscard]] Result<Config> parse_config(std::string_view toml, const std::string& path);
[[nodiscard]] Result<Config> read_config(Io& io, const std::string& store);

// Makes journal files and commits smaller than configured on a disk for which they are too large.
void fit_to_disk(Config& config, std::uint64_t disk_total_bytes);

// "all", "root", "none".
[[nodiscard]] std::optional<SnapshotsFor> parse_snapshots_for(std::string_view text);

// How much of the memory budget changes may take that are not in a commit yet.
[[nodiscard]] std::uint64_t overlay_max_bytes(const Config& config);

// True when `path` (relative to the mount, no leading slash) matches one of the globs: "*" and "?"
// do not cross a slash, "**" does, a pattern without a slash matches in every directory.
[[nodiscard]] bool matches_glob(std::string_view pattern, std::string_view path);
[[nodiscard]] bool matches_any(const std::vector<std::string>& globs, std::string_view path);

// "64MiB", "10m" …; nullopt when it is neither.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> parse_duration_s(std::string_view text);

}  // namespace amberfs
