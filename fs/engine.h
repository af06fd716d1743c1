// SPDX-License-Identifier: Apache-2.0
// Engine: one open store. Puts the layers together, recovers, commits, takes snapshots, rolls back.
// The mounted server has one; so has a command that works on an unmounted store.
// Flow:       open: config → lock → block store → head → journal replay → live map.
//             commit (fs/commit.cc): freeze → check journal → seal → tree apply → publish → install
//             → release journal.     snapshot: flush kernel → commit → manifest.
//             collect (fs/collect.cc): commit → mark → rewrite packs.
// Durability: docs/ARCHITECTURE.md "Crash story": I1 pack bytes before index and head; I2 index and
//             head in one transaction; I3 journal released only after both.
// Threads:    every method from any thread; commits, snapshots and rollbacks exclude each other by
//             commit_mu_, which is taken before every other lock but collect_mu_.
// Owns:       everything below it. Borrows Io and MountHooks.
// Errors:     kNotAStore, kStoreLocked, kNewerFormat, kBadConfig, kIndexDamaged, kJournalDamaged …
#pragma once

#include "blockstore/key_slots.h"
#include "blockstore/store_cipher.h"
#include "fs/audit.h"
#include "fs/collect.h"
#include "fs/config.h"
#include "fs/filesystem.h"
#include "fs/head_format.h"
#include "fs/mount_hooks.h"
#include "fs/space.h"
#include "snapshot/catalog.h"
#include "snapshot/chain.h"
#include "snapshot/chain_check.h"
#include "snapshot/notes.h"

#include <atomic>
#include <thread>

