// SPDX-License-Identifier: Apache-2.0
// Open-file counts, and the way out of inodes without a name.
//
//   linked ──unlink, held──────────→ orphan {record with nlink 0, ORPHAN entry}
//   linked ──unlink, small─────────→ gone (one batch)
//   linked ──unlink, large─────────→ orphan ──drop_step … ──→ gone
//   orphan ──last release, mount───→ drop_step … → gone
//
// drop_step() takes INODE and ORPHAN away in its last batch: a crash before it leaves an orphan
// that is still listed, and dropping it starts again.
#include "blockstore/base/log.h"
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

constexpr std::size_t kKeysInOneBatch = 1000;  // what unlink itself removes
constexpr std::size_t kKeysPerStep = 16 * 1024;

// The changes that take away up to `limit` entries of an inode at or above `from`. Extents go by
// range: a hole over each that shows, so that they are gone however a commit cuts them meanwhile.
Result<std::vector<Change>> removal_of(const View& view, Ino ino, ByteView from,
                                       std::size_t limit) {
  std::vector<Change> changes;
  std::unique_ptr<Cursor> cursor = view.cursor();
  const Bytes extents = range_begin(ino, Tag::kExtent);
  TRY(cursor->seek(from));
  while (cursor->valid() && cursor->key() < extents && changes.size() < limit) {
    changes.push_back({Bytes(cursor->key()), std::nullopt});
    TRY(cursor->next());
  }
  if (changes.size() == limit) return changes;
  std::uint64_t begin = 0;
  if (from > extents) {
    TRY_ASSIGN(const ParsedKey last, parse_key(from));
    begin = last.number;
  }
  TRY(view.extents(ino, begin, kFileSizeMax, [&](const FileExtent& extent) {
    Extent hole;
    hole.kind = ExtentKind::kHole;
    hole.length = static_cast<std::uint32_t>(extent.end - extent.begin);
    changes.push_back({extent_key(ino, extent.end), encode(hole)});
    return changes.size() < limit;
  }));
  return changes;
}

void add_all(Batch& batch, std::vector<Change>& changes) {
  for (Change& change : changes) {
    if (change.value) {
      batch.put(std::move(change.key), *std::move(change.value));
    } else {
      batch.remove(std::move(change.key));
    }
  }
}

}  // namespace

Status FileSystem::open(Ino ino, bool truncate, const Origin& who) {
  {
    // The inode's lock: unlink must not decide between the look and the count.
    Mutation mutation(live_, OpKind::kOther, who);
    mutation.lock({ino});
    TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino));
    if (!is_regular(record.mode) && !is_directory(record.mode)) return fail(posix_error(ENXIO));
    if (truncate) TRY(require_regular(record));
    MutexLock lock(open_mu_);
    if (dropping_.contains(ino)) return fail(posix_error(ESTALE));
    ++open_counts_[ino];
  }
  if (!truncate) return ok();
  SetAttr empty;
  empty.size_bytes = 0;
  Result<Attr> cut = setattr(who, ino, empty);
  if (cut) return ok();
  if (Status released = release(ino); !released) {
    log_warning("open: {}: {}", ino, released.error().to_string());
  }
  return fail(std::move(cut).error());
}

Status FileSystem::release(Ino ino) {
  {
    MutexLock lock(open_mu_);
    auto it = open_counts_.find(ino);
    if (it == open_counts_.end()) return ok();
    if (--it->second > 0) return ok();
    open_counts_.erase(it);
  }
  {
    Mutation mutation(live_, OpKind::kForgetOrphan);
    mutation.lock({ino});
    TRY_ASSIGN(std::optional<InodeRecord> record, mutation.view().find_inode(ino));
    if (!record || record->nlink > 0 || is_held(ino)) return ok();
    TRY_ASSIGN(const bool stays, settle_evidence(mutation, ino));
    if (stays) return ok();
    MutexLock lock(open_mu_);
    if (!dropping_.insert(ino).second) return ok();
  }
  return drop_inode(ino);
}

bool FileSystem::is_held(Ino ino) {
  MutexLock lock(open_mu_);
  return open_counts_.contains(ino);
}

void FileSystem::inherit_open(Ino ino) {
  MutexLock lock(open_mu_);
  ++open_counts_[ino];
}

std::size_t FileSystem::open_file_count() {
  MutexLock lock(open_mu_);
  return open_counts_.size();
}

std::vector<FileSystem::OpenFile> FileSystem::open_files() {
  MutexLock lock(open_mu_);
  std::vector<OpenFile> files;
  files.reserve(open_counts_.size());
  for (const auto& [ino, count] : open_counts_) files.push_back({ino, count});
  return files;
}

