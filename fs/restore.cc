// SPDX-License-Identifier: Apache-2.0
#include "fs/restore.h"

#include "fs/diff.h"
#include "fs/extent_edit.h"
#include "fs/inode_edit.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

namespace amberfs {
namespace {

constexpr std::uint32_t kTypeBits = S_IFMT;

bool same_type(const InodeRecord& a, const InodeRecord& b) {
  return (a.mode & kTypeBits) == (b.mode & kTypeBits);
}

bool has_wildcards(const std::string& path) {
  return path.find_first_of("*?") != std::string::npos;
}

Bytes join(ByteView directory, ByteView name) {
  return directory.empty() ? Bytes(name) : Bytes(directory) + "/" + Bytes(name);
}

// What is asked for, as paths of the snapshot in top-down order: each with all that lies below it.
class Selection {
 public:
  explicit Selection(const View& view) : view_(view) {}

  Status add(const std::string& path) {
    if (!has_wildcards(path)) {
      auto ino = view_.resolve_path(path);
      if (!ino) return fail(Errc::kNoSuchPath, 0, "find in the snapshot", path);
      return add_tree(path, *ino);
    }
    const std::size_t before = paths_.size();
    TRY(add_matches({}, kRootIno, path));
    if (paths_.size() == before) {
      return fail(Errc::kNoSuchPath, 0, "find in the snapshot: nothing matches", path);
    }
    return ok();
  }
  // Parents sort before what they hold.
  [[nodiscard]] const std::map<Bytes, Ino>& paths() const { return paths_; }

 private:
  Status add_tree(const Bytes& path, Ino ino) {
    if (!paths_.emplace(path, ino).second) return ok();
    return for_children(path, ino, [&](const Bytes& child, Ino child_ino) -> Status {
      return add_tree(child, child_ino);
    });
  }

  Status add_matches(const Bytes& path, Ino ino, const std::string& pattern) {
    return for_children(path, ino, [&](const Bytes& child, Ino child_ino) -> Status {
      if (matches_glob(pattern, child)) return add_tree(child, child_ino);
      return add_matches(child, child_ino, pattern);
    });
  }

  Status for_children(const Bytes& path, Ino ino,
                      const std::function<Status(const Bytes&, Ino)>& visit) {
    TRY_ASSIGN(InodeRecord record, view_.inode(ino));
    if (!S_ISDIR(record.mode)) return ok();
    std::vector<std::pair<Bytes, Ino>> children;
    TRY(view_.list_directory(ino, 0, [&](const View::DirectoryEntry& entry) {
      children.emplace_back(join(path, entry.name), entry.dirent.ino);
      return true;
    }));
    for (const auto& [child, child_ino] : children) TRY(visit(child, child_ino));
    return ok();
  }

  const View& view_;
  std::map<Bytes, Ino> paths_;
};

// Fills one batch with all that makes the live tree agree with the snapshot on the selected paths.
class Restorer {
 public:
  Restorer(Engine& engine, const View& source, const View& live, Batch& batch)
      : engine_(engine), source_(source), live_(live), batch_(batch), records_(live) {}

  Status run(const std::map<Bytes, Ino>& paths, bool exact, RestoreResult& result) {
    for (const auto& [path, ino] : paths) {
      TRY_ASSIGN(Ino live_ino, ensure_path(path, ino, result));
      live_inos_[path] = live_ino;
    }
    if (exact) {
      for (const auto& [path, ino] : paths) TRY(remove_extras(path, ino, result));
    }
    TRY(restore_directory_times());
    records_.put_all(batch_);
    for (const auto& [ino, record] : new_records_) put_inode(batch_, ino, record);
    batch_.add_totals(inode_delta_, byte_delta_);
    return ok();
  }

  struct NameChange {
    Ino directory;
    Bytes name;
  };
  // For the kernel's caches, once the batch is applied.
  [[nodiscard]] const std::vector<NameChange>& changed_names() const { return changed_names_; }
  [[nodiscard]] const std::set<Ino>& changed_inodes() const { return changed_inodes_; }

