// SPDX-License-Identifier: Apache-2.0
// restore_lines: merges in memory, writes the lines that were lost into a nameless file (an orphan,
// so a crash leaves nothing behind), and then, by one batch, makes the live file consist of its
// unchanged beginning, the bytes of the nameless file, and its unchanged end, by sharing extents.
// What programs append between the merge and that batch belongs to the unchanged end.
#include "fs/extent_edit.h"
#include "fs/inode_edit.h"
#include "fs/line_merge.h"
#include "fs/path_text.h"
#include "fs/restore.h"
#include "fs/restore_plan.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

namespace amberfs {
namespace {

constexpr int kAttempts = 5;
constexpr std::size_t kPiece = 1 * kMiB;

Result<Bytes> read_all(Engine& engine, const View& view, Ino ino, std::uint64_t size) {
  Bytes bytes(size, '\0');
  TRY_ASSIGN(std::size_t got, engine.data().read(view, ino, 0, bytes.data(), bytes.size()));
  bytes.resize(got);
  return bytes;
}

Result<Ino> regular_file(const View& view, const std::string& path, const char* where) {
  const auto ino = view.resolve_path(path);
  if (!ino && ino.error().code != Errc::kPosix) return fail(ino.error());
  if (!ino) {
    return fail(Errc::kNoSuchPath, 0, std::string("find in ") + where, "/" + encode_path(path));
  }
  TRY_ASSIGN(InodeRecord record, view.inode(*ino));
  if (!S_ISREG(record.mode)) {
    return fail(Errc::kBadRequest, 0, "restore lines: not a regular file", "/" + encode_path(path));
  }
  return *ino;
}

// A file without a name that is removed when this goes.
class NamelessFile {
 public:
  static Result<std::unique_ptr<NamelessFile>> make(Engine& engine) {
    const Ino ino = engine.live().allocate_ino();
    {
      Mutation mutation(engine.live(), OpKind::kRestore);
      mutation.lock({ino});
      InodeRecord record;
      record.mode = S_IFREG | 0600;
      record.atime = record.mtime = record.ctime = record.btime = current_time();
      put_inode(mutation.batch(), ino, record);
      mutation.batch().put(orphan_key(ino), {});
      mutation.batch().add_totals(1, 0);
      TRY(mutation.apply());
    }
    TRY(engine.filesystem().open(ino, false, {}));
    return std::unique_ptr<NamelessFile>(new NamelessFile(engine, ino));
  }
  NamelessFile(const NamelessFile&) = delete;
  NamelessFile& operator=(const NamelessFile&) = delete;
  // An orphan that could not be dropped is dropped at the next mount.
  ~NamelessFile() { (void)engine_.filesystem().release(ino_).has_value(); }

  [[nodiscard]] Ino ino() const { return ino_; }
  Status write(ByteView bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
      TRY(engine_.filesystem().write({}, ino_, at, bytes.substr(at, kPiece), {}));
    }
    return ok();
  }

 private:
  NamelessFile(Engine& engine, Ino ino) : engine_(engine), ino_(ino) {}
  Engine& engine_;
  Ino ino_;
};

// The merged text as an edit of the live one: live[begin, end) becomes `middle`.
struct Splice {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  ByteView middle;
};

Splice splice_of(ByteView live, ByteView merged) {
  const std::size_t shorter = std::min(live.size(), merged.size());
  const auto begin = static_cast<std::size_t>(
      std::mismatch(live.begin(), live.begin() + static_cast<std::ptrdiff_t>(shorter),
                    merged.begin())
          .first -
      live.begin());
  std::size_t tail = 0;
  while (tail < shorter - begin &&
         live[live.size() - 1 - tail] == merged[merged.size() - 1 - tail]) {
    ++tail;
  }
  return {begin, live.size() - tail, merged.substr(begin, merged.size() - tail - begin)};
}

class LineRestorer {
 public:
  LineRestorer(Engine& engine, Ino ino, const std::string& path)
      : engine_(engine), ino_(ino), path_(path) {}

  // False: the file changed below what was merged; merge again.
  Result<bool> apply(ByteView live, const Splice& splice, LineRestoreResult& result) {
    TRY_ASSIGN(auto nameless, NamelessFile::make(engine_));
    TRY(nameless->write(splice.middle));
    bool stale = false;
    const auto change = [&]() -> Status {
      Mutation mutation(engine_.live(), OpKind::kRestore);
      mutation.lock({ino_, nameless->ino()});
      TRY_ASSIGN(InodeRecord record, mutation.view().inode(ino_));
      TRY_ASSIGN(bool same, begins_with(mutation.view(), record, live));
      // A last line that was not finished when it was merged may be longer now.
      const bool unfinished = !live.ends_with('\n') && splice.end == live.size();
      stale = !same || (unfinished && record.size_bytes > live.size());
      if (stale) return ok();
      TRY(edit(mutation, record, splice, nameless->ino()));
      result.size_before = record.size_bytes;
      result.size_after = record.size_bytes - (splice.end - splice.begin) + splice.middle.size();
      return mutation.apply();
    };
    MountHooks* hooks = engine_.hooks();
    const StaleCaches caches(hooks);
    if (hooks == nullptr) {
      TRY(change());
    } else {
      TRY(hooks->change_files({ino_}, change));
      hooks->invalidate_inode(ino_);
    }
    return !stale;
  }

 private:
  Result<bool> begins_with(const View& view, const InodeRecord& record, ByteView live) {
    if (record.size_bytes < live.size()) return false;
    Bytes piece(kPiece, '\0');
    for (std::size_t at = 0; at < live.size(); at += kPiece) {
      const std::size_t size = std::min(kPiece, live.size() - at);
      TRY_ASSIGN(std::size_t got, engine_.data().read(view, ino_, at, piece.data(), size));
      if (ByteView(piece).substr(0, got) != live.substr(at, size)) return false;
    }
    return true;
  }

