// SPDX-License-Identifier: Apache-2.0
// BlockStore: the blocks of one store, on disk. Packs hold the bytes, the index says where each
// block is, and one head (opaque bytes of the layer above) is published atomically with the index.
// Flow:       put → dedup against index and pending → codec → frame → pack_writer;
//             publish → head frame + pack flush → index transaction {entries, head};
//             get → block cache → index → pack pread → frame check → codec.
// Durability: publish() makes everything put before it durable, in this order: pack bytes, then
//             index and head in one transaction. After a crash the store is as at the last
//             publish(): bytes behind it in the open pack are cut off when the store is opened.
// Threads:    put, get, contains from any thread; publish from one thread at a time (the commit).
// Owns:       packs, index and cache; borrows Io, which must outlive it.
// Errors:     kNotAStore, kIndexDamaged, kPack*, kCorrupt, kBlockMissing, kNoSpace. After a failed
//             write or sync of a pack the writer moves to a fresh pack and re-appends nothing: the
//             pending blocks are forgotten, put() and publish() of this commit fail, and the
//             caller starts the commit again from its journal: put() works again at once, the next
//             publish() fails once, unless abandon() or a failed publish() said that the commit
//             that lost its blocks was given up.
// Format:     docs/FORMAT.md#pack, #index.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/blocks.h"

#include <functional>
#include <map>
#include <optional>

namespace amberfs {

class StoreCipher;

constexpr unsigned kParityPercentMax = 25;

struct BlockStoreOptions {
  int zstd_level = 3;                              // -7 … 19; 0 stores raw
  std::uint64_t pack_size_bytes = 256 * kMiB;      // a pack is sealed when it reaches this
  std::uint64_t cache_size_bytes = 64 * kMiB;      // decoded blocks kept in memory
  std::uint64_t index_map_size_bytes = 64 * kGiB;  // address space reserved for LMDB, not memory
  // Of sealed packs, kept beside them so that what rots can be made again; 0: none is made.
  unsigned parity_percent = 0;
  // put() reads a block before it relies on it when its pack was not looked at for so long; 0: not.
  std::uint64_t check_age_s = 0;
  // Of an encrypted store; null: a plain one. Opening the other kind: kKeyMissing, kBadRequest.
  std::shared_ptr<const StoreCipher> cipher;
};

struct BlockStoreStats {
  std::uint64_t block_count = 0;
  std::uint64_t pack_count = 0;
  std::uint64_t pack_bytes = 0;   // on disk
  std::uint64_t plain_bytes = 0;  // sum of the decoded sizes of all indexed blocks
  std::uint64_t data_plain_bytes = 0;
  std::uint64_t node_plain_bytes = 0;
  std::uint64_t cache_bytes = 0;
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;
  std::uint64_t dedup_hits = 0;            // since open
  std::uint64_t parity_bytes = 0;          // on disk, beside the packs
  std::uint64_t packs_without_parity = 0;  // sealed ones; none while parity is off
  std::uint64_t damaged_blocks = 0;        // known not to be readable
};

// One finding of verify(): what is damaged and where.
struct Damage {
  std::string file;          // path of the pack or index
  std::uint64_t offset = 0;  // byte range in it
  std::uint64_t size = 0;
  std::optional<BlockId> block;  // the block that cannot be read, when known
  std::string what;              // "frame checksum does not match"
};

struct VerifyOptions {
  bool full = false;  // also decode each block and compare its id
  // Begins behind the packs that a verify looked at which was cut short; where there is none, with
  // the first.
  bool resume = false;
  std::uint64_t rate_bytes_per_s = 0;  // 0: as fast as it goes
  std::function<bool()> keep_going;    // false: ends with kBroken, and may be resumed
  // Called now and then with bytes done and bytes in all.
  std::function<void(std::uint64_t, std::uint64_t)> progress;
};

// A pass of scrub() over all packs. Times are nanoseconds since 1970.
struct ScrubPass {
  std::int64_t begin_ns = 0;  // 0: there was none
  std::int64_t end_ns = 0;
  std::uint64_t bytes = 0;     // of packs that were looked at
  std::uint64_t repaired = 0;  // damaged places that were made again
  std::uint64_t lost = 0;      // damaged places that could not be
  friend bool operator==(const ScrubPass&, const ScrubPass&) = default;
};

struct ScrubOptions {
  std::uint64_t rate_bytes_per_s = 0;  // 0: as fast as it goes
  bool dry_run = false;                // changes nothing; the report says what would be done
  // Notes in the store how far it is; goes on where the last one was stopped.
  bool is_scheduled = false;
  std::function<bool()> keep_going;                            // false ends it with what is done
  std::function<void(std::uint64_t, std::uint64_t)> progress;  // bytes done, in all
};

struct ScrubReport {
  ScrubPass pass;
  std::vector<Damage> repaired;      // bytes of packs that were made again from parity
  std::vector<Damage> lost;          // bytes of packs that are damaged still
  std::vector<Damage> parity;        // parity files that were damaged or missing
  std::uint64_t parity_written = 0;  // parity files that were made, or made anew
  bool stopped = false;
};

struct RebuildReport {
  std::uint64_t packs = 0;
  std::uint64_t blocks = 0;
  std::uint64_t torn_bytes = 0;  // behind the last whole frame of unsealed packs
  std::vector<Damage> damage;    // frames that had to be left out
  bool head_found = false;
  std::uint64_t head_sequence = 0;
  Bytes head;  // that was found
  std::uint64_t old_head_sequence = 0;
  std::optional<Bytes> old_head;  // of the index that is there; without, it cannot be read
  bool replaced = false;          // the index is a new one now
  std::string kept;               // where the old one is now; "" if there was none
};

struct RebuildOptions {
  bool dry_run = false;        // the index stays as it is; the report says what would be
  bool only_for_head = false;  // it stays, too, when its head is the one that was found
};

// A block that must stay, and its place among those of its kind: neighbours are laid side by side.
struct LiveBlock {
  BlockId id;
  std::uint32_t order = 0;
};

struct CompactOptions {
  int zstd_level = 22;
  std::uint64_t data_group_bytes = 4 * kMiB;    // plain bytes of a group of data blocks
  std::uint64_t node_group_bytes = 256 * kKiB;  // small, as a lookup reads single nodes
  std::uint64_t step_bytes = 4 * kGiB;          // of packs that are rewritten at once
  unsigned dead_percent = 10;  // a pack of which more is dead is rewritten to get it back
  // Packs of less than an eighth of the full size: more than these are put together.
  unsigned small_packs_max = 16;
  unsigned threads = 2;
  bool low_priority = true;          // the threads that compress run when nothing else does
  std::function<bool()> keep_going;  // asked for each block; false ends it with what is done
  std::function<void(std::uint64_t, std::uint64_t)> progress;  // bytes of packs: done, in all
};

struct CompactReport {
  std::uint64_t packs_before = 0;
  std::uint64_t packs_after = 0;
  std::uint64_t packs_removed = 0;
  std::uint64_t bytes_before = 0;  // of all packs
  std::uint64_t bytes_after = 0;
  std::uint64_t blocks_dropped = 0;
  std::uint64_t blocks_moved = 0;
  bool stopped = false;        // by keep_going
  std::vector<Damage> damage;  // blocks that are not what their ids say: left where they are
};

class BlockStore : public Blocks {
 public:
  // Makes packs/ and index/ in `directory`, which must exist. The head is empty.
  [[nodiscard]] static Status create(Io& io, const std::string& directory,
                                     const BlockStoreOptions& options);
  [[nodiscard]] static Result<std::unique_ptr<BlockStore>> open(Io& io,
                                                                const std::string& directory,
                                                                const BlockStoreOptions& options);
  // Makes the index anew from the packs alone, beside the old one, which is kept under another
  // name; the head becomes that of the newest whole commit. The store must not be open.
  [[nodiscard]] static Result<RebuildReport> rebuild_index(Io& io, const std::string& directory,
                                                           const BlockStoreOptions& options,
                                                           const RebuildOptions& how = {});

