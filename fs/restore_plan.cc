// SPDX-License-Identifier: Apache-2.0
#include "fs/restore_plan.h"

#include "fs/config.h"
#include "fs/path_text.h"

#include <sys/stat.h>

namespace amberfs {

bool has_wildcards(const std::string& path) {
  return path.find_first_of("*?") != std::string::npos;
}

Bytes join_path(ByteView directory, ByteView name) {
  return directory.empty() ? Bytes(name) : Bytes(directory) + "/" + Bytes(name);
}

namespace {

// What is asked for, as paths of the snapshot in top-down order: each with all that lies below it.
class Selection {
 public:
  // `deep`: also all that lies below what is asked for.
  Selection(const View& view, bool deep) : view_(view), deep_(deep) {}

  Status add(const std::string& path) {
    auto ino = view_.resolve_path(path);
    if (ino) return add_tree(path, *ino);
    if (ino.error().code != Errc::kPosix) return fail(std::move(ino).error());
    if (!has_wildcards(path)) {
      return fail(Errc::kNoSuchPath, 0, "find in the snapshot", "/" + encode_path(path));
    }
    found_ = false;
    TRY(add_matches({}, kRootIno, path));
    if (!found_) {
      return fail(Errc::kNoSuchPath, 0, "find in the snapshot: nothing matches", encode_path(path));
    }
    return ok();
  }
  [[nodiscard]] PathMap take() && { return std::move(paths_); }

 private:
  Status add_tree(const Bytes& path, Ino ino) {
    if (!paths_.emplace(path, ino).second || !deep_) return ok();
    return for_children(path, ino, [&](const Bytes& child, Ino child_ino) -> Status {
      return add_tree(child, child_ino);
    });
  }

  Status add_matches(const Bytes& path, Ino ino, const std::string& pattern) {
    return for_children(path, ino, [&](const Bytes& child, Ino child_ino) -> Status {
      if (matches_glob(pattern, child)) {
        found_ = true;
        return add_tree(child, child_ino);
      }
      return add_matches(child, child_ino, pattern);
    });
  }

  Status for_children(const Bytes& path, Ino ino,
                      const std::function<Status(const Bytes&, Ino)>& visit) {
    TRY_ASSIGN(InodeRecord record, view_.inode(ino));
    if (!S_ISDIR(record.mode)) return ok();
    std::vector<std::pair<Bytes, Ino>> children;
    TRY(view_.list_directory(ino, 0, [&](const View::DirectoryEntry& entry) {
      children.emplace_back(join_path(path, entry.name), entry.dirent.ino);
      return true;
    }));
    for (const auto& [child, child_ino] : children) TRY(visit(child, child_ino));
    return ok();
  }

  const View& view_;
  const bool deep_;
  PathMap paths_;
  bool found_ = false;
};

}  // namespace

Result<PathMap> select_paths(const View& view, const std::vector<std::string>& wanted) {
  Selection selection(view, true);
  for (const std::string& path : wanted) TRY(selection.add(path));
  return std::move(selection).take();
}

Result<std::vector<Bytes>> match_paths(const View& view, const std::vector<std::string>& wanted) {
  Selection selection(view, false);
  for (const std::string& path : wanted) TRY(selection.add(path));
  std::vector<Bytes> paths;
  for (auto& [path, ino] : std::move(selection).take()) paths.push_back(path);
  return paths;
}

}  // namespace amberfs
