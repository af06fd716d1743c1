// SPDX-License-Identifier: Apache-2.0
#include "fs/diff.h"

#include "fs/config.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

namespace amberfs {
namespace {

constexpr std::uint32_t kPermissionBits = 07777;
constexpr const char* kTimes = "times";

struct Touched {
  bool content = false;
  bool xattrs = false;
  bool target = false;
};

// Every path of an inode in a view; the root's is "".
Result<std::set<Bytes>> paths_of(const View& view, Ino ino) {
  std::set<Bytes> paths;
  if (ino == kRootIno) return std::set<Bytes>{Bytes()};
  TRY_ASSIGN(auto parents, view.parents(ino));
  for (const auto& parent : parents) {
    TRY_ASSIGN(auto directory, view.path_of(parent.ino));
    if (directory) paths.insert(directory->empty() ? parent.name : *directory + "/" + parent.name);
  }
  return paths;
}

Result<std::set<View::Parent, bool (*)(const View::Parent&, const View::Parent&)>> names_of(
    const View& view, Ino ino) {
  std::set<View::Parent, bool (*)(const View::Parent&, const View::Parent&)> names(
      [](const View::Parent& a, const View::Parent& b) {
        return std::tie(a.ino, a.name) < std::tie(b.ino, b.name);
      });
  TRY_ASSIGN(auto parents, view.parents(ino));
  names.insert(parents.begin(), parents.end());
  return names;
}

// How far two files agree from the start, stopping at the first difference or the shorter end.
// Extents that name the same bytes are not read.
class ContentComparer {
 public:
  ContentComparer(const DiffSides& sides, const DataReader& data) : sides_(sides), data_(data) {}

  struct File {
    Ino ino;
    std::uint64_t size;
  };
  Result<ChangeKind> compare(const File& before, const File& after) {
    const std::uint64_t common = std::min(before.size, after.size);
    TRY_ASSIGN(std::uint64_t same, same_extents(before.ino, after.ino, common));
    TRY_ASSIGN(bool equal, same_bytes(before.ino, after.ino, same, common));
    if (!equal) return ChangeKind::kRewritten;
    if (before.size < after.size) return ChangeKind::kGrown;
    if (before.size > after.size) return ChangeKind::kTruncated;
    return ChangeKind::kAttributes;
  }

 private:
  // The extents that both files begin with, to the letter; a partly cut last one counts up to the
  // shorter end as long as its bytes begin alike.
  Result<std::uint64_t> same_extents(Ino before, Ino after, std::uint64_t common) {
    std::vector<View::FileExtent> list;
    constexpr std::size_t kListMax = 100'000;
    TRY(sides_.before.extents(before, 0, common, [&](const View::FileExtent& extent) {
      list.push_back(extent);
      return list.size() < kListMax;
    }));
    std::uint64_t same = 0;
    std::size_t i = 0;
    TRY(sides_.after.extents(after, 0, common, [&](const View::FileExtent& extent) {
      if (i == list.size()) return false;
      const View::FileExtent& other = list[i++];
      const bool alike = extent.begin == other.begin && extent.extent.block == other.extent.block &&
                         extent.extent.block_offset == other.extent.block_offset &&
                         extent.extent.kind == other.extent.kind;
      if (!alike || extent.begin != same) return false;
      same = std::min(extent.end, other.end);
      return extent.end == other.end;
    }));
    return std::min(same, common);
  }

  Result<bool> same_bytes(Ino before, Ino after, std::uint64_t from, std::uint64_t to) {
    Bytes a(kPiece, '\0');
    Bytes b(kPiece, '\0');
    while (from < to) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, to - from));
      TRY_ASSIGN(std::size_t got_a, data_.read(sides_.before, before, from, a.data(), size));
      TRY_ASSIGN(std::size_t got_b, data_.read(sides_.after, after, from, b.data(), size));
      if (got_a != size || got_b != size) return false;
      if (ByteView(a).substr(0, size) != ByteView(b).substr(0, size)) return false;
      from += size;
    }
    return true;
  }

  static constexpr std::size_t kPiece = 1 * kMiB;
  const DiffSides& sides_;
  const DataReader& data_;
};

