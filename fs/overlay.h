// SPDX-License-Identifier: Apache-2.0
// Overlay: the changes of the map since a commit, in memory, each of them already in the journal.
// A value of nullopt is a deletion that hides the layers below.
// EXTENT entries work by range, not by key: one that is applied takes its range over from what this
// layer had there (which is cut to what remains beside it), and hides that range of the layers
// below, however they are cut. So a commit may cut the layers below anew while newer batches stand
// above. Threads: any; apply() excludes readers for the time of one batch, so a reader sees a batch
// whole
//          or not at all per get() or cursor step. A frozen overlay is only read.
// Owns:    keys and values. Cursors keep the overlay alive.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/batch.h"
#include "snapshot/map_reader.h"

#include <map>
#include <memory>
#include <span>

namespace amberfs {

// An extent and where in the file it lies.
struct FileExtent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  Extent extent;
};
// [begin, end) of a file extent that contains it. The chunker's cut belongs to the original end.
[[nodiscard]] Extent slice(const FileExtent& whole, std::uint64_t begin, std::uint64_t end);
// kCorrupt for a value that is no extent or begins before its file.
[[nodiscard]] Result<FileExtent> file_extent(const ParsedKey& key, ByteView value);

class Overlay {
 public:
  // Three answers: not in this layer (outer nullopt), deleted here (inner nullopt), or the value.
  using Lookup = std::optional<std::optional<Bytes>>;

  void apply(const Batch& batch);  // resolved
  // In order, as one batch; a later change of the same key wins.
  void apply(std::span<const Change> changes);
  [[nodiscard]] Lookup get(ByteView key) const;
  struct Entry {
    Bytes key;
    std::optional<Bytes> value;
  };
  // The first entry with key >= `key` (or > when `after`), deletions included.
  [[nodiscard]] std::optional<Entry> find_from(ByteView key, bool after) const;
  // The first extent of `ino` that ends behind `at`, holes included.
  [[nodiscard]] Result<std::optional<FileExtent>> find_extent(Ino ino, std::uint64_t at) const;
  // Every entry in key order; the overlay must be frozen (no apply at the same time).
  [[nodiscard]] std::vector<Change> changes() const;

  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::size_t entry_count() const;
  [[nodiscard]] std::uint64_t memory_bytes() const;  // estimate
  // The lowest journal segment that an extent in here points into; nullopt when none does.
  [[nodiscard]] std::optional<std::uint64_t> lowest_segment() const;

 private:
  using Map = std::map<Bytes, std::optional<Bytes>, std::less<>>;
  void set_entry(const Bytes& key, const std::optional<Bytes>& value) REQUIRES(mu_);
  Map::iterator drop_entry(Map::iterator entry) REQUIRES(mu_);
  // Cuts what this layer has in the range of an extent that is about to be put there.
  void make_way(const ParsedKey& key, ByteView value) REQUIRES(mu_);

  mutable SharedMutex mu_;
  Map map_ GUARDED_BY(mu_);
  std::map<std::uint64_t, std::uint64_t> segment_uses_ GUARDED_BY(mu_);
  std::uint64_t memory_bytes_ GUARDED_BY(mu_) = 0;
};

}  // namespace amberfs