  Status edit(Mutation& mutation, InodeRecord record, const Splice& splice, Ino nameless) {
    const View& view = mutation.view();
    ExtentEdit extents(view, ino_, mutation.batch());
    TRY_ASSIGN(std::uint64_t cleared, extents.clear(splice.begin, record.size_bytes));
    if (cleared < record.size_bytes) {
      return fail(Errc::kUnsupported, 0, "restore lines: the file has too many extents", path_);
    }
    TRY(view.extents(nameless, 0, splice.middle.size(), [&](const View::FileExtent& piece) {
      extents.put_shared(splice.begin + piece.end, piece.extent);
      return true;
    }));
    const std::uint64_t shifted_to = splice.begin + splice.middle.size();
    TRY(view.extents(ino_, splice.end, record.size_bytes, [&](const View::FileExtent& piece) {
      const std::uint64_t begin = std::max(piece.begin, splice.end);
      extents.put_shared(shifted_to + (piece.end - splice.end), slice(piece, begin, piece.end));
      return true;
    }));
    const std::uint64_t old_size = record.size_bytes;
    record.size_bytes = shifted_to + (old_size - splice.end);
    record.mtime = record.ctime = current_time();
    mutation.batch().add_totals(
        0, static_cast<std::int64_t>(record.size_bytes) - static_cast<std::int64_t>(old_size));
    put_inode(mutation.batch(), ino_, record);
    return ok();
  }

  Engine& engine_;
  const Ino ino_;
  const std::string& path_;
};

// The live file as a tree has it. For a dry run that is a commit, else the snapshot that keeps what
// is replaced. Both bring the kernel's dirty pages down first, so that the merge sees what programs
// wrote.
Result<SnapshotView> present(Engine& engine, const std::string& path, bool dry_run) {
  if (dry_run) {
    if (MountHooks* hooks = engine.hooks(); hooks != nullptr) TRY(hooks->flush_kernel());
    TRY(engine.commit());
    return engine.view_of({.root = engine.head().root});
  }
  TRY_ASSIGN(
      SnapshotResult before,
      engine.snapshot({.name = {},
                       .reason = fmt::format("before restoring lines of {}", encode_path(path)),
                       .kind = "before-restore",
                       .skip_if_unchanged = true}));
  return engine.view_of(before.manifest);
}

}  // namespace

Result<LineRestoreResult> restore_lines(Engine& engine, const Manifest& snapshot,
                                        const std::string& path,
                                        const LineRestoreOptions& options) {
  const SnapshotView source = engine.view_of(snapshot);
  TRY_ASSIGN(Ino source_ino, regular_file(*source.view, path, "the snapshot"));
  TRY_ASSIGN(InodeRecord source_record, source.view->inode(source_ino));
  LineRestoreResult result;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TRY_ASSIGN(SnapshotView now, present(engine, path, options.dry_run));
    result.before = now.manifest;
    TRY_ASSIGN(Ino ino, regular_file(*now.view, path, "the live tree"));
    TRY_ASSIGN(InodeRecord record, now.view->inode(ino));
    if (source_record.size_bytes > kLineRestoreBytesMax ||
        record.size_bytes > kLineRestoreBytesMax - source_record.size_bytes) {
      return fail(Errc::kUnsupported, 0,
                  "restore lines: both versions together are larger than 1 GiB; restore the file "
                  "elsewhere with --to and merge it there",
                  "/" + encode_path(path));
    }
    TRY_ASSIGN(Bytes good, read_all(engine, *source.view, source_ino, source_record.size_bytes));
    TRY_ASSIGN(Bytes live, read_all(engine, *now.view, ino, record.size_bytes));
    const LineMerge merge = merge_lines(good, live, {.drop_damaged = options.drop_damaged});
    result.lines_restored = merge.lines_restored;
    result.damaged_lines_dropped = merge.damaged_lines_dropped;
    result.size_before = live.size();
    result.size_after = merge.text.size();
    if (options.dry_run || merge.text == live) return result;
    LineRestorer restorer(engine, ino, path);
    TRY_ASSIGN(bool applied, restorer.apply(live, splice_of(live, merge.text), result));
    if (!applied) continue;
    TRY(engine.filesystem().sync());
    return result;
  }
  return fail(Errc::kFilesOpen, 0, "restore lines: a program keeps rewriting the file",
              "/" + encode_path(path));
}

Result<std::vector<std::string>> select_line_files(Engine& engine, const Manifest& snapshot,
                                                   const std::vector<std::string>& wanted) {
  const SnapshotView source = engine.view_of(snapshot);
  const auto live = engine.live_view();
  std::vector<std::string> files;
  for (const std::string& path : wanted) {
    const bool literal = source.view->resolve_path(path).has_value() || !has_wildcards(path);
    if (literal) {
      TRY(regular_file(*source.view, path, "the snapshot"));
      TRY(regular_file(*live, path, "the live tree"));
      files.push_back(path);
      continue;
    }
    TRY_ASSIGN(PathMap matches, select_paths(*source.view, {path}));
    const std::size_t before = files.size();
    for (const auto& [match, ino] : matches) {
      if (regular_file(*source.view, match, "") && regular_file(*live, match, "")) {
        files.push_back(match);
      }
    }
    if (files.size() == before) {
      return fail(Errc::kNoSuchPath, 0,
                  "restore lines: no file in the snapshot and in the live tree matches",
                  encode_path(path));
    }
  }
  std::ranges::sort(files);
  files.erase(std::ranges::unique(files).begin(), files.end());
  return files;
}

}  // namespace amberfs