 private:
  // What a path is in the live tree, with what this batch made of it so far.
  struct Place {
    Ino directory = kNoIno;
    Bytes name;
    Ino ino = kNoIno;  // kNoIno: nothing there
  };

  Result<InodeRecord*> record_of(Ino ino) {
    const auto made = new_records_.find(ino);
    if (made != new_records_.end()) return &made->second;
    return records_.load(ino);
  }

  Result<Ino> child_of(Ino directory, ByteView name) {
    const auto changed = names_.find({directory, Bytes(name)});
    if (changed != names_.end()) return changed->second;
    if (new_records_.contains(directory)) return kNoIno;
    TRY_ASSIGN(auto dirent, live_.find_dirent(directory, name));
    return dirent ? dirent->ino : kNoIno;
  }

  // The live inode that has the snapshot's content at `path` afterwards, with parents made as
  // needed.
  Result<Ino> ensure_path(const Bytes& path, Ino source_ino, RestoreResult& result) {
    if (path.empty()) {
      TRY(restore_attributes(source_ino, kRootIno));
      restored_[source_ino] = kRootIno;
      return kRootIno;
    }
    const auto slash = path.find_last_of('/');
    const Bytes parent_path = slash == Bytes::npos ? Bytes() : path.substr(0, slash);
    TRY_ASSIGN(Ino directory, ensure_parent(parent_path, result));
    Place place{directory, path.substr(slash == Bytes::npos ? 0 : slash + 1), kNoIno};
    TRY_ASSIGN(place.ino, child_of(directory, place.name));
    TRY_ASSIGN(InodeRecord source, source_.inode(source_ino));

    const auto linked = restored_.find(source_ino);
    if (linked != restored_.end() && !S_ISDIR(source.mode)) {
      if (place.ino == linked->second) return place.ino;
      if (place.ino != kNoIno) TRY(remove_name_at(path, place, result));
      TRY(add_link(place, linked->second, source.mode));
      result.created.push_back(path);
      return linked->second;
    }
    if (place.ino != kNoIno) {
      TRY_ASSIGN(InodeRecord * live, record_of(place.ino));
      if (!same_type(*live, source) || !(S_ISDIR(source.mode) || S_ISREG(source.mode))) {
        TRY_ASSIGN(bool equal, is_equal_special(place.ino, *live, source_ino, source));
        if (!equal) {
          TRY(remove_name_at(path, place, result));
          place.ino = kNoIno;
        }
      }
    }
    if (place.ino == kNoIno) {
      TRY_ASSIGN(place.ino, create(place, source));
      TRY(copy_content(source_ino, place.ino));
      result.created.push_back(path);
    } else {
      TRY_ASSIGN(bool changed, restore_content(source_ino, source, place.ino));
      if (changed) {
        result.restored.push_back(path);
      } else {
        ++result.unchanged;
      }
    }
    restored_[source_ino] = place.ino;
    return place.ino;
  }

  // Last: putting names into a directory moved its times.
  Status restore_directory_times() {
    for (const auto& [source_ino, live_ino] : restored_) {
      TRY_ASSIGN(InodeRecord source, source_.inode(source_ino));
      if (!S_ISDIR(source.mode)) continue;
      TRY_ASSIGN(InodeRecord * live, record_of(live_ino));
      live->atime = source.atime;
      live->mtime = source.mtime;
    }
    return ok();
  }

  Result<Ino> ensure_parent(const Bytes& path, RestoreResult& result) {
    if (path.empty()) return kRootIno;
    const auto known = live_inos_.find(path);
    if (known != live_inos_.end()) return known->second;
    // A parent that is there keeps its attributes: only what was asked for is restored.
    const auto slash = path.find_last_of('/');
    TRY_ASSIGN(Ino above,
               ensure_parent(slash == Bytes::npos ? Bytes() : path.substr(0, slash), result));
    TRY_ASSIGN(Ino ino, child_of(above, path.substr(slash == Bytes::npos ? 0 : slash + 1)));
    if (ino != kNoIno) {
      TRY_ASSIGN(InodeRecord * record, record_of(ino));
      if (S_ISDIR(record->mode)) return live_inos_[path] = ino;
    }
    TRY_ASSIGN(Ino source_ino, source_.resolve_path(path));
    TRY_ASSIGN(Ino made, ensure_path(path, source_ino, result));
    return live_inos_[path] = made;
  }

