// SPDX-License-Identifier: Apache-2.0
#include "fs/check.h"

#include "fs/acl.h"
#include "fs/inode_edit.h"
#include "snapshot/evidence.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

namespace amberfs {
namespace {

// What the pass has seen of the inode that it stands in. Keys sort by inode, then by tag.
struct Current {
  Ino ino = kNoIno;
  std::optional<InodeRecord> record;
  std::uint64_t names = 0;           // PARENT entries
  std::uint64_t subdirectories = 0;  // DIRENT entries of directories
  std::uint64_t entries = 0;
  std::optional<std::uint64_t> target_size;
  std::uint64_t extents_end = 0;
  bool extents_seen = false;
};

class Checker {
 public:
  Checker(const View& view, const CheckOptions& options) : view_(view), options_(options) {}

  Result<CheckReport> run() {
    std::unique_ptr<Cursor> cursor = view_.cursor();
    TRY(cursor->seek({}));
    while (cursor->valid()) {
      TRY(entry(cursor->key(), cursor->value()));
      TRY(cursor->next());
    }
    TRY(leave_inode());
    check_ways_up();
    return std::move(report_);
  }

 private:
  template <class... Args>
  void found(Ino ino, fmt::format_string<Args...> format, Args&&... args) {
    ++report_.finding_count;
    if (report_.findings.size() >= options_.findings_max) return;
    report_.findings.push_back({ino, fmt::format(format, std::forward<Args>(args)...)});
  }

  Status entry(ByteView raw_key, ByteView value) {
    Result<ParsedKey> key = parse_key(raw_key);
    if (!key) {
      found(kNoIno, "a key of {} bytes is none of the map's", raw_key.size());
      return ok();
    }
    if (key->tag == Tag::kOrphan) return orphan(key->number);
    if (key->tag == Tag::kEvidence) return evidence(key->number, value);
    if (key->ino != current_.ino) {
      TRY(leave_inode());
      current_ = Current{.ino = key->ino, .record = {}, .target_size = {}};
    }
    if (key->tag == Tag::kInode) return inode(value);
    if (key->tag == Tag::kExtent && view_.has_overlays()) return extents_in_layers(key->ino);
    if (!current_.record) {
      found(key->ino, "an entry (tag {}) without an inode", static_cast<int>(key->tag));
    }
    switch (key->tag) {
      case Tag::kParent:
        return parent(*key);
      case Tag::kXattr:
        return xattr(*key, value);
      case Tag::kTarget:
        current_.target_size = value.size();
        return ok();
      case Tag::kDirent:
        return dirent(*key, value);
      case Tag::kExtent:
        return extent(*key, value);
      default:
        return ok();
    }
  }

  Status orphan(Ino ino) {
    ++report_.orphan_count;
    TRY_ASSIGN(std::optional<InodeRecord> record, view_.find_inode(ino));
    if (!record) found(ino, "listed as an orphan, but there is no such inode");
    if (record && record->nlink != 0) found(ino, "listed as an orphan, but it has names");
    return ok();
  }

  // Their keys come first, so what is evidence is known when its inode comes.
  Status evidence(Ino ino, ByteView value) {
    ++report_.evidence_count;
    evidence_.insert(ino);
    if (!decode_evidence(value)) found(ino, "its record as evidence cannot be read");
    TRY_ASSIGN(std::optional<InodeRecord> record, view_.find_inode(ino));
    if (!record) found(ino, "listed as evidence, but there is no such inode");
    if (record && record->nlink != 0) found(ino, "listed as evidence, but it has names");
    return ok();
  }

  // Evidence is not counted, but while programs still have it open.
  Status count(const InodeRecord& record) {
    if (evidence_.contains(current_.ino)) {
      TRY_ASSIGN(const auto listed, view_.get(orphan_key(current_.ino)));
      if (!listed) return ok();
    }
    ++report_.totals.inode_count;
    if (is_regular(record.mode)) report_.totals.logical_bytes += record.size_bytes;
    return ok();
  }

  Status inode(ByteView value) {
    Result<InodeRecord> record = decode_inode(value);
    if (!record) {
      found(current_.ino, "its record cannot be read");
      return ok();
    }
    current_.record = *record;
    return count(*record);
  }

  Status parent(const ParsedKey& key) {
    ++current_.names;
    TRY_ASSIGN(std::optional<Dirent> dirent, view_.find_dirent(key.number, key.name));
    if (!dirent || dirent->ino != current_.ino) {
      found(current_.ino, "has the name \"{}\" in inode {}, which does not have it", key.name,
            key.number);
    }
    if (current_.record && is_directory(current_.record->mode)) {
      parent_of_[current_.ino] = key.number;
    }
    return ok();
  }

