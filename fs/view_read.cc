// SPDX-License-Identifier: Apache-2.0
#include "fs/view.h"

#include <sys/stat.h>

#include <cerrno>

namespace amberfs {
namespace {

constexpr std::size_t kPathDepthMax = 4096;
constexpr std::uint8_t kTypeDirectory = S_IFDIR >> 12;  // DT_DIR

using KeyVisitor = std::function<Result<bool>(const ParsedKey& key, ByteView value)>;

// Visits the entries of (ino, tag) from `begin` on until `visit` returns false.
Status for_each(const View& view, Bytes begin, Bytes end, const KeyVisitor& visit) {
  std::unique_ptr<Cursor> cursor = view.cursor();
  TRY(cursor->seek(begin));
  while (cursor->valid() && cursor->key() < end) {
    TRY_ASSIGN(const ParsedKey key, parse_key(cursor->key()));
    TRY_ASSIGN(const bool go_on, visit(key, cursor->value()));
    if (!go_on) return ok();
    TRY(cursor->next());
  }
  return ok();
}

// The first component of `path`, which is cut off from it; "" at the end.
std::string_view next_component(std::string_view& path) {
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  const std::string_view component = path.substr(0, path.find('/'));
  path.remove_prefix(component.size());
  return component;
}

}  // namespace

Result<InodeRecord> View::inode(Ino ino) const {
  TRY_ASSIGN(const std::optional<InodeRecord> record, find_inode(ino));
  if (!record) return fail(posix_error(ESTALE));
  return *record;
}

Result<std::optional<InodeRecord>> View::find_inode(Ino ino) const {
  TRY_ASSIGN(const std::optional<Bytes> value, get(inode_key(ino)));
  if (!value) return std::nullopt;
  TRY_ASSIGN(InodeRecord record, decode_inode(*value));
  return record;
}

Result<Dirent> View::lookup(Ino directory, ByteView name) const {
  TRY_ASSIGN(const std::optional<Dirent> dirent, find_dirent(directory, name));
  if (!dirent) return fail(posix_error(ENOENT));
  return *dirent;
}

Result<std::optional<Dirent>> View::find_dirent(Ino directory, ByteView name) const {
  if (name.size() > kNameSizeMax) return fail(posix_error(ENAMETOOLONG));
  TRY_ASSIGN(const std::optional<Bytes> value, get(dirent_key(directory, name)));
  if (!value) return std::nullopt;
  TRY_ASSIGN(Dirent dirent, decode_dirent(*value));
  return dirent;
}

Result<Bytes> View::target(Ino ino) const {
  TRY_ASSIGN(std::optional<Bytes> value, get(target_key(ino)));
  if (value) return *std::move(value);
  TRY(inode(ino));
  return fail(posix_error(EINVAL));  // as readlink(2) of what is no symlink
}

Result<std::optional<Bytes>> View::xattr(Ino ino, ByteView name) const {
  if (name.size() > kXattrNameSizeMax) return fail(posix_error(ERANGE));
  return get(xattr_key(ino, name));
}

Result<std::vector<Bytes>> View::xattr_names(Ino ino) const {
  std::vector<Bytes> names;
  TRY(for_each(*this, range_begin(ino, Tag::kXattr), range_end(ino, Tag::kXattr),
               [&](const ParsedKey& key, ByteView) -> Result<bool> {
                 names.emplace_back(key.name);
                 return true;
               }));
  return names;
}

Result<bool> View::is_empty_directory(Ino ino) const {
  std::unique_ptr<Cursor> entries = cursor();
  TRY(entries->seek(range_begin(ino, Tag::kDirent)));
  return !entries->valid() || entries->key() >= range_end(ino, Tag::kDirent);
}

Status View::list_directory(Ino directory, std::uint64_t after,
                            const std::function<bool(const DirectoryEntry&)>& visit) const {
  return for_each(*this, dirent_key_after(directory, after), range_end(directory, Tag::kDirent),
                  [&](const ParsedKey& key, ByteView value) -> Result<bool> {
                    TRY_ASSIGN(const Dirent dirent, decode_dirent(value));
                    return visit({Bytes(key.name), dirent, key.number});
                  });
}

Result<std::vector<View::Parent>> View::parents(Ino ino) const {
  std::vector<Parent> parents;
  TRY(for_each(*this, range_begin(ino, Tag::kParent), range_end(ino, Tag::kParent),
               [&](const ParsedKey& key, ByteView) -> Result<bool> {
                 parents.push_back({key.number, Bytes(key.name)});
                 return true;
               }));
  return parents;
}

Result<std::optional<std::string>> View::path_of(Ino ino) const {
  std::vector<Bytes> names;  // from the leaf up
  while (ino != kRootIno) {
    if (names.size() == kPathDepthMax) {
      return fail(Errc::kCorrupt, 0, "find the path of an inode: the way up does not end",
                  "inode " + std::to_string(ino));
    }
    std::optional<Parent> parent;
    TRY(for_each(*this, range_begin(ino, Tag::kParent), range_end(ino, Tag::kParent),
                 [&](const ParsedKey& key, ByteView) -> Result<bool> {
                   parent = Parent{key.number, Bytes(key.name)};
                   return false;
                 }));
    if (!parent) return std::nullopt;
    names.push_back(std::move(parent->name));
    ino = parent->ino;
  }
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += *name;
  }
  return path;
}