  Result<Ino> create(const Place& place, const InodeRecord& source) {
    const Ino ino = engine_.live().allocate_ino();
    InodeRecord record = source;
    record.nlink = S_ISDIR(source.mode) ? 2 : 0;
    record.btime = record.ctime = current_time();
    new_records_[ino] = record;
    ++inode_delta_;
    byte_delta_ += counted_bytes(record);
    TRY(add_link(place, ino, source.mode));
    return ino;
  }

  Status add_link(const Place& place, Ino ino, std::uint32_t mode) {
    put_name(batch_, place.directory, place.name, {ino, static_cast<std::uint8_t>(IFTODT(mode))});
    names_[{place.directory, place.name}] = ino;
    changed_names_.push_back({place.directory, place.name});
    TRY_ASSIGN(InodeRecord * directory, record_of(place.directory));
    directory->mtime = directory->ctime = current_time();
    if (S_ISDIR(mode)) {
      ++directory->nlink;
    } else {
      TRY_ASSIGN(InodeRecord * record, record_of(ino));
      ++record->nlink;
    }
    changed_inodes_.insert(place.directory);
    return ok();
  }

  Status remove_name_at(const Bytes& path, const Place& place, RestoreResult& result) {
    TRY_ASSIGN(InodeRecord * record, record_of(place.ino));
    if (S_ISDIR(record->mode)) TRY(remove_children(path, place.ino, result));
    remove_name(batch_, place.directory, place.name, place.ino);
    names_[{place.directory, place.name}] = kNoIno;
    changed_names_.push_back({place.directory, place.name});
    changed_inodes_.insert(place.directory);
    TRY_ASSIGN(InodeRecord * directory, record_of(place.directory));
    directory->mtime = directory->ctime = current_time();
    if (S_ISDIR(record->mode)) {
      --directory->nlink;
      record->nlink = 0;
    } else {
      --record->nlink;
    }
    record->ctime = current_time();
    changed_inodes_.insert(place.ino);
    // Its records go with the last release, or at the next mount: an orphan never needs this batch
    // to hold all its keys.
    if (record->nlink == 0) batch_.put(orphan_key(place.ino), {});
    result.removed.push_back(path);
    return ok();
  }

  Status remove_children(const Bytes& path, Ino directory, RestoreResult& result) {
    std::vector<std::pair<Bytes, Ino>> children;
    TRY(live_.list_directory(directory, 0, [&](const View::DirectoryEntry& entry) {
      children.emplace_back(entry.name, entry.dirent.ino);
      return true;
    }));
    for (auto& [name, ino] : children) {
      const Bytes child_path = join(path, name);
      TRY(remove_name_at(child_path, {directory, std::move(name), ino}, result));
    }
    return ok();
  }

  Status remove_extras(const Bytes& path, Ino source_ino, RestoreResult& result) {
    TRY_ASSIGN(InodeRecord source, source_.inode(source_ino));
    const Ino live_ino = live_inos_[path];
    if (!S_ISDIR(source.mode) || new_records_.contains(live_ino)) return ok();
    std::vector<std::pair<Bytes, Ino>> extras;
    Status status = ok();
    TRY(live_.list_directory(live_ino, 0, [&](const View::DirectoryEntry& entry) {
      auto there = source_.find_dirent(source_ino, entry.name);
      if (!there) status = fail(std::move(there).error());
      if (there && !*there) extras.emplace_back(entry.name, entry.dirent.ino);
      return status.has_value();
    }));
    TRY(std::move(status));
    for (auto& [name, ino] : extras) {
      const Bytes child_path = join(path, name);
      TRY(remove_name_at(child_path, {live_ino, std::move(name), ino}, result));
    }
    return ok();
  }

