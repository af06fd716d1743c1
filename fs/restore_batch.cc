// SPDX-License-Identifier: Apache-2.0
#include "fs/restore_batch.h"

#include "fs/extent_edit.h"
#include "fs/inode_edit.h"

#include <sys/stat.h>

namespace amberfs {
namespace {

bool same_type(const InodeRecord& a, const InodeRecord& b) {
  return (a.mode & S_IFMT) == (b.mode & S_IFMT);
}

class BatchFiller {
 public:
  BatchFiller(const RestoreTask& task, Batch& batch, RestoreResult& result)
      : task_(task),
        source_(task.source),
        live_(task.live),
        batch_(batch),
        result_(result),
        records_(task.live) {}

  Result<RestoreChanges> run() {
    TRY(keep_linked_files());
    for (const auto& [path, ino] : task_.paths) {
      TRY_ASSIGN(Ino live_ino, ensure_path(path, ino));
      live_inos_[path] = live_ino;
    }
    for (const auto& [path, ino] : task_.paths) TRY(treat_extras(path, ino));
    TRY(restore_directory_times());
    records_.put_all(batch_);
    for (const auto& [ino, record] : new_records_) put_inode(batch_, ino, record);
    batch_.add_totals(inode_delta_, byte_delta_);
    return std::move(changes_);
  }

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

  // A file with several names keeps a live inode if any of the names leads to one that may go on,
  // whichever name comes first; its own before any other.
  Status keep_linked_files() {
    for (const bool own : {true, false}) {
      for (const auto& [path, ino] : task_.paths) {
        if (restored_.contains(ino)) continue;
        TRY_ASSIGN(InodeRecord source, source_.inode(ino));
        if (S_ISDIR(source.mode) || source.nlink < 2) continue;
        const auto live_ino = live_.resolve_path(path);
        if (!live_ino && live_ino.error().code != Errc::kPosix) return fail(live_ino.error());
        if (!live_ino || (own && *live_ino != ino)) continue;
        TRY_ASSIGN(bool keeps, may_keep(*live_ino, ino, source));
        if (keeps) TRY(keep(ino, source, *live_ino));
      }
    }
    return ok();
  }

  Status keep(Ino source_ino, const InodeRecord& source, Ino live_ino) {
    TRY_ASSIGN(bool changed, restore_content(source_ino, source, live_ino));
    if (changed) changes_.replaced.insert(live_ino);
    restored_[source_ino] = live_ino;
    taken_[live_ino] = source_ino;
    differed_[source_ino] = changed;
    return ok();
  }

  void count_kept(const Bytes& path, Ino source_ino) {
    if (differed_[source_ino]) {
      result_.restored.push_back(path);
    } else {
      ++result_.unchanged;
    }
  }

  // The live inode that has the snapshot's content at `path` afterwards, with parents made as
  // needed.
  Result<Ino> ensure_path(const Bytes& path, Ino source_ino) {
    TRY_ASSIGN(InodeRecord source, source_.inode(source_ino));
    if (path.empty()) {
      TRY(keep(source_ino, source, kRootIno));
      count_kept(path, source_ino);
      return kRootIno;
    }
    const auto slash = path.find_last_of('/');
    const Bytes parent_path = slash == Bytes::npos ? Bytes() : path.substr(0, slash);
    TRY_ASSIGN(Ino directory, ensure_parent(parent_path));
    Place place{directory, path.substr(slash == Bytes::npos ? 0 : slash + 1), kNoIno};
    TRY_ASSIGN(place.ino, child_of(directory, place.name));
    const auto linked = restored_.find(source_ino);
    if (linked != restored_.end() && !S_ISDIR(source.mode)) {
      return ensure_link(path, place, {source_ino, linked->second, source.mode});
    }
    if (place.ino != kNoIno) {
      TRY_ASSIGN(bool keeps, may_keep(place.ino, source_ino, source));
      if (keeps) {
        TRY(keep(source_ino, source, place.ino));
        count_kept(path, source_ino);
        return place.ino;
      }
      TRY(remove_name_at(path, place));
    }
    TRY_ASSIGN(place.ino, create(place, source));
    TRY(copy_content(source_ino, place.ino));
    restored_[source_ino] = place.ino;
    result_.created.push_back(path);
    return place.ino;
  }

  struct Link {
    Ino source_ino;
    Ino live_ino;
    std::uint32_t mode;
  };
  Result<Ino> ensure_link(const Bytes& path, const Place& place, const Link& link) {
    if (place.ino == link.live_ino) {
      count_kept(path, link.source_ino);
      return place.ino;
    }
    if (place.ino != kNoIno) TRY(remove_name_at(path, place));
    TRY(add_link(place, link.live_ino, link.mode));
    result_.created.push_back(path);
    return link.live_ino;
  }

