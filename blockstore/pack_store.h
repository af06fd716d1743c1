// SPDX-License-Identifier: Apache-2.0
// PackStore: BlockStore on packs and an index. See block_store.h for what it promises.
// Flow:    block_store.cc opens; pack_store.cc puts and gets; pack_store_publish.cc publishes and
//          recovers from failed writes; pack_store_collect.cc rewrites packs; pack_store_scrub.cc
//          heals them; verify.cc and index_rebuild.cc look at everything.
// State:   a block is in pending_ (put, not in a publish yet), then in committing_ (a publish is
//          making it durable), then in the index. A reader looks in this order, and a block leaves
//          one place only after it is in the next.
// Threads: as of BlockStore. Locks, in this order: collect_run_mu_, publish_mu_, write_mu_,
//          collect_mu_, mu_, found_mu_; and heal_mu_, scrub_mu_, mu_.
// Owns:    the index, the open pack, the cache; borrows Io.
#pragma once

#include "blockstore/block_cache.h"
#include "blockstore/block_store.h"
#include "blockstore/frame_cipher.h"
#include "blockstore/index.h"
#include "blockstore/pack_files.h"
#include "blockstore/pack_writer.h"
#include "blockstore/put_claims.h"
#include "blockstore/read_ahead.h"
#include "blockstore/scrub_state.h"

#include <atomic>
#include <unordered_map>
#include <unordered_set>

namespace amberfs {

class PackStore final : public BlockStore {
 public:
  // `index` is open already; tests give one of their own.
  [[nodiscard]] static Result<std::unique_ptr<PackStore>> open(Io& io, const std::string& directory,
                                                               const BlockStoreOptions& options,
                                                               std::unique_ptr<Index> index);
  ~PackStore() override;

  Result<BlockId> put(ByteView bytes, BlockKind kind) override;
  Result<BlockData> get(const BlockId& id) override;
  Result<bool> contains(const BlockId& id) override;
  Result<Bytes> head() override;
  Status publish(ByteView head) override;
  bool has_bytes_unknown_to_index() override;
  void abandon() override;
  Status read(const BlockId& id, std::uint64_t offset, char* target, std::size_t size) override;
  [[nodiscard]] bool is_cached(const BlockId& id) override { return cache_.contains(id); }
  void prefetch(std::span<const BlockId> ids) override;
  Result<std::vector<Damage>> verify(const VerifyOptions& options) override;
  Result<BlockStoreStats> stats() override;
  Status begin_collect() override;
  Result<CompactReport> collect(std::span<const LiveBlock> live,
                                const CompactOptions& options) override;
  void end_collect() override;
  Status protect(const std::function<bool()>& keep_going) override;
  Result<ScrubReport> scrub(const ScrubOptions& options) override;
  ScrubPasses scrub_passes() override;
  Status close() override;

 private:
  struct OpenPack {
    PackNumber number = 0;
    std::shared_ptr<PackWriter> writer;
  };
  struct PublishedPack {
    OpenPack pack;
    bool sealed = false;
  };
  // What one publish makes durable.
  struct Publish {
    std::vector<PublishedPack> packs;
    IndexCommit change;
    std::uint64_t puts_before = 0;
  };
  using Pending = std::unordered_map<BlockId, BlockLocation>;
  class Collection;

  PackStore(Io& io, const std::string& directory, const BlockStoreOptions& options,
            std::unique_ptr<Index> index);

  // Opening.
  [[nodiscard]] Status recover();
  [[nodiscard]] Status continue_unsealed(const PackRow& row) REQUIRES(write_mu_);
  [[nodiscard]] Status clear_unknown(const PackId& id) REQUIRES(write_mu_);
  [[nodiscard]] Status check_against_entries(const std::vector<PackRow>& rows) REQUIRES(write_mu_);
  // The files of packs that the index marks as gone, then their rows.
  [[nodiscard]] Status remove_gone(const std::vector<PackRow>& rows);

  // Reading.
  [[nodiscard]] Result<std::optional<BlockLocation>> find_location(const BlockId& id);
  [[nodiscard]] Result<PackId> pack_id_of(PackNumber number);
  [[nodiscard]] Result<BlockData> load(const BlockId& id);
  [[nodiscard]] Result<BlockData> load_from(const BlockId& id, const BlockLocation& location);
  [[nodiscard]] Result<BlockData> load_group(const BlockId& id, const BlockLocation& location,
                                             File& file, const PackId& pack);
  // `pack`: where it is, to be looked at soon.
  void mark_damaged(const BlockId& id, std::optional<PackNumber> pack = std::nullopt);

  // Writing.
  [[nodiscard]] Result<bool> is_stored(const BlockId& id, ByteView bytes);
  // True unless its pack was not looked at for long, and the block cannot be read.
  [[nodiscard]] bool may_rely_on(const BlockId& id, const BlockLocation& location, ByteView bytes);
  [[nodiscard]] Status append_block(const FrameHeader& header, ByteView encoded);
  [[nodiscard]] Status ensure_open_pack() REQUIRES(write_mu_);

  // Publishing.
  // `forced`: also when nothing is new.
  [[nodiscard]] Status publish_now(ByteView head, bool forced) REQUIRES(publish_mu_);
  [[nodiscard]] Result<bool> begin_publish(ByteView head, bool forced, Publish& publish);
  [[nodiscard]] Status seal_full_packs(Publish& publish);
  [[nodiscard]] Status append_head(ByteView head, Publish& publish);
  [[nodiscard]] static Status sync_open_pack(Publish& publish);
  void finish_publish(const Publish& publish);