namespace amberfs {

struct SnapshotRequest {
  std::string name;
  std::string reason;
  std::string kind = "manual";
  bool skip_if_unchanged = false;  // nothing changed since the newest snapshot: return that one
  bool kernel_flushed = false;     // by the caller, who may be holding writers back now
};

struct SnapshotResult {
  Manifest manifest;
  bool created = true;  // false: skipped as unchanged
};

struct RollbackResult {
  Manifest before;  // the snapshot that keeps what was live
  Manifest target;
};

struct ForgetResult {
  Note tombstone;
  std::vector<Manifest> forgotten;
};

// What a command may ask of a View that is no longer or not yet the live one.
struct SnapshotView {
  Manifest manifest;
  std::shared_ptr<const View> view;
};

// What a new encrypted store begins with.
struct NewKeys {
  KeySlots slots;  // of the store's id, with one slot at least
  std::shared_ptr<const StoreCipher> cipher;
};

struct OpenOptions {
  // kOnlyLook: nothing of the store is changed, nor can it be; verify and reading work.
  JournalOptions::OnDamage on_journal_damage = JournalOptions::OnDamage::kRefuse;
  // Is shown each batch that can be read behind damage of the journal.
  std::function<void(const Batch&)> set_aside = {};
};

class Engine {
 public:
  // Makes an empty store in `store`, a new or empty directory. kStoreExists otherwise. With
  // `spare_segments` files of the journal written ahead, if the disk is not small: an fsync that is
  // the first to use a block takes longer and writes more. `keys`: when the config says that it is
  // encrypted.
  [[nodiscard]] static Status create(Io& io, const std::string& store,
                                     const std::string& config_text,
                                     std::uint32_t spare_segments = 0,
                                     std::optional<NewKeys> keys = std::nullopt);
  // `cipher` of an encrypted store (kKeyMissing without); null for a plain one (kBadRequest
  // otherwise: it is not the store that the key is for).
  [[nodiscard]] static Result<std::unique_ptr<Engine>> open(
      Io& io, const std::string& store, std::shared_ptr<const StoreCipher> cipher = nullptr,
      const OpenOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // The two ways to begin serving a mount, before the first request. A new mount: nothing is open,
  // and request ids begin anew. One that another server served: requests that were applied but
  // perhaps not answered are known (applied_requests()) and leave marks.
  [[nodiscard]] Status begin_mount(RequestMarks& marks);
  void take_over_mount(RequestMarks& marks);
  // The server before was killed while it changed what the kernel holds: refreshes that.
  [[nodiscard]] Status finish_predecessors_change();
  [[nodiscard]] const AppliedRequests& applied_requests() const { return applied_requests_; }

  // Looks at all packs and heals them: BlockStore::scrub, until stop_collecting().
  [[nodiscard]] Result<ScrubReport> scrub(ScrubOptions options);
  // Starts the journal's timer, the commit thread and the schedules of snapshots, collections and
  // scrubs (the mounted server).
  void start_background();
  // New data is refused from now on when the disk has no room for it, given that the kernel may
  // hold so many dirty bytes. After start_background().
  void guard_space(std::uint64_t dirty_max_bytes);
  void set_hooks(MountHooks* hooks) { hooks_.store(hooks); }
  [[nodiscard]] MountHooks* hooks() const { return hooks_.load(); }

  // Makes everything answered so far part of a published root.
  [[nodiscard]] Status commit();
  [[nodiscard]] Result<SnapshotResult> snapshot(const SnapshotRequest& request);
  // The live tree becomes that of `target`; the state before is kept as a snapshot first.
  // kFilesOpen while programs hold files open, unless `force`.
  [[nodiscard]] Result<RollbackResult> rollback(const Manifest& target, bool force);
  // The snapshots are given up: a tombstone is durable before the first manifest goes, so what a
  // crash leaves is finished when the store is opened next. gc gives their space back.
  [[nodiscard]] Result<ForgetResult> forget(const std::vector<Manifest>& targets,
                                            const std::string& reason);
  // Begins the sealed chain in a store that was made without one; with `anew` in one whose chain
  // cannot go on, as its key is lost: another chain with another key, whose first link names the
  // snapshots that are there and the end of the chain before. kBadRequest when it has one that goes
  // on, or without `anew` when it has one.
  [[nodiscard]] Result<PublicKey> begin_chain(bool anew = false);
  // The documents of the store as they are on disk, none being written meanwhile.
  [[nodiscard]] Result<ChainEvidence> chain_evidence();
  // STORE/chain anew, from links that were proved.
  [[nodiscard]] Status replace_chain(const PublicKey& first_key, std::span<const Link> links);
  // Gives back what nothing names any more, and lays what stays side by side: see fs/collect.h.
  [[nodiscard]] Result<CompactReport> collect(const CollectOptions& options);
  // Collections and scrubs that run end soon, with what is done; there will be no more. Who runs
  // one by a command holds up the end of the server otherwise.
  void stop_collecting() { collecting_stopped_ = true; }
  [[nodiscard]] bool is_stopping() const { return collecting_stopped_; }
  // Commits, stops the threads, closes everything. The destructor does the same but can only log.
  [[nodiscard]] Status close();

  // As long as the view is held, no collection drops what is in it.
  [[nodiscard]] SnapshotView view_of(const Manifest& manifest);
  [[nodiscard]] std::shared_ptr<const View> live_view() { return live_->view(); }

  [[nodiscard]] const std::string& store() const { return store_; }
  [[nodiscard]] const Config& config() const { return config_; }
  // Null: a plain store.
  [[nodiscard]] const std::shared_ptr<const StoreCipher>& cipher() const { return cipher_; }
  [[nodiscard]] FileSystem& filesystem() { return *filesystem_; }
  [[nodiscard]] LiveMap& live() { return *live_; }
  [[nodiscard]] BlockStore& blocks() { return *blocks_; }
  [[nodiscard]] Journal& journal() { return *journal_; }
  [[nodiscard]] Catalog& catalog() { return *catalog_; }
  [[nodiscard]] Chain& chain() { return *chain_; }
  [[nodiscard]] Io& io() { return io_; }
  [[nodiscard]] Space& space() { return *space_; }
  [[nodiscard]] Tampering& tampering() { return *tampering_; }
  [[nodiscard]] Audit& audit() { return *audit_; }
  [[nodiscard]] DataReader& data() { return filesystem_->data(); }
  [[nodiscard]] Head head();
  // Opened with kOnlyLook: what damage the journal has is in its loss().
  [[nodiscard]] bool is_only_looked_at() const { return only_looked_at_; }

  // The directory that was adopted into this store, "" if none: mounting over it again is fine.
  [[nodiscard]] Status set_adopted_directory(const std::string& directory);

  struct Health {
    std::uint64_t commits = 0;
    std::int64_t last_commit_ns = 0;
    std::string last_error;  // of the background work; "" when the last run went well
  };
  [[nodiscard]] Health health();

 private:
  Engine(Io& io, std::string store, Config config, FileLock lock,
         std::shared_ptr<const StoreCipher> cipher);

  [[nodiscard]] Status recover(const OpenOptions& options);
  [[nodiscard]] Status check_age_of_index();
  void note_journal_loss();
  [[nodiscard]] Status commit_locked() REQUIRES(commit_mu_);
  [[nodiscard]] Status commit_once() REQUIRES(commit_mu_);
  [[nodiscard]] std::uint64_t pending_bytes();
  void wait_for_commit();
  void hold_back();
  [[nodiscard]] bool space_wants_commit();
  [[nodiscard]] Status publish_frozen(const Frozen& frozen) REQUIRES(commit_mu_);
  [[nodiscard]] Result<SnapshotResult> snapshot_locked(const SnapshotRequest& request)
      REQUIRES(commit_mu_);
  [[nodiscard]] std::optional<Manifest> newest_manifest();
  // How documents get their place in the chain: fs/engine_chain.cc.
  [[nodiscard]] Status open_chain();
  [[nodiscard]] Status settle_documents() REQUIRES(commit_mu_);
  [[nodiscard]] Status add_manifest(Manifest& manifest) REQUIRES(commit_mu_);
  [[nodiscard]] Status add_note(Note& note) REQUIRES(commit_mu_);
  [[nodiscard]] Status add_begin_note(const std::string& reason = "the chain begins")
      REQUIRES(commit_mu_);
  [[nodiscard]] std::int64_t next_document_time();
  [[nodiscard]] LinkMaker link_maker();
  [[nodiscard]] Status finish_forgetting() REQUIRES(commit_mu_);
  [[nodiscard]] Status publish_head(const Head& head) REQUIRES(commit_mu_);
  // Of a head that names no block put since the last one.
  [[nodiscard]] Status publish_head_only(const Head& head) REQUIRES(commit_mu_);
  // The root of `target` with the evidence of the tree before it.
  [[nodiscard]] Result<BlockId> root_with_evidence(const BlockId& target, const BlockId& before);
  [[nodiscard]] Status replace_live(const Manifest& target, const std::vector<Ino>& open,
                                    RollbackResult& result) EXCLUDES(commit_mu_);
  [[nodiscard]] Status keep_open_files(const View& before, const std::vector<Ino>& open);
  [[nodiscard]] Status flush_kernel();
  [[nodiscard]] Result<std::vector<BlockId>> begin_collect(const CollectOptions& options)
      EXCLUDES(commit_mu_);
  void refresh_caches(const BlockId& before, const BlockId& after);
  [[nodiscard]] bool wait_for_work(bool& commit_wanted);
  void background_loop();
  void collect_loop();
  void scrub_loop();
  [[nodiscard]] std::chrono::seconds until_next_scrub();
  [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point when);
  void journal_sync_loop();
  void note_result(const char* what, const Status& status);

  Io& io_;
  const std::string store_;
  const Config config_;
  FileLock lock_;
  const std::shared_ptr<const StoreCipher> cipher_;
  std::unique_ptr<Space> space_;
  std::unique_ptr<BlockStore> blocks_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LiveMap> live_;
  std::unique_ptr<FileSystem> filesystem_;
  std::unique_ptr<Tampering> tampering_;
  std::unique_ptr<Audit> audit_;
  std::atomic<bool> mounted_{false};
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Notes> notes_;
  std::unique_ptr<Chain> chain_;
  AppliedRequests applied_requests_;
  std::atomic<MountHooks*> hooks_{nullptr};

  const std::shared_ptr<RootPins> root_pins_ = std::make_shared<RootPins>();

  Mutex collect_mu_;  // held while a collection runs
  std::atomic<bool> collecting_stopped_{false};
  Mutex commit_mu_;
  Head head_ GUARDED_BY(head_mu_);
  Mutex head_mu_;

  Mutex background_mu_;
  CondVar background_wake_;
  CondVar commit_ended_;
  bool stopping_ GUARDED_BY(background_mu_) = false;
  bool commit_wanted_ GUARDED_BY(background_mu_) = false;
  // What the background thread does; a snapshot waits for requests, so requests do not wait for it.
  enum class Busy { kNo, kCommit, kSnapshot };
  void set_busy(Busy busy);
  Busy busy_ GUARDED_BY(background_mu_) = Busy::kNo;
  std::uint64_t rounds_ GUARDED_BY(background_mu_) = 0;  // commits and snapshots that have ended
  Health health_ GUARDED_BY(background_mu_);
  std::atomic<std::int64_t> hold_back_after_ns_{0};  // steady clock
  std::thread background_;
  std::thread collector_;
  std::thread scrubber_;
  std::thread journal_sync_;
  bool only_looked_at_ = false;
  bool closed_ = false;
};

}  // namespace amberfs
