// SPDX-License-Identifier: Apache-2.0
#include "fs/filesystem.h"
#include "fs/inode_edit.h"

#include <cerrno>

namespace amberfs {

// Both ends of a rename, looked up.
struct FileSystem::RenameEnds {
  Name source;
  Name target;
  Dirent moved;
  std::optional<Dirent> replaced;
  Ino continued = kNoIno;  // whose bytes are all at the beginning of what comes instead
};

namespace {

// Whether `directory` is `above` or lies somewhere below it.
Result<bool> is_within(const View& view, Ino directory, Ino above) {
  constexpr std::size_t kDepthMax = 1U << 20;  // only a damaged tree has a longer way up
  for (std::size_t depth = 0; depth < kDepthMax; ++depth) {
    if (directory == above) return true;
    if (directory == kRootIno) return false;
    TRY_ASSIGN(std::vector<View::Parent> parents, view.parents(directory));
    if (parents.empty()) return false;
    directory = parents.front().ino;
  }
  return fail(Errc::kCorrupt, 0, "walk up to the root", "inode " + std::to_string(directory));
}

// EINVAL when a directory would become part of itself.
Status check_loop(const View& view, const Dirent& entry, Ino into) {
  if (entry.type != DT_DIR) return ok();
  TRY_ASSIGN(bool loop, is_within(view, into, entry.ino));
  return loop ? Status(fail(posix_error(EINVAL))) : ok();
}

Status check_replace(const View& view, const Dirent& moved, const Dirent& replaced) {
  if (moved.type == DT_DIR && replaced.type != DT_DIR) return fail(posix_error(ENOTDIR));
  if (moved.type != DT_DIR && replaced.type == DT_DIR) return fail(posix_error(EISDIR));
  if (replaced.type != DT_DIR) return ok();
  TRY_ASSIGN(bool empty, view.is_empty_directory(replaced.ino));
  return empty ? ok() : Status(fail(posix_error(ENOTEMPTY)));
}

}  // namespace

Result<Ino> FileSystem::move_name(Mutation& mutation, const RenameEnds& ends) {
  const View& view = mutation.view();
  const auto& [source, target, moved, replaced, continued] = ends;
  TRY(check_loop(view, moved, target.directory));
  if (replaced) TRY(check_replace(view, moved, *replaced));
  RecordSet records(view);
  TRY_ASSIGN(InodeRecord * source_directory, records.load(source.directory));
  TRY_ASSIGN(InodeRecord * target_directory, records.load(target.directory));
  TRY_ASSIGN(InodeRecord * record, records.load(moved.ino));

  Timestamp now = current_time();
  if (moved.type == DT_DIR && source.directory != target.directory) {
    if (!replaced && target_directory->nlink >= kLinksMax) return fail(posix_error(EMLINK));
    source_directory->nlink -= 1;
    target_directory->nlink += 1;
  }
  if (replaced && replaced->type == DT_DIR) target_directory->nlink -= 1;
  source_directory->mtime = source_directory->ctime = now;
  target_directory->mtime = target_directory->ctime = now;
  record->ctime = now;

  Batch& batch = mutation.batch();
  remove_name(batch, source.directory, source.name, moved.ino);
  Dropped dropped;
  std::optional<Kept> hidden;
  if (tampering_ != nullptr && moved.type == DT_REG) {
    TRY_ASSIGN(hidden,
               tampering_->before_rename(mutation, moved.ino, {source.directory, source.name},
                                         {target.directory, target.name}));
  }
  if (replaced) {
    remove_name(batch, target.directory, target.name, replaced->ino);
    TRY_ASSIGN(InodeRecord victim, view.inode(replaced->ino));
    victim.ctime = now;
    const bool beside = source.directory == target.directory;
    TRY_ASSIGN(dropped, drop_link(mutation, replaced->ino, victim,
                                  {.kind = RemovalKind::kReplaced,
                                   .directory = target.directory,
                                   .name = target.name,
                                   .moved = beside ? source.name : ByteView(),
                                   .goes_on = continued == replaced->ino}));
  }
  put_name(batch, target.directory, target.name, moved);
  records.put_all(batch);
  TRY(mutation.apply());
  remember(std::move(dropped.kept));
  remember(std::move(hidden));
  if (tampering_ != nullptr) tampering_->renamed(source.name, target.directory, target.name);
  return dropped.more ? replaced->ino : kNoIno;
}

Status FileSystem::exchange_names(Mutation& mutation, const RenameEnds& ends) {
  const View& view = mutation.view();
  const auto& [source, target, moved, other, unused] = ends;
  TRY(check_loop(view, moved, target.directory));
  TRY(check_loop(view, *other, source.directory));
  RecordSet records(view);
  TRY_ASSIGN(InodeRecord * source_directory, records.load(source.directory));
  TRY_ASSIGN(InodeRecord * target_directory, records.load(target.directory));
  TRY_ASSIGN(InodeRecord * first, records.load(moved.ino));
  TRY_ASSIGN(InodeRecord * second, records.load(other->ino));

  // A directory's link count follows its subdirectories; within one parent it comes out even.
  if (moved.type == DT_DIR && other->type != DT_DIR) {
    if (target_directory->nlink >= kLinksMax) return fail(posix_error(EMLINK));
    source_directory->nlink -= 1;
    target_directory->nlink += 1;
  }
  if (moved.type != DT_DIR && other->type == DT_DIR) {
    if (source_directory->nlink >= kLinksMax) return fail(posix_error(EMLINK));
    source_directory->nlink += 1;
    target_directory->nlink -= 1;
  }
  Timestamp now = current_time();
  source_directory->mtime = source_directory->ctime = now;
  target_directory->mtime = target_directory->ctime = now;
  first->ctime = now;
  second->ctime = now;

  Batch& batch = mutation.batch();
  remove_name(batch, source.directory, source.name, moved.ino);
  remove_name(batch, target.directory, target.name, other->ino);
  put_name(batch, source.directory, source.name, *other);
  put_name(batch, target.directory, target.name, moved);
  records.put_all(batch);
  TRY(mutation.apply());
  if (tampering_ != nullptr) tampering_->names_changed();
  return ok();
}

// The file at `target` whose bytes all stand at the beginning of the one at `source`: an editor's
// way to append. Before any lock, as it may have to read both. What changes in either file before
// the rename comes is judged by itself.
Ino FileSystem::find_continued(const Origin& who, Name source, Name target) {
  if (tampering_ == nullptr) return kNoIno;
  const auto view = live_.view();
  const auto moved = view->find_dirent(source.directory, source.name);
  const auto other = view->find_dirent(target.directory, target.name);
  if (!moved || !other || !*moved || !*other || (*moved)->ino == (*other)->ino) return kNoIno;
  return tampering_->goes_on(who, (*moved)->ino, (*other)->ino) ? (*other)->ino : kNoIno;
}

Status FileSystem::rename(const Origin& who, Name source, Name target, RenameFlags flags) {
  TRY(check_name(source.name));
  TRY(check_name(target.name));
  const Ino continued = find_continued(who, source, target);
  Ino unfinished = kNoIno;
  {
    MutexLock names(names_mu_);
    Mutation mutation(live_, OpKind::kRename, who);
    TRY_ASSIGN(Dirent moved, mutation.view().lookup(source.directory, source.name));
    TRY_ASSIGN(std::optional<Dirent> other,
               mutation.view().find_dirent(target.directory, target.name));
    mutation.lock({source.directory, target.directory, moved.ino, other ? other->ino : moved.ino});
    TRY(live_directory(mutation.view(), source.directory));
    TRY(live_directory(mutation.view(), target.directory));
    if (flags == RenameFlags::kNoReplace && other) return fail(posix_error(EEXIST));
    if (flags == RenameFlags::kExchange && !other) return fail(posix_error(ENOENT));
    if (other && other->ino == moved.ino) return ok();  // two names of one file: POSIX says so
    RenameEnds ends{source, target, moved, other, continued};
    if (flags == RenameFlags::kExchange) return exchange_names(mutation, ends);
    TRY_ASSIGN(unfinished, move_name(mutation, ends));
  }
  finish_drop(unfinished);
  return ok();
}

}  // namespace amberfs