std::string describe_attributes(const InodeRecord& before, const InodeRecord& after,
                                const Touched& touched) {
  std::vector<std::string> parts;
  if (before.mode != after.mode) {
    parts.push_back(fmt::format("mode {:04o} → {:04o}", before.mode & kPermissionBits,
                                after.mode & kPermissionBits));
  }
  if (before.uid != after.uid) parts.push_back(fmt::format("uid {} → {}", before.uid, after.uid));
  if (before.gid != after.gid) parts.push_back(fmt::format("gid {} → {}", before.gid, after.gid));
  if (touched.xattrs) parts.emplace_back("extended attributes");
  if (touched.target) parts.emplace_back("symlink target");
  // A directory's times change with its names, which are reported themselves.
  if (parts.empty() && !S_ISDIR(after.mode) && before.mtime != after.mtime) {
    parts.emplace_back(kTimes);
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

class Differ {
 public:
  Differ(Blocks& blocks, const DiffSides& sides, const DataReader& data)
      : blocks_(blocks), sides_(sides), comparer_(sides, data) {}

  Result<std::vector<PathChange>> run() {
    TRY(diff_trees(blocks_, sides_.before.tree().root(), sides_.after.tree().root(),
                   [&](ByteView key, auto, auto) -> Status { return note(key); }));
    for (const auto& [ino, touched] : touched_) TRY(compare_inode(ino, touched));
    TRY(join_replaced());
    std::vector<PathChange> list = std::move(changes_);
    std::ranges::sort(list, {}, &PathChange::path);
    return list;
  }

 private:
  Status note(ByteView key) {
    TRY_ASSIGN(ParsedKey parsed, parse_key(key));
    if (parsed.ino == kNoIno || parsed.tag == Tag::kDirent) return ok();
    Touched& touched = touched_[parsed.ino];
    touched.content |= parsed.tag == Tag::kExtent;
    touched.xattrs |= parsed.tag == Tag::kXattr;
    touched.target |= parsed.tag == Tag::kTarget;
    return ok();
  }

  Status compare_inode(Ino ino, const Touched& touched) {
    TRY_ASSIGN(auto before, sides_.before.find_inode(ino));
    TRY_ASSIGN(auto after, sides_.after.find_inode(ino));
    if (before && before->nlink == 0) before.reset();  // an orphan has no path
    if (after && after->nlink == 0) after.reset();
    if (!before && !after) return ok();
    if (!before || !after) {
      const View& view = before ? sides_.before : sides_.after;
      TRY_ASSIGN(auto paths, paths_of(view, ino));
      for (const Bytes& path : paths) changes_.push_back(whole(path, ino, before, after));
      return ok();
    }
    return compare_both({ino, *before, *after, touched});
  }

  static PathChange whole(const Bytes& path, Ino ino, const std::optional<InodeRecord>& before,
                          const std::optional<InodeRecord>& after) {
    PathChange change;
    change.path = path;
    change.kind = before ? ChangeKind::kRemoved : ChangeKind::kAdded;
    change.mode = before ? before->mode : after->mode;
    (before ? change.size_before : change.size_after) =
        before ? before->size_bytes : after->size_bytes;
    (before ? change.ino_before : change.ino_after) = ino;
    return change;
  }

  struct Both {
    Ino ino;
    const InodeRecord& before;
    const InodeRecord& after;
    const Touched& touched;
  };

  Status compare_both(const Both& both) {
    PathChange change;
    change.mode = both.after.mode;
    change.size_before = both.before.size_bytes;
    change.size_after = both.after.size_bytes;
    change.ino_before = change.ino_after = both.ino;
    change.detail = describe_attributes(both.before, both.after, both.touched);
    bool changed = !change.detail.empty();
    change.kind = ChangeKind::kAttributes;
    const bool content = both.touched.content || change.size_before != change.size_after;
    if (S_ISREG(both.after.mode) && content) {
      auto kind = comparer_.compare({both.ino, change.size_before}, {both.ino, change.size_after});
      change.kind = kind ? *kind : ChangeKind::kRewritten;
      if (!kind) change.detail = kind.error().to_string();
      if (change.kind != ChangeKind::kAttributes) {
        changed = true;
        if (change.detail == kTimes) change.detail.clear();  // that goes without saying
      }
    }
    TRY_ASSIGN(auto old_names, names_of(sides_.before, both.ino));
    TRY_ASSIGN(auto new_names, names_of(sides_.after, both.ino));
    std::vector<View::Parent> gone;
    std::vector<View::Parent> come;
    std::ranges::set_difference(old_names, new_names, std::back_inserter(gone),
                                old_names.key_comp());
    std::ranges::set_difference(new_names, old_names, std::back_inserter(come),
                                old_names.key_comp());
    TRY(add_renames(change, gone, come, changed));
    if (changed) {
      TRY_ASSIGN(auto paths, paths_of(sides_.after, both.ino));
      for (const Bytes& path : paths) {
        if (renamed_to_.contains(path)) continue;
        change.path = path;
        changes_.push_back(change);
      }
    }
    return ok();
  }

  // A name that went and one that came are a rename; what is left over are links made and removed.
  Status add_renames(PathChange change, const std::vector<View::Parent>& gone,
                     const std::vector<View::Parent>& come, bool changed) {
    const auto path_in = [](const View& view, const View::Parent& name) -> Result<Bytes> {
      TRY_ASSIGN(auto directory, view.path_of(name.ino));
      if (!directory || directory->empty()) return name.name;
      return *directory + "/" + name.name;
    };
    for (std::size_t i = 0; i < std::max(gone.size(), come.size()); ++i) {
      change.from_path.clear();
      if (i < gone.size()) {
        TRY_ASSIGN(change.from_path, path_in(sides_.before, gone[i]));
      }
      if (i >= come.size()) {
        PathChange removed = change;
        removed.path = std::exchange(removed.from_path, {});
        removed.kind = ChangeKind::kRemoved;
        removed.detail = "one of its links";
        changes_.push_back(std::move(removed));
        continue;
      }
      TRY_ASSIGN(change.path, path_in(sides_.after, come[i]));
      renamed_to_.insert(change.path);
      PathChange named = change;
      if (i >= gone.size()) {
        named.kind = ChangeKind::kAdded;
        named.detail = "a new link";
      } else if (!changed || named.kind == ChangeKind::kAttributes) {
        named.kind = ChangeKind::kRenamed;
      }
      changes_.push_back(std::move(named));
    }
    return ok();
  }

  // One file removed and another added under the same path: to a reader of the path it changed.
  Status join_replaced() {
    std::map<Bytes, std::size_t> removed;
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      if (changes_[i].kind == ChangeKind::kRemoved) removed[changes_[i].path] = i;
    }
    std::set<std::size_t> dropped;
    for (PathChange& change : changes_) {
      const auto it = removed.find(change.path);
      if (change.kind != ChangeKind::kAdded || it == removed.end()) continue;
      const PathChange& old = changes_[it->second];
      dropped.insert(it->second);
      change.size_before = old.size_before;
      change.ino_before = old.ino_before;
      const bool same_type = (old.mode & S_IFMT) == (change.mode & S_IFMT);
      change.kind = same_type ? ChangeKind::kAttributes : ChangeKind::kType;
      change.detail = same_type ? "made anew" : "another type of file";
      if (same_type && S_ISREG(change.mode)) {
        auto kind = comparer_.compare({old.ino_before, old.size_before},
                                      {change.ino_after, change.size_after});
        change.kind = kind ? *kind : ChangeKind::kRewritten;
        if (!kind) change.detail = kind.error().to_string();
      }
    }
    std::vector<PathChange> kept;
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      if (!dropped.contains(i)) kept.push_back(std::move(changes_[i]));
    }
    changes_ = std::move(kept);
    return ok();
  }

  Blocks& blocks_;
  const DiffSides& sides_;
  ContentComparer comparer_;
  std::map<Ino, Touched> touched_;
  std::set<Bytes> renamed_to_;
  std::vector<PathChange> changes_;
};

}  // namespace