  // Symlinks and devices have no content to put back in place: they are equal or made anew.
  Result<bool> is_equal_special(Ino live_ino, const InodeRecord& live, Ino source_ino,
                                const InodeRecord& source) {
    if (!same_type(live, source) || live.rdev != source.rdev) return false;
    if (!S_ISLNK(source.mode)) return true;
    TRY_ASSIGN(Bytes a, live_.target(live_ino));
    TRY_ASSIGN(Bytes b, source_.target(source_ino));
    return a == b;
  }

  // Puts back content, attributes and xattrs of an inode that stays. False: nothing differed.
  Result<bool> restore_content(Ino source_ino, const InodeRecord& source, Ino live_ino) {
    TRY_ASSIGN(bool data,
               S_ISREG(source.mode) ? restore_extents(source_ino, live_ino) : Result<bool>(false));
    TRY_ASSIGN(bool xattrs, restore_range(source_ino, live_ino, Tag::kXattr));
    TRY_ASSIGN(bool attributes, restore_attributes(source_ino, live_ino));
    return data || xattrs || attributes;
  }

  Result<bool> restore_attributes(Ino source_ino, Ino live_ino) {
    TRY_ASSIGN(InodeRecord source, source_.inode(source_ino));
    TRY_ASSIGN(InodeRecord * live, record_of(live_ino));
    InodeRecord wanted = source;
    wanted.nlink = live->nlink;
    wanted.btime = live->btime;
    wanted.ctime = live->ctime;
    wanted.flags = live->flags;
    if (wanted == *live) return false;
    wanted.ctime = current_time();
    byte_delta_ += counted_bytes(wanted) - counted_bytes(*live);
    *live = wanted;
    changed_inodes_.insert(live_ino);
    return true;
  }

  Result<bool> restore_extents(Ino source_ino, Ino live_ino) {
    TRY_ASSIGN(auto wanted, extents_of(source_, source_ino));
    TRY_ASSIGN(auto present, extents_of(live_, live_ino));
    if (wanted == present) return false;
    ExtentEdit edit(live_, live_ino, batch_);
    TRY_ASSIGN(std::uint64_t cleared, edit.clear(0, kFileSizeMax));
    if (cleared < kFileSizeMax) {
      return fail(Errc::kUnsupported, 0, "restore: a file has too many pieces for one batch");
    }
    for (const auto& [end, extent] : wanted) edit.put_shared(end, extent);
    changed_inodes_.insert(live_ino);
    return true;
  }

  static Result<std::map<std::uint64_t, Extent>> extents_of(const View& view, Ino ino) {
    std::map<std::uint64_t, Extent> extents;
    TRY(view.extents(ino, 0, kFileSizeMax, [&](const FileExtent& extent) {
      extents.emplace_hint(extents.end(), extent.end, extent.extent);
      return true;
    }));
    return extents;
  }

  // Makes the entries of one tag under `live_ino` those under `source_ino`.
  Result<bool> restore_range(Ino source_ino, Ino live_ino, Tag tag) {
    TRY_ASSIGN(auto wanted, entries_of(source_, source_ino, tag));
    TRY_ASSIGN(auto present, entries_of(live_, live_ino, tag));
    if (wanted == present) return false;
    for (const auto& [suffix, value] : present) {
      if (!wanted.contains(suffix)) batch_.remove(range_begin(live_ino, tag) + suffix);
    }
    for (const auto& [suffix, value] : wanted) {
      const auto old = present.find(suffix);
      if (old == present.end() || old->second != value) {
        batch_.put(range_begin(live_ino, tag) + suffix, value);
      }
    }
    changed_inodes_.insert(live_ino);
    return true;
  }