Result<FileSystem::Dropped> FileSystem::drop_link(Mutation& mutation, Ino ino, InodeRecord record,
                                                  const Loss& loss) {
  Batch& batch = mutation.batch();
  Dropped dropped;
  record.nlink = is_directory(record.mode) ? 0 : record.nlink - 1;
  if (record.nlink > 0) {
    put_inode(batch, ino, record);
    return dropped;
  }
  bool held = is_held(ino);
  if (tampering_ != nullptr && is_regular(record.mode)) {
    TRY_ASSIGN(dropped.kept, tampering_->before_loss(mutation, loss, ino, record));
  }
  if (dropped.kept && !held) {
    put_inode(batch, ino, record);
    batch.add_totals(-1, -counted_bytes(record));
    return dropped;
  }
  if (!held) {
    TRY_ASSIGN(std::vector<Change> removal,
               removal_of(mutation.view(), ino, inode_key(ino), kKeysInOneBatch));
    if (removal.size() < kKeysInOneBatch) {
      add_all(batch, removal);
      batch.add_totals(-1, -counted_bytes(record));
      return dropped;
    }
  }
  put_inode(batch, ino, record);
  batch.put(orphan_key(ino), {});
  dropped.more = !held;
  return dropped;
}

Result<bool> FileSystem::settle_evidence(Mutation& mutation, Ino ino) {
  const View& view = mutation.view();
  TRY_ASSIGN(const auto evidence, view.get(evidence_key(ino)));
  if (!evidence) return false;
  TRY_ASSIGN(const auto listed, view.get(orphan_key(ino)));
  TRY_ASSIGN(const auto record, view.find_inode(ino));
  if (!listed || !record) return true;
  mutation.batch().remove(orphan_key(ino));
  mutation.batch().add_totals(-1, -counted_bytes(*record));
  TRY(mutation.apply());
  return true;
}

// It becomes an orphan, with which the rest is as with any other.
Status FileSystem::drop_evidence(Ino number) {
  {
    Mutation mutation(live_, OpKind::kForgetOrphan);
    mutation.lock({number});
    TRY_ASSIGN(const auto evidence, mutation.view().get(evidence_key(number)));
    if (!evidence) return ok();
    mutation.batch().remove(evidence_key(number));
    TRY_ASSIGN(const auto listed, mutation.view().get(orphan_key(number)));
    TRY_ASSIGN(const auto record, mutation.view().find_inode(number));
    if (!listed && record) {
      mutation.batch().put(orphan_key(number), {});
      mutation.batch().add_totals(1, counted_bytes(*record));
    }
    TRY(mutation.apply());
  }
  return drop_orphan(number);
}

void FileSystem::finish_drop(Ino ino) {
  if (ino == kNoIno) return;
  // The name is gone and that was answered; what remains is listed and dropped at the next mount.
  if (Status dropped = drop_orphan(ino); !dropped) {
    log_warning("drop inode {}: {}", ino, dropped.error().to_string());
  }
}

Status FileSystem::drop_orphan(Ino ino) {
  {
    Mutation mutation(live_, OpKind::kForgetOrphan);
    mutation.lock({ino});
    if (is_held(ino)) return ok();  // its release, or the next clean mount, drops it
    TRY_ASSIGN(const bool stays, settle_evidence(mutation, ino));
    if (stays) return ok();
    MutexLock lock(open_mu_);
    if (!dropping_.insert(ino).second) return ok();
  }
  return drop_inode(ino);
}

Status FileSystem::drop_inode(Ino ino) {
  Bytes from = range_begin(ino, Tag::kParent);
  Result<bool> more = true;
  while (more && *more) more = drop_step(ino, from);
  MutexLock lock(open_mu_);
  dropping_.erase(ino);
  if (!more) return fail(std::move(more).error());
  return ok();
}

Result<bool> FileSystem::drop_step(Ino ino, Bytes& from) {
  Mutation mutation(live_, OpKind::kForgetOrphan);
  mutation.lock({ino});
  Batch& batch = mutation.batch();
  TRY_ASSIGN(std::optional<InodeRecord> record, mutation.view().find_inode(ino));
  if (record && record->nlink > 0) {  // listed by mistake: never remove what has a name
    batch.remove(orphan_key(ino));
    TRY(mutation.apply());
    return false;
  }
  TRY_ASSIGN(std::vector<Change> removal, removal_of(mutation.view(), ino, from, kKeysPerStep));
  bool more = removal.size() == kKeysPerStep;
  if (more) from = removal.back().key;
  add_all(batch, removal);
  if (!more) {
    batch.remove(inode_key(ino));
    batch.remove(orphan_key(ino));
    if (record) batch.add_totals(-1, -counted_bytes(*record));
  }
  TRY(mutation.apply());
  return more;
}

Status FileSystem::drop_orphans() {
  Bytes from = range_begin(kNoIno, Tag::kOrphan);
  const Bytes end = range_end(kNoIno, Tag::kOrphan);
  while (true) {
    Ino ino = kNoIno;
    {
      std::unique_ptr<Cursor> cursor = live_.view()->cursor();
      TRY(cursor->seek(from));
      if (!cursor->valid() || cursor->key() >= end) return ok();
      TRY_ASSIGN(ParsedKey key, parse_key(cursor->key()));
      ino = key.number;
    }
    TRY(drop_orphan(ino));
    from = orphan_key(ino + 1);
  }
}

}  // namespace amberfs
