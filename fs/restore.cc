// SPDX-License-Identifier: Apache-2.0
#include "fs/restore.h"

#include "fs/batch_format.h"
#include "fs/restore_batch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

namespace amberfs {
namespace {

constexpr int kAttempts = 10;

Result<std::vector<FileExtent>> extents_of(const View& view, Ino ino) {
  std::vector<FileExtent> extents;
  TRY(view.extents(ino, 0, kFileSizeMax, [&](const FileExtent& extent) {
    extents.push_back(extent);
    return true;
  }));
  return extents;
}

bool same_extent(const FileExtent& a, const FileExtent& b) {
  return a.begin == b.begin && a.end == b.end && a.extent == b.extent;
}

// One restore. The snapshot of what is replaced is taken while the writers of the files concerned
// are held back, and the batch is applied only if what it replaces is in that snapshot: whatever a
// program wrote is in the live tree afterwards or in the snapshot.
class Restore {
 public:
  Restore(Engine& engine, const Manifest& snapshot, const RestoreRequest& request, PathMap paths)
      : engine_(engine),
        hooks_(engine.hooks()),
        source_(engine.view_of(snapshot)),
        request_(request),
        paths_(std::move(paths)) {}

  Result<RestoreResult> run() {
    if (hooks_ != nullptr) TRY(hooks_->flush_kernel());
    const StaleCaches stale(hooks_);
    for (int attempt = 0; attempt < kAttempts && !applied_; ++attempt) {
      // Before writers are held back: the snapshot then has little left to commit.
      TRY(engine_.commit());
      TRY(plan());
      if (request_.dry_run) return std::move(result_);
      const auto change = [this] { return try_once(); };
      TRY(hooks_ == nullptr ? change() : hooks_->change_files(held_, change));
    }
    if (!applied_) {
      return fail(Errc::kFilesOpen, 0, "restore: programs keep changing these paths",
                  request_.paths.front());
    }
    TRY(finish());
    return std::move(result_);
  }

 private:
  [[nodiscard]] RestoreTask task(const View& live) {
    return {engine_.live(), *source_.view, live, paths_, request_.exact};
  }

  // On the committed tree: what would be done, and which files have to be held for it.
  Status plan() {
    const SnapshotView now = engine_.view_of({.root = engine_.head().root});
    Batch batch;
    result_ = {};
    TRY_ASSIGN(RestoreChanges changes, fill_restore_batch(task(*now.view), batch, result_));
    TRY(check_size(batch));
    held_.clear();
    for (const Ino ino : changes.replaced) {
      TRY_ASSIGN(InodeRecord record, now.view->inode(ino));
      if (S_ISREG(record.mode)) held_.push_back(ino);
    }
    return ok();
  }

  Status try_once() {
    result_ = {};
    TRY_ASSIGN(
        SnapshotResult before,
        engine_.snapshot({.name = {},
                          .reason = "before restore from " + format_time(source_.manifest.time_ns),
                          .kind = "before-restore",
                          .skip_if_unchanged = true,
                          .kernel_flushed = true}));
    result_.before = std::move(before.manifest);
    const SnapshotView kept = engine_.view_of(result_.before);
    MutexLock names_lock(engine_.filesystem().names_mutex());
    Mutation mutation(engine_.live(), OpKind::kRestore);
    mutation.lock_all();
    TRY_ASSIGN(changes_, fill_restore_batch(task(mutation.view()), mutation.batch(), result_));
    TRY(check_size(mutation.batch()));
    for (const Ino ino : changes_.replaced) {
      TRY_ASSIGN(bool safe, is_safe_to_replace(mutation.view(), *kept.view, ino));
      if (!safe) return ok();  // once more
    }
    TRY(mutation.apply());
    applied_ = true;
    return ok();
  }

  Status check_size(const Batch& batch) const {
    const std::uint64_t size = encode_changes(batch.changes()).size();
    if (size <= Journal::kBatchSizeMax) return ok();
    return fail(
        Errc::kUnsupported, 0,
        fmt::format("restore {} paths at once: {} MiB of records, a batch holds {}; restore "
                    "parts of them, or roll the whole tree back",
                    paths_.size(), size / kMiB, Journal::kBatchSizeMax / kMiB));
  }

  // Its writers are held back, and the snapshot has it as it is.
  Result<bool> is_safe_to_replace(const View& live, const View& kept, Ino ino) const {
    TRY_ASSIGN(InodeRecord now, live.inode(ino));
    TRY_ASSIGN(auto then, kept.find_inode(ino));
    if (!then) return false;
    if (S_ISDIR(now.mode)) return true;  // its names are looked at one by one
    if (now != *then) return false;
    if (!S_ISREG(now.mode)) return true;
    if (hooks_ != nullptr && !std::ranges::binary_search(held_, ino)) return false;
    TRY_ASSIGN(auto a, extents_of(live, ino));
    TRY_ASSIGN(auto b, extents_of(kept, ino));
    return std::ranges::equal(a, b, same_extent);
  }

  Status finish() {
    if (hooks_ != nullptr) {
      for (const auto& name : changes_.names) hooks_->invalidate_name(name.directory, name.name);
      for (const Ino ino : changes_.inodes) hooks_->invalidate_inode(ino);
    }
    if (!result_.removed.empty()) TRY(engine_.filesystem().drop_orphans());
    return engine_.filesystem().sync();
  }

  Engine& engine_;
  MountHooks* hooks_;
  const SnapshotView source_;
  const RestoreRequest& request_;
  const PathMap paths_;
  std::vector<Ino> held_;  // ascending
  RestoreChanges changes_;
  RestoreResult result_;
  bool applied_ = false;
};

}  // namespace

Result<RestoreResult> restore_paths(Engine& engine, const Manifest& snapshot,
                                    const RestoreRequest& request) {
  TRY_ASSIGN(PathMap paths, select_paths(*engine.view_of(snapshot).view, request.paths));
  return Restore(engine, snapshot, request, std::move(paths)).run();
}

}  // namespace amberfs