const char* change_name(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kAdded:
      return "added";
    case ChangeKind::kRemoved:
      return "removed";
    case ChangeKind::kGrown:
      return "grown";
    case ChangeKind::kTruncated:
      return "truncated";
    case ChangeKind::kRewritten:
      return "rewritten";
    case ChangeKind::kRenamed:
      return "renamed";
    case ChangeKind::kAttributes:
      return "attributes";
    case ChangeKind::kType:
      break;
  }
  return "type";
}

namespace {

bool is_below(ByteView path, ByteView directory) {
  return directory.empty() || (path.size() > directory.size() && path.starts_with(directory) &&
                               path[directory.size()] == '/');
}

// A renamed directory moved all that is below it.
bool moved_any(const std::vector<std::string>& filters, const PathChange& change) {
  if (!S_ISDIR(change.mode) || change.from_path.empty()) return false;
  return std::ranges::any_of(filters, [&](const std::string& filter) {
    return is_below(filter, change.path) || is_below(filter, change.from_path);
  });
}

}  // namespace

bool passes_filters(const std::vector<std::string>& filters, ByteView path) {
  return filters.empty() || std::ranges::any_of(filters, [&](const std::string& filter) {
           return path == filter || is_below(path, filter) || matches_glob(filter, path);
         });
}

Result<std::vector<PathChange>> diff_views(Blocks& blocks, const DiffSides& sides,
                                           const DataReader& data,
                                           const std::vector<std::string>& filters) {
  TRY_ASSIGN(auto changes, Differ(blocks, sides, data).run());
  std::erase_if(changes, [&](const PathChange& change) {
    return !passes_filters(filters, change.path) && !moved_any(filters, change) &&
           (change.from_path.empty() || !passes_filters(filters, change.from_path));
  });
  return changes;
}

}  // namespace amberfs
