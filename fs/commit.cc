// SPDX-License-Identifier: Apache-2.0
// Commit, snapshot and rollback: how what stands in the journal becomes a published root.
//
//   1 freeze    the active overlay becomes the frozen one; writers go on above it
//   2 check     the journal records that are about to be sealed are what was written
//   3 seal      journal extents → chunks → blocks in the open pack
//   4 apply     map changes → new tree nodes → new root
//   5 publish   packs durable, then index + head in one transaction (I1, I2)
//   6 install   the live view moves onto the new root; the journal before it is released (I3)
//
// A failure in 2-5 thaws: the frozen changes go back under the active overlay, the journal still
// holds them, and the next commit starts again.
#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "fs/engine.h"
#include "fs/seal.h"

#include <fmt/format.h>

namespace amberfs {

Status Engine::commit() {
  MutexLock lock(commit_mu_);
  return commit_locked();
}

// A commit that finds no room is made again out of the reserve: what comes free by it (journal
// segments) fills the reserve up again, as far as it goes.
Status Engine::commit_locked() {
  Status done = commit_once();
  if (!done && done.error().code == Errc::kNoSpace && space_->spend()) done = commit_once();
  if (done) space_->refill();
  // Whoever asked for it is told; `status` tells everybody else. Want of room has its own words.
  if (!done && done.error().code != Errc::kNoSpace) note_result("commit", done);
  space_->refresh();
  return done;
}

Status Engine::commit_once() {
  const Frozen frozen = live_->freeze();
  if (auto published = publish_frozen(frozen); !published) {
    blocks_->abandon();
    live_->thaw();
    return published;
  }
  const std::uint64_t lowest = live_->install(head().root, frozen.position);
  {
    MutexLock lock(background_mu_);
    ++health_.commits;
    health_.last_commit_ns = head().commit_time_ns;
  }
  return journal_->release_before(lowest);
}

Status Engine::publish_frozen(const Frozen& frozen) {
  Head next = head();
  TRY(journal_->check(next.journal, frozen.position));
  TRY_ASSIGN(Sealed sealed, seal(frozen, *blocks_, *journal_, config_.chunker));
  TRY_ASSIGN(Tree tree, frozen.tree.apply(sealed.changes));
  next.root = tree.root();
  next.journal = frozen.position;
  next.next_ino = frozen.next_ino;
  next.totals = frozen.totals;
  next.changed_bytes += sealed.data_bytes;
  return publish_head(next);
}

Status Engine::publish_head(const Head& head) {
  Head next = head;
  next.commit_time_ns = now_ns();
  TRY(blocks_->publish(encode_store_head(next)));
  MutexLock lock(head_mu_);
  if (head_.root != next.root) root_pins_->replaced(head_.root);
  head_ = next;
  return ok();
}

Status Engine::publish_head_only(const Head& head) {
  Status published = publish_head(head);
  if (published || published.error().code != Errc::kNoSpace || !space_->spend()) return published;
  return publish_head(head);
}

Status Engine::flush_kernel() {
  MountHooks* hooks = hooks_.load();
  return hooks != nullptr ? hooks->flush_kernel() : ok();
}

Result<SnapshotResult> Engine::snapshot(const SnapshotRequest& request) {
  if (!request.name.empty()) TRY(Catalog::check_name(request.name));
  if (!request.kernel_flushed) TRY(flush_kernel());
  MutexLock lock(commit_mu_);
  return snapshot_locked(request);
}

// A manifest that cannot be read must not keep new snapshots from being taken.
std::optional<Manifest> Engine::newest_manifest() {
  const auto sequence = catalog_->newest_sequence();
  if (!sequence) return std::nullopt;
  auto manifest = catalog_->by_sequence(*sequence);
  if (manifest) return *std::move(manifest);
  log_error("read the newest snapshot: {}", manifest.error().to_string());
  return std::nullopt;
}

Result<SnapshotResult> Engine::snapshot_locked(const SnapshotRequest& request) {
  if (live_->dirty()) TRY(commit_locked());
  TRY(settle_documents());
  TRY(add_begin_note());
  Head next = head();
  const std::optional<Manifest> previous = newest_manifest();
  // What the head says of the newest snapshot was published before that was there.
  if (request.skip_if_unchanged && previous && next.root == previous->root) {
    return SnapshotResult{*previous, false};
  }

  Manifest manifest;
  manifest.sequence = next.next_snapshot;
  manifest.time_ns = next_document_time();
  manifest.root = next.root;
  manifest.keyed_ids = config_.blocks.cipher != nullptr;
  manifest.name = request.name;
  manifest.reason = request.reason;
  manifest.kind = request.kind;
  if (previous) manifest.previous_id = previous->id;
  TRY_ASSIGN(BlockStoreStats stats, blocks_->stats());
  manifest.totals = next.totals;
  manifest.changed_bytes = next.changed_bytes;
  manifest.stored_bytes =
      stats.pack_bytes - std::min(stats.pack_bytes, next.pack_bytes_at_snapshot);
  manifest.journal_seq = next.journal.next_seq - 1;
  const AuditPosition audited = audit_->position();
  manifest.audit_size = audited.size;
  manifest.audit_hash = audited.hash;

  // The head first: a sequence number that a crash leaves without a manifest is skipped for ever,
  // one that was given out twice would make two snapshots look like one to the kernel.
  next.next_snapshot = manifest.sequence + 1;
  next.snapshot_root = next.root;
  next.changed_bytes = 0;
  next.pack_bytes_at_snapshot = stats.pack_bytes;
  TRY(publish_head_only(next));
  Status added = add_manifest(manifest);
  if (!added && added.error().code == Errc::kNoSpace && space_->spend()) {
    added = add_manifest(manifest);
  }
  TRY(std::move(added));
  return SnapshotResult{std::move(manifest), true};
}

}  // namespace amberfs