  // The head given to the last publish(); empty in a new store.
  [[nodiscard]] virtual Result<Bytes> head() = 0;
  // See Durability above. `head` is at most 64 KiB.
  [[nodiscard]] virtual Status publish(ByteView head) = 0;
  // When it was opened, packs held more than the index knows. Of a crash in the middle of a
  // publish, unless something that was published before is unknown as well: then the index is an
  // old one, and the first put() would write over what it does not know.
  [[nodiscard]] virtual bool has_bytes_unknown_to_index() { return false; }
  // The commit that was being put together is given up: a failed put() before this call does not
  // fail the next publish(). Blocks that are still pending stay, and are published with the next.
  // Nothing to do for a store whose put() cannot lose what it accepted.
  virtual void abandon() {}
  // Every frame of every pack against its checksum, index against packs both ways. Damage found is
  // returned; an Error means that verify itself could not go on.
  [[nodiscard]] virtual Result<std::vector<Damage>> verify(const VerifyOptions& options) = 0;
  [[nodiscard]] virtual Result<BlockStoreStats> stats() = 0;

  // Collecting: begin_collect(), find out what is live, collect() once or more, end_collect().
  // From begin_collect() on every block that put() stores, or finds stored, is live as well; it is
  // called while no commit is being put together. All that is in packs then may be rewritten.
  [[nodiscard]] virtual Status begin_collect() {
    return fail(Errc::kUnsupported, 0, "collect: not in this kind of store");
  }
  // Rewrites the packs that hold live blocks which are not in groups yet, or too much that is dead:
  // live blocks go into groups of new packs, in their order; the old packs are removed. `live` is
  // sorted by id. Beside puts, gets and publishes. A power cut leaves the old packs or the new.
  [[nodiscard]] virtual Result<CompactReport> collect(std::span<const LiveBlock>,
                                                      const CompactOptions&) {
    return fail(Errc::kUnsupported, 0, "collect: not in this kind of store");
  }
  virtual void end_collect() {}

  // Makes parity of sealed packs that have none, looks at once at packs in which a read met damage
  // (and heals them), and notes down what is known to be damaged. Quick when there is nothing to
  // do. Beside everything else.
  [[nodiscard]] virtual Status protect(const std::function<bool()>&) { return ok(); }
  // Looks at every published byte of every pack, heals what is damaged from parity, in place, and
  // makes parity where it is missing or damaged. Beside everything else.
  [[nodiscard]] virtual Result<ScrubReport> scrub(const ScrubOptions&) {
    return fail(Errc::kUnsupported, 0, "scrub: not in this kind of store");
  }
  // The newest pass that came to its end, and the scheduled one under way (begin_ns 0: none).
  struct ScrubPasses {
    ScrubPass last;
    ScrubPass current;
  };
  [[nodiscard]] virtual ScrubPasses scrub_passes() { return {}; }
  // Closes packs and index, reporting errors. Unpublished blocks are dropped.
  [[nodiscard]] virtual Status close() = 0;
};

}  // namespace amberfs