  Status dirent(const ParsedKey& key, ByteView value) {
    ++current_.entries;
    Result<Dirent> dirent = decode_dirent(value);
    if (!dirent) {
      found(current_.ino, "the entry \"{}\" cannot be read", key.name);
      return ok();
    }
    if (key.number != dirent_cookie(key.name)) {
      found(current_.ino, "the entry \"{}\" stands at the wrong place", key.name);
    }
    if (dirent->type == DT_DIR) ++current_.subdirectories;
    TRY_ASSIGN(std::optional<InodeRecord> child, view_.find_inode(dirent->ino));
    if (!child) {
      found(current_.ino, "the entry \"{}\" leads to inode {}, which is missing", key.name,
            dirent->ino);
      return ok();
    }
    if (IFTODT(child->mode) != dirent->type) {
      found(current_.ino, "the entry \"{}\" has another type than inode {}", key.name, dirent->ino);
    }
    TRY_ASSIGN(std::optional<Bytes> back,
               view_.get(parent_key(dirent->ino, current_.ino, key.name)));
    if (!back) {
      found(current_.ino, "the entry \"{}\" is not known to inode {}", key.name, dirent->ino);
    }
    return ok();
  }

  Status xattr(const ParsedKey& key, ByteView value) {
    if (key.name != kAclAccessName && key.name != kAclDefaultName) return ok();
    Result<std::optional<Acl>> acl = Acl::parse(value);
    if (!acl || !*acl) {
      found(current_.ino, "{} is no valid ACL", key.name);
    } else if (key.name == kAclAccessName && current_.record &&
               (*acl)->mode_bits() != (current_.record->mode & 0777U)) {
      found(current_.ino, "its ACL and its mode differ");
    }
    return ok();
  }

  // Layers hide each other's extents by range: only what shows through can be checked.
  Status extents_in_layers(Ino ino) {
    if (std::exchange(current_.extents_seen, true)) return ok();
    const bool has_record = current_.record.has_value();
    return view_.extents(ino, 0, kFileSizeMax, [&](const FileExtent& extent) {
      if (!has_record) found(ino, "an extent without an inode");
      if (extent.extent.in_journal() && !options_.journal_extents) {
        found(ino, "the extent that ends at {} stands in the journal", extent.end);
      }
      current_.extents_end = extent.end;
      return has_record;
    });
  }

  Status extent(const ParsedKey& key, ByteView value) {
    Result<Extent> extent = decode_extent(value);
    if (!extent || extent->length > key.number) {
      found(current_.ino, "the extent that ends at {} cannot be read", key.number);
      return ok();
    }
    if (key.number - extent->length < current_.extents_end) {
      found(current_.ino, "the extents that end at {} and {} overlap", current_.extents_end,
            key.number);
    }
    if (extent->in_journal() && !options_.journal_extents) {
      found(current_.ino, "the extent that ends at {} stands in the journal", key.number);
    }
    current_.extents_end = key.number;
    return ok();
  }

  Status leave_inode() {
    if (!current_.record) return ok();
    const InodeRecord& record = *current_.record;
    const Ino ino = current_.ino;
    const bool directory = is_directory(record.mode);
    if (directory) {
      check_directory(record);
    } else if (record.nlink != current_.names) {
      found(ino, "counts {} links and has {} names", record.nlink, current_.names);
    }
    if (current_.entries > 0 && !directory) found(ino, "has entries and is no directory");
    if (current_.extents_end > 0 && !is_regular(record.mode)) {
      found(ino, "has extents and is no regular file");
    }
    if (current_.extents_end > record.size_bytes) {
      found(ino, "has bytes up to {}, behind its size of {}", current_.extents_end,
            record.size_bytes);
    }
    if (S_ISLNK(record.mode) != current_.target_size.has_value() ||
        (current_.target_size && *current_.target_size != record.size_bytes)) {
      found(ino, "its symlink target does not fit its type and size");
    }
    if (record.nlink > 0 || evidence_.contains(ino)) return ok();
    TRY_ASSIGN(std::optional<Bytes> listed, view_.get(orphan_key(ino)));
    if (!listed) found(ino, "has no name and is not listed as an orphan");
    return ok();
  }

  void check_directory(const InodeRecord& record) {
    const Ino ino = current_.ino;
    const std::uint64_t names = ino == kRootIno || record.nlink == 0 ? 0 : 1;
    if (current_.names != names) found(ino, "is a directory with {} names", current_.names);
    if (record.nlink == 0) {
      if (current_.entries > 0) found(ino, "was removed and has entries");
    } else if (record.nlink != 2 + current_.subdirectories) {
      found(ino, "counts {} links and has {} subdirectories", record.nlink,
            current_.subdirectories);
    }
  }

  // Every directory leads up to the root; what is proved once is not walked again.
  void check_ways_up() {
    std::vector<Ino> way;
    for (const auto& [first, unused] : parent_of_) {
      way.clear();
      Ino ino = first;
      auto it = parent_of_.find(ino);
      while (it != parent_of_.end() && it->second != kRootIno && way.size() < parent_of_.size()) {
        way.push_back(ino);
        ino = it->second;
        it = parent_of_.find(ino);
      }
      if (it == parent_of_.end() || it->second != kRootIno) {
        found(first, "is a directory that does not lead up to the root");
      }
      for (Ino proved : way) parent_of_[proved] = kRootIno;  // once reported is enough
    }
  }

  const View& view_;
  const CheckOptions options_;
  CheckReport report_;
  Current current_;
  std::unordered_map<Ino, Ino> parent_of_;  // directories
  std::unordered_set<Ino> evidence_;
};

}  // namespace

Result<CheckReport> check_view(const View& view, const CheckOptions& options) {
  return Checker(view, options).run();
}

}  // namespace amberfs