  Result<bool> may_keep(Ino live_ino, Ino source_ino, const InodeRecord& source) {
    TRY_ASSIGN(InodeRecord * live, record_of(live_ino));
    if (!same_type(*live, source)) return false;
    const auto taken = taken_.find(live_ino);
    if (taken != taken_.end()) return taken->second == source_ino;
    if (S_ISDIR(source.mode)) return true;
    if (live_ino != source_ino && live->nlink > 1) {
      TRY_ASSIGN(bool one_file, names_were_one_file(live_ino, source_ino));
      if (!one_file) return false;
    }
    if (S_ISREG(source.mode)) return true;
    return is_equal_special(live_ino, *live, source_ino, source);
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

  // Then no name changes with it that was something else.
  Result<bool> names_were_one_file(Ino live_ino, Ino source_ino) {
    TRY_ASSIGN(auto names, live_.parents(live_ino));
    for (const View::Parent& name : names) {
      TRY_ASSIGN(auto directory, live_.path_of(name.ino));
      const auto then =
          directory ? source_.resolve_path(join_path(*directory, name.name)) : Result<Ino>(kNoIno);
      if (!then && then.error().code != Errc::kPosix) return fail(then.error());
      if (!then || *then != source_ino) return false;
    }
    return true;
  }

  Result<Ino> ensure_parent(const Bytes& path) {
    if (path.empty()) return kRootIno;
    const auto known = live_inos_.find(path);
    if (known != live_inos_.end()) return known->second;
    // A parent that is there keeps its attributes: only what was asked for is restored.
    const auto slash = path.find_last_of('/');
    TRY_ASSIGN(Ino above, ensure_parent(slash == Bytes::npos ? Bytes() : path.substr(0, slash)));
    TRY_ASSIGN(Ino ino, child_of(above, path.substr(slash == Bytes::npos ? 0 : slash + 1)));
    if (ino != kNoIno) {
      TRY_ASSIGN(InodeRecord * record, record_of(ino));
      if (S_ISDIR(record->mode)) return live_inos_[path] = ino;
    }
    TRY_ASSIGN(Ino source_ino, source_.resolve_path(path));
    TRY_ASSIGN(Ino made, ensure_path(path, source_ino));
    return live_inos_[path] = made;
  }

  Result<Ino> create(const Place& place, const InodeRecord& source) {
    const Ino ino = task_.live_map.allocate_ino();
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
    changes_.names.push_back({place.directory, place.name});
    TRY_ASSIGN(InodeRecord * directory, record_of(place.directory));
    directory->mtime = directory->ctime = current_time();
    if (S_ISDIR(mode)) {
      ++directory->nlink;
    } else {
      TRY_ASSIGN(InodeRecord * record, record_of(ino));
      ++record->nlink;
    }
    changes_.inodes.insert(place.directory);
    return ok();
  }

  Status remove_name_at(const Bytes& path, const Place& place) {
    TRY_ASSIGN(InodeRecord * record, record_of(place.ino));
    if (S_ISDIR(record->mode)) TRY(remove_children(path, place.ino));
    remove_name(batch_, place.directory, place.name, place.ino);
    names_[{place.directory, place.name}] = kNoIno;
    changes_.names.push_back({place.directory, place.name});
    changes_.inodes.insert(place.directory);
    TRY_ASSIGN(InodeRecord * directory, record_of(place.directory));
    directory->mtime = directory->ctime = current_time();
    if (S_ISDIR(record->mode)) {
      --directory->nlink;
      record->nlink = 0;
    } else {
      --record->nlink;
    }
    record->ctime = current_time();
    changes_.inodes.insert(place.ino);
    changes_.replaced.insert(place.ino);
    // Its records go with the last release, or at the next mount: an orphan never needs this batch
    // to hold all its keys.
    if (record->nlink == 0) batch_.put(orphan_key(place.ino), {});
    result_.removed.push_back(path);
    return ok();
  }

  Status remove_children(const Bytes& path, Ino directory) {
    std::vector<std::pair<Bytes, Ino>> children;
    TRY(live_.list_directory(directory, 0, [&](const View::DirectoryEntry& entry) {
      children.emplace_back(entry.name, entry.dirent.ino);
      return true;
    }));
    for (auto& [name, ino] : children) {
      const Bytes child_path = join_path(path, name);
      TRY(remove_name_at(child_path, {directory, std::move(name), ino}));
    }
    return ok();
  }

  Status treat_extras(const Bytes& path, Ino source_ino) {
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
      const Bytes child_path = join_path(path, name);
      if (task_.exact) {
        TRY(remove_name_at(child_path, {live_ino, std::move(name), ino}));
      } else {
        result_.kept.push_back(child_path);
      }
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
    changes_.inodes.insert(live_ino);
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
    changes_.inodes.insert(live_ino);
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
    changes_.inodes.insert(live_ino);
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

  const RestoreTask& task_;
  const View& source_;
  const View& live_;
  Batch& batch_;
  RestoreResult& result_;
  RestoreChanges changes_;
  RecordSet records_;  // of inodes that were there
  std::map<Ino, InodeRecord> new_records_;
  std::map<std::pair<Ino, Bytes>, Ino> names_;  // changed by this batch
  std::map<Bytes, Ino> live_inos_;              // by path, of what was restored
  std::map<Ino, Ino> restored_;                 // snapshot inode → live inode
  std::map<Ino, bool> differed_;  // snapshot inode that kept a live one → it changed
  std::map<Ino, Ino> taken_;      // live inode that goes on → snapshot inode
  std::int64_t inode_delta_ = 0;
  std::int64_t byte_delta_ = 0;
};

}  // namespace

Result<RestoreChanges> fill_restore_batch(const RestoreTask& task, Batch& batch,
                                          RestoreResult& result) {
  return BatchFiller(task, batch, result).run();
}

}  // namespace amberfs