Result<Ino> View::resolve_path(std::string_view path) const {
  Dirent at{kRootIno, kTypeDirectory};
  while (true) {
    const std::string_view name = next_component(path);
    if (name.empty()) return at.ino;
    if (at.type != kTypeDirectory) return fail(posix_error(ENOTDIR));
    if (name == ".") continue;
    if (name == "..") return fail(posix_error(EINVAL));
    TRY_ASSIGN(at, lookup(at.ino, name));
  }
}

Status View::extents(Ino ino, std::uint64_t begin, std::uint64_t end,
                     const std::function<bool(const FileExtent&)>& visit) const {
  if (begin >= end) return ok();
  TRY(layer_extents(0, ino, {begin, end, {}}, visit));
  return ok();
}

Result<bool> View::layer_extents(std::size_t layer, Ino ino, FileExtent range,
                                 const ExtentVisitor& visit) const {
  if (layer == overlays_.size()) return tree_extents(ino, range, visit);
  const Overlay& overlay = *overlays_[layer];
  // What lies below shows only in the gaps of this layer.
  const auto visit_below = [&](std::uint64_t begin, std::uint64_t end) -> Result<bool> {
    if (begin >= end) return true;
    return layer_extents(layer + 1, ino, {begin, end, {}}, [&](const FileExtent& below) {
      const std::uint64_t from = std::max(begin, below.begin);
      const std::uint64_t to = std::min(end, below.end);
      return visit({from, to, slice(below, from, to)});
    });
  };
  std::uint64_t at = range.begin;
  while (at < range.end) {
    TRY_ASSIGN(const auto found, overlay.find_extent(ino, at));
    const std::uint64_t gap_end = found ? std::min(found->begin, range.end) : range.end;
    TRY_ASSIGN(bool go_on, visit_below(at, gap_end));
    if (!go_on || !found || found->begin >= range.end) return go_on;
    if (found->extent.kind != ExtentKind::kHole) {
      // From `at` on: what was before may have been another batch's a step ago.
      const std::uint64_t from = std::max(found->begin, at == range.begin ? found->begin : at);
      if (!visit({from, found->end, slice(*found, from, found->end)})) return false;
    }
    at = found->end;
  }
  return true;
}

// Keys are ends: the first extent that may overlap is the first that ends behind `begin`.
Result<bool> View::tree_extents(Ino ino, FileExtent range, const ExtentVisitor& visit) const {
  auto cursor = tree_.cursor();
  const Bytes end_key = range_end(ino, Tag::kExtent);
  TRY(cursor->seek(extent_key(ino, range.begin + 1)));
  for (; cursor->valid() && cursor->key() < end_key;) {
    TRY_ASSIGN(const ParsedKey key, parse_key(cursor->key()));
    TRY_ASSIGN(const FileExtent found, file_extent(key, cursor->value()));
    if (found.begin >= range.end) return true;
    if (!visit(found)) return false;
    TRY(cursor->next());
  }
  return true;
}

Extent slice(const FileExtent& whole, std::uint64_t begin, std::uint64_t end) {
  Extent piece = whole.extent;
  const auto skip = static_cast<std::uint32_t>(begin - whole.begin);
  piece.length = static_cast<std::uint32_t>(end - begin);
  if (piece.kind == ExtentKind::kBlock) piece.block_offset += skip;
  if (piece.kind == ExtentKind::kJournal) piece.position += skip;
  if (piece.kind == ExtentKind::kPacked) piece.packed_offset += skip;
  piece.ends_at_cut = whole.extent.ends_at_cut && end == whole.end;
  return piece;
}

Result<FileExtent> file_extent(const ParsedKey& key, ByteView value) {
  TRY_ASSIGN(const Extent extent, decode_extent(value));
  if (extent.length > key.number) {
    return fail(Errc::kCorrupt, 0, "read extent: it begins before its file",
                "inode " + std::to_string(key.ino));
  }
  return FileExtent{key.number - extent.length, key.number, extent};
}

}  // namespace amberfs
