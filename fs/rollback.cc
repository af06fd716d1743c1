// SPDX-License-Identifier: Apache-2.0
// Rollback: the live root becomes a snapshot's root. O(1) in the amount of data: no block is read
// or written for it but what the commit before it had to write anyway.
#include "blockstore/base/log.h"
#include "fs/engine.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <set>

namespace amberfs {
namespace {

// The regular files that programs hold open. Open directories do not stand in a rollback's way.
Result<std::vector<Ino>> open_regular_files(FileSystem& filesystem) {
  const auto view = filesystem.view();
  std::vector<Ino> inos;
  for (const auto& open : filesystem.open_files()) {
    TRY_ASSIGN(auto inode, view->find_inode(open.ino));
    if (inode && S_ISREG(inode->mode)) inos.push_back(open.ino);
  }
  return inos;
}

std::string describe_users(MountHooks* hooks, std::size_t count) {
  std::string text = fmt::format("{} file{} open", count, count == 1 ? " is" : "s are");
  if (hooks == nullptr) return text;
  std::set<std::string> users;
  for (const auto& user : hooks->open_file_users()) {
    users.insert(fmt::format("{} (pid {}) has {}", user.command, user.pid, user.path));
  }
  constexpr std::size_t kShown = 5;
  std::size_t shown = 0;
  for (const auto& user : users) {
    if (shown++ == kShown) return text + ", …";
    text += (shown == 1 ? ": " : ", ") + user;
  }
  return text;
}

// Puts into `batch` every record of an inode that the target tree does not have, as an orphan, so
// that who has it open can go on with it as with any removed file.
Status keep_as_orphan(const View& before, Ino ino, Batch& batch) {
  auto cursor = before.cursor();
  TRY(cursor->seek(inode_key(ino)));
  while (cursor->valid()) {
    TRY_ASSIGN(ParsedKey key, parse_key(cursor->key()));
    if (key.ino != ino) break;
    if (key.tag == Tag::kInode) {
      TRY_ASSIGN(InodeRecord inode, decode_inode(cursor->value()));
      inode.nlink = 0;
      batch.add_totals(1, static_cast<std::int64_t>(inode.size_bytes));
      batch.put(Bytes(cursor->key()), encode(inode));
    } else if (key.tag != Tag::kParent) {
      batch.put(Bytes(cursor->key()), Bytes(cursor->value()));
    }
    TRY(cursor->next());
  }
  batch.put(orphan_key(ino), {});
  return ok();
}

}  // namespace

Result<RollbackResult> Engine::rollback(const Manifest& target, bool force) {
  MountHooks* hooks = hooks_.load();
  TRY_ASSIGN(std::vector<Ino> open, open_regular_files(*filesystem_));
  if (!open.empty() && !force) {
    return fail(Errc::kFilesOpen, 0,
                fmt::format("roll back to {}: {}", format_time(target.time_ns),
                            describe_users(hooks, open.size())),
                hooks != nullptr ? hooks->mount_point() : store_);
  }
  TRY(flush_kernel());
  const StaleCaches stale(hooks);
  RollbackResult result{{}, target};
  auto change = [&]() -> Status { return replace_live(target, open, result); };
  if (hooks == nullptr || open.empty()) {
    TRY(change());
  } else {
    TRY(hooks->change_files(open, change));
  }
  refresh_caches(result.before.root, target.root);
  audit_->note("rollback", {{"to", target.id}, {"before", result.before.id}, {"force", force}});
  return result;
}

// Who rolls a log back does not get rid of what was found out about it. Numbers are never reused,
// so nothing of the target stands in the way.
Result<BlockId> Engine::root_with_evidence(const BlockId& target, const BlockId& before) {
  const View old_view({}, Tree(*blocks_, before));
  const View target_view({}, Tree(*blocks_, target));
  TRY_ASSIGN(const auto list, list_evidence(old_view));
  std::vector<Change> changes;
  for (const EvidenceEntry& entry : list) {
    TRY_ASSIGN(const auto inode, target_view.find_inode(entry.number));
    if (inode) continue;  // the file itself, which comes back
    changes.push_back({evidence_key(entry.number), encode(entry.evidence)});
    const auto cursor = old_view.cursor();
    TRY(cursor->seek(inode_key(entry.number)));
    for (; cursor->valid();) {
      TRY_ASSIGN(const ParsedKey key, parse_key(cursor->key()));
      if (key.ino != entry.number) break;
      changes.push_back({Bytes(cursor->key()), Bytes(cursor->value())});
      TRY(cursor->next());
    }
  }
  if (changes.empty()) return target;
  std::ranges::sort(changes, {}, &Change::key);
  TRY_ASSIGN(const Tree tree, target_view.tree().apply(changes));
  return tree.root();
}

Status Engine::replace_live(const Manifest& target, const std::vector<Ino>& open,
                            RollbackResult& result) {
  MutexLock lock(commit_mu_);
  // What changes between the snapshot and the switch would be in neither tree, so the switch is
  // made only if nothing did.
  constexpr int kAttempts = 20;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    SnapshotRequest request{.name = {},
                            .reason = "before rollback to " + format_time(target.time_ns),
                            .kind = "before-rollback",
                            .skip_if_unchanged = true};
    TRY_ASSIGN(SnapshotResult before, snapshot_locked(request));
    const std::uint64_t seq = head().journal.next_seq;
    bool changed = false;
    TRY_ASSIGN(const BlockId root, root_with_evidence(target.root, before.manifest.root));
    const Status replaced = live_->replace(
        root, target.totals,
        [&](const JournalPosition& position, Ino next_ino) REQUIRES(commit_mu_) -> Status {
          changed = position.next_seq != seq;
          if (changed) return fail(Errc::kFilesOpen, 0, "roll back: programs keep writing", store_);
          Head next = head();
          next.root = root;
          next.totals = target.totals;
          next.journal = position;
          next.next_ino = next_ino;
          return root == target.root ? publish_head_only(next) : publish_head(next);
        });
    if (!replaced) blocks_->abandon();
    if (changed) continue;
    TRY(replaced);
    result.before = std::move(before.manifest);
    return keep_open_files(*view_of(result.before).view, open);
  }
  return fail(Errc::kFilesOpen, 0, "roll back: programs keep changing the tree", store_);
}

