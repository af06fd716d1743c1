// SPDX-License-Identifier: Apache-2.0
// View: overlays above a tree, read as one map. The live file system is a View; a snapshot is a
// View without overlays. Reading code cannot tell them apart.
// Threads: any. The newest overlay of the live view may change while it is read; what a reader gets
//          is then a mix of whole batches, so operations that must see one state hold the inode's
//          lock (fs/live_map.h).
// Owns:    shares its layers; holding a View keeps the journal segments that it needs (LiveMap
//          waits for old views before segments are released).
#pragma once

#include "fs/overlay.h"
#include "snapshot/tree.h"

#include <functional>
#include <memory>
#include <vector>

namespace amberfs {

class View final : public MapReader {
 public:
  // `overlays` newest first; may be empty.
  View(std::vector<std::shared_ptr<const Overlay>> overlays, Tree tree)
      : overlays_(std::move(overlays)), tree_(std::move(tree)) {}

  [[nodiscard]] Result<std::optional<Bytes>> get(ByteView key) const override;
  [[nodiscard]] std::unique_ptr<Cursor> cursor() const override;
  [[nodiscard]] const Tree& tree() const { return tree_; }

  // ---- typed reads. An absent inode is ESTALE, an absent name ENOENT, both as kPosix.
  [[nodiscard]] Result<InodeRecord> inode(Ino ino) const;
  [[nodiscard]] Result<std::optional<InodeRecord>> find_inode(Ino ino) const;
  [[nodiscard]] Result<Dirent> lookup(Ino directory, ByteView name) const;
  [[nodiscard]] Result<std::optional<Dirent>> find_dirent(Ino directory, ByteView name) const;
  [[nodiscard]] Result<Bytes> target(Ino ino) const;
  [[nodiscard]] Result<std::optional<Bytes>> xattr(Ino ino, ByteView name) const;
  [[nodiscard]] Result<std::vector<Bytes>> xattr_names(Ino ino) const;
  [[nodiscard]] Result<bool> is_empty_directory(Ino ino) const;

  struct DirectoryEntry {
    Bytes name;
    Dirent dirent;
    std::uint64_t cookie = 0;
  };
  // Entries with a cookie above `after` in cookie order, until `visit` returns false. Two names
  // may share a cookie: a reader that stops must not stop between them.
  [[nodiscard]] Status list_directory(
      Ino directory, std::uint64_t after,
      const std::function<bool(const DirectoryEntry&)>& visit) const;

  struct Parent {
    Ino ino = kNoIno;
    Bytes name;
  };
  [[nodiscard]] Result<std::vector<Parent>> parents(Ino ino) const;
  // A path from the root, without a leading slash ("" is the root); nullopt for an orphan. Of
  // several names the first in key order.
  [[nodiscard]] Result<std::optional<std::string>> path_of(Ino ino) const;
  // Walks `path` ("a/b/c", leading and doubled slashes ignored, "." allowed, ".." refused, symlinks
  // not followed). ENOENT / ENOTDIR as kPosix.
  [[nodiscard]] Result<Ino> resolve_path(std::string_view path) const;

  using FileExtent = amberfs::FileExtent;
  // Every extent that overlaps [begin, end), in order, until `visit` returns false. Of an overlay's
  // extents and those below it the newest counts for each byte; holes are left out. Extents may
  // reach beyond the range.
  [[nodiscard]] Status extents(Ino ino, std::uint64_t begin, std::uint64_t end,
                               const std::function<bool(const FileExtent&)>& visit) const;

  [[nodiscard]] bool has_overlays() const { return !overlays_.empty(); }

 private:
  using ExtentVisitor = std::function<bool(const FileExtent&)>;
  // The same from layer `layer` down (0 is the newest overlay, behind the last one is the tree).
  // False: `visit` had enough.
  [[nodiscard]] Result<bool> layer_extents(std::size_t layer, Ino ino, FileExtent range,
                                           const ExtentVisitor& visit) const;
  [[nodiscard]] Result<bool> tree_extents(Ino ino, FileExtent range,
                                          const ExtentVisitor& visit) const;

  std::vector<std::shared_ptr<const Overlay>> overlays_;
  Tree tree_;
};

}  // namespace amberfs