  // Collecting.
  [[nodiscard]] Status rotate_packs();
  [[nodiscard]] bool is_worth_sealing(const OpenPack& pack) REQUIRES(write_mu_);
  [[nodiscard]] bool holds_head(const OpenPack& pack) REQUIRES(write_mu_);
  [[nodiscard]] Result<OpenPack> make_group_pack();

  // Scrubbing.
  class Scrub;
  [[nodiscard]] Status load_scrub_state(const std::vector<PackRow>& rows);
  [[nodiscard]] Status find_parity(const std::vector<PackRow>& rows);
  [[nodiscard]] Status save_scrub_state();
  [[nodiscard]] Status make_parity(const PackRow& row, const std::function<bool()>& keep_going);
  void note_made(PackNumber number) REQUIRES(mu_);
  void note_parity(const PackRow& row, std::uint64_t size_bytes);
  [[nodiscard]] bool is_known(PackNumber number);
  [[nodiscard]] std::vector<PackRow> packs_without_parity();

  // After a failed write: what was not published is forgotten, and the packs are left behind.
  enum class CutOff { kNo, kYes };
  void fail_put(const Error& error) REQUIRES(write_mu_);
  void fail_publish(const Publish& publish, const Error& error, CutOff cut_off);
  void forget_unpublished(bool also_committing);
  void leave_pack(const OpenPack& pack, CutOff cut_off) REQUIRES(write_mu_);
  void discard_empty(const OpenPack& pack) REQUIRES(write_mu_);

  Io& io_;
  const std::string directory_;
  const std::string packs_directory_;
  const BlockStoreOptions options_;
  const FrameCipher frames_;
  const std::unique_ptr<Index> index_;

  BlockCache cache_;
  PackFiles files_;
  PutClaims claims_;
  std::atomic<std::uint64_t> dedup_hits_ = 0;
  // Blocks put or found unpublished; tells a failed publish whether somebody else relied on them.
  std::atomic<std::uint64_t> puts_ = 0;

  Mutex publish_mu_;

  Mutex write_mu_;  // held while a frame is written, not while it is hashed or synced
  OpenPack open_ GUARDED_BY(write_mu_);
  OpenPack fresh_ GUARDED_BY(write_mu_);              // made, but the index does not know it yet
  std::vector<OpenPack> full_ GUARDED_BY(write_mu_);  // to be sealed by the next publish
  std::vector<OpenPack> continued_ GUARDED_BY(write_mu_);  // unsealed, from before the store opened
  bool has_unknown_bytes_ GUARDED_BY(write_mu_) = false;   // when it was opened
  PackNumber next_number_ GUARDED_BY(write_mu_) = 1;
  HeadRecord published_ GUARDED_BY(write_mu_);
  std::uint64_t last_sequence_ GUARDED_BY(write_mu_) = 0;  // also of publishes that failed
  std::optional<Error> failed_ GUARDED_BY(write_mu_);
  bool publishing_ GUARDED_BY(write_mu_) = false;
  bool head_known_ GUARDED_BY(write_mu_) = true;  // false after a failed index commit
  bool closed_ GUARDED_BY(write_mu_) = false;
  PackNumber head_pack_ GUARDED_BY(write_mu_) = 0;  // holds the newest head frame; 0: not known

  Mutex collect_run_mu_;  // held while a collection rewrites
  std::atomic<bool> closing_ = false;
  // Shared while put() looks whether a block is there; exclusive when blocks are dropped.
  SharedMutex collect_mu_;
  bool collecting_ GUARDED_BY(collect_mu_) = false;
  std::vector<PackRow> collected_ GUARDED_BY(collect_mu_);  // packs that may be rewritten
  Mutex found_mu_;
  std::unordered_set<BlockId> found_ GUARDED_BY(found_mu_);  // by put(), since begin_collect()

  Mutex heal_mu_;                            // held while one pack is looked at and healed
  Mutex scrub_mu_;                           // also while the state is written
  ScrubState scrub_ GUARDED_BY(scrub_mu_);   // but for what stands in the members below
  std::atomic<bool> marks_changed_ = false;  // damaged_ is not as in the file

  SharedMutex mu_;
  Pending pending_ GUARDED_BY(mu_);
  Pending committing_ GUARDED_BY(mu_);
  std::unordered_map<PackNumber, PackRow> packs_ GUARDED_BY(mu_);  // lengths as published
  // Known not to be readable: put() stores them again.
  std::unordered_set<BlockId> damaged_ GUARDED_BY(mu_);
  std::unordered_set<PackNumber> suspects_ GUARDED_BY(mu_);  // a read met damage in them
  // Of packs that are gone there may be entries left in these.
  std::unordered_map<PackNumber, std::int64_t> checked_ns_ GUARDED_BY(mu_);
  std::unordered_map<PackNumber, std::uint64_t> parity_bytes_ GUARDED_BY(mu_);
  std::unordered_set<PackNumber> parity_failed_ GUARDED_BY(mu_);  // not tried until the next scrub

  ReadAhead read_ahead_;  // last: its threads use all of the above
};

[[nodiscard]] inline std::string packs_directory_of(const std::string& directory) {
  return directory + "/packs";
}

}  // namespace amberfs