Status Engine::keep_open_files(const View& before, const std::vector<Ino>& open) {
  for (const Ino ino : open) {
    Mutation mutation(*live_, OpKind::kRollback);
    mutation.lock({ino});
    TRY_ASSIGN(auto inode, mutation.view().find_inode(ino));
    if (inode) continue;
    TRY(keep_as_orphan(before, ino, mutation.batch()));
    TRY(mutation.apply());
  }
  return ok();
}

// Everything the kernel remembers of what differs is forgotten. In writeback mode it keeps the size
// of a file for as long as it keeps the inode, so it must drop the inode: that happens when its
// last name goes from the kernel's cache, as nobody has it open. Names in use (open directories)
// keep their inode number and are refreshed.
void Engine::refresh_caches(const BlockId& before, const BlockId& after) {
  MountHooks* hooks = hooks_.load();
  if (hooks == nullptr) return;
  const View old_view({}, Tree(*blocks_, before));
  const Status walked =
      diff_trees(*blocks_, before, after,
                 [&](ByteView key, std::optional<ByteView>, std::optional<ByteView>) -> Status {
                   TRY_ASSIGN(ParsedKey parsed, parse_key(key));
                   if (parsed.tag == Tag::kDirent) hooks->invalidate_name(parsed.ino, parsed.name);
                   if (parsed.tag != Tag::kInode) return ok();
                   TRY_ASSIGN(auto names, old_view.parents(parsed.ino));
                   for (const auto& name : names) hooks->invalidate_name(name.ino, name.name);
                   hooks->invalidate_inode(parsed.ino);
                   return ok();
                 });
  if (!walked) log_error("refresh the kernel's caches: {}", walked.error().to_string());
}

// Rollback and restore take a snapshot before they change anything, so what the last server had
// changed lies between the newest snapshot and now.
Status Engine::finish_predecessors_change() {
  TRY(commit());
  const std::optional<Manifest> newest = newest_manifest();
  if (newest) refresh_caches(newest->root, head().root);
  return ok();
}

}  // namespace amberfs