  Status copy_content(Ino source_ino, Ino live_ino) {
    for (const Tag tag : {Tag::kXattr, Tag::kTarget, Tag::kExtent}) {
      TRY_ASSIGN(auto entries, entries_of(source_, source_ino, tag));
      for (const auto& [suffix, value] : entries) {
        batch_.put(range_begin(live_ino, tag) + suffix, value);
      }
    }
    return ok();
  }

  static Result<std::map<Bytes, Bytes>> entries_of(const View& view, Ino ino, Tag tag) {
    std::map<Bytes, Bytes> entries;
    const Bytes begin = range_begin(ino, tag);
    const Bytes end = range_end(ino, tag);
    auto cursor = view.cursor();
    TRY(cursor->seek(begin));
    while (cursor->valid() && cursor->key() < end) {
      entries.emplace_hint(entries.end(), cursor->key().substr(begin.size()), cursor->value());
      TRY(cursor->next());
    }
    return entries;
  }

  Engine& engine_;
  const View& source_;
  const View& live_;
  Batch& batch_;
  RecordSet records_;  // of inodes that were there
  std::map<Ino, InodeRecord> new_records_;
  std::map<std::pair<Ino, Bytes>, Ino> names_;  // changed by this batch
  std::map<Bytes, Ino> live_inos_;              // by path, of what was restored
  std::map<Ino, Ino> restored_;                 // snapshot inode → live inode
  std::set<Ino> changed_inodes_;
  std::vector<NameChange> changed_names_;
  std::int64_t inode_delta_ = 0;
  std::int64_t byte_delta_ = 0;
};

// The live inodes of regular files among the paths: their writers are held while they change.
Result<std::vector<Ino>> files_to_hold(const View& live, const std::map<Bytes, Ino>& paths) {
  std::vector<Ino> inos;
  for (const auto& [path, ino] : paths) {
    const auto live_ino = live.resolve_path(path);
    if (!live_ino) continue;
    TRY_ASSIGN(InodeRecord record, live.inode(*live_ino));
    if (S_ISREG(record.mode)) inos.push_back(*live_ino);
  }
  return inos;
}

}  // namespace

Result<RestoreResult> restore_paths(Engine& engine, const Manifest& snapshot,
                                    const RestoreRequest& request) {
  const SnapshotView source = engine.view_of(snapshot);
  Selection selection(*source.view);
  for (const std::string& path : request.paths) TRY(selection.add(path));

  RestoreResult result;
  if (!request.dry_run) {
    TRY_ASSIGN(SnapshotResult before,
               engine.snapshot({.name = {},
                                .reason = "before restore from " + format_time(snapshot.time_ns),
                                .kind = "before-restore",
                                .skip_if_unchanged = true}));
    result.before = std::move(before.manifest);
  }
  MountHooks* hooks = engine.hooks();
  std::vector<Restorer::NameChange> names;
  std::set<Ino> inodes;
  const auto change = [&]() -> Status {
    MutexLock names_lock(engine.filesystem().names_mutex());
    Mutation mutation(engine.live(), OpKind::kRestore);
    mutation.lock_all();
    Restorer restorer(engine, *source.view, mutation.view(), mutation.batch());
    TRY(restorer.run(selection.paths(), request.exact, result));
    if (request.dry_run) return ok();
    TRY(mutation.apply());
    names = restorer.changed_names();
    inodes = restorer.changed_inodes();
    return ok();
  };
  if (hooks == nullptr || request.dry_run) {
    TRY(change());
  } else {
    TRY_ASSIGN(std::vector<Ino> held, files_to_hold(*engine.live_view(), selection.paths()));
    TRY(hooks->change_files(held, change));
    for (const auto& name : names) hooks->invalidate_name(name.directory, name.name);
    for (const Ino ino : inodes) hooks->invalidate_inode(ino);
  }
  if (request.dry_run) return result;
  if (!result.removed.empty()) TRY(engine.filesystem().drop_orphans());
  TRY(engine.filesystem().sync());
  return result;
}

}  // namespace amberfs
