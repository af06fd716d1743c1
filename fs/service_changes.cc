// SPDX-License-Identifier: Apache-2.0
// Commands: diff, restore.
#include "blockstore/base/hash.h"
#include "fs/diff.h"
#include "fs/line_diff.h"
#include "fs/path_text.h"
#include "fs/restore.h"
#include "fs/service_call.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace amberfs {
namespace {

constexpr std::uint64_t kLineDiffBytesMax = 64 * kMiB;  // of each side
constexpr std::uint64_t kLineDiffTextMax = 8 * kMiB;    // of the answer
constexpr std::size_t kContextLines = 3;
constexpr std::size_t kEntriesMax = 20'000;  // of one page

const char* type_name(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
    case S_IFBLK:
      return "device";
    case S_IFIFO:
      return "fifo";
    default:
      return "socket";
  }
}

// Both sides as trees. The live one is committed first, so that it is one.
struct Sides {
  std::shared_ptr<const View> before;
  std::shared_ptr<const View> after;
};

std::shared_ptr<const View> view_of_root(Engine& engine, const BlockId& root) {
  return engine.view_of({.root = root}).view;
}

Result<std::shared_ptr<const View>> committed_view(const Call& call, const char* key) {
  TRY_ASSIGN(std::string snap, call.text(key, "live"));
  if (snap != "live") return call.view(key);
  Engine& engine = call.engine();
  if (MountHooks* hooks = engine.hooks(); hooks != nullptr) TRY(hooks->flush_kernel());
  TRY(engine.commit());
  return view_of_root(engine, engine.head().root);
}

// The token of a page: the two trees, and how many changes the pages before had. The live tree goes
// on changing between two pages.
struct Page {
  Sides sides;
  std::size_t skip = 0;
};

std::string page_token(const Sides& sides, std::size_t skip) {
  return fmt::format("{}-{}-{}", sides.before->tree().root().to_hex(),
                     sides.after->tree().root().to_hex(), skip);
}

Result<Page> page_of(const Call& call) {
  Page page;
  if (call.raw("skip").is_null()) {
    TRY_ASSIGN(page.sides.before, committed_view(call, "from"));
    TRY_ASSIGN(page.sides.after, committed_view(call, "to"));
    return page;
  }
  TRY_ASSIGN(std::string token, call.text("skip"));
  constexpr std::size_t kHexSize = 2 * sizeof(BlockId::bytes);
  BlockId before;
  BlockId after;
  const auto wrong = [&] { return fail(Errc::kBadRequest, 0, "read skip: no page token", token); };
  if (token.size() < 2 * kHexSize + 3 || token[kHexSize] != '-' || token[2 * kHexSize + 1] != '-') {
    return wrong();
  }
  if (!from_hex(token.substr(0, kHexSize), before.bytes.data(), before.bytes.size()) ||
      !from_hex(token.substr(kHexSize + 1, kHexSize), after.bytes.data(), after.bytes.size())) {
    return wrong();
  }
  const char* end = token.data() + token.size();
  const auto number = std::from_chars(token.data() + 2 * kHexSize + 2, end, page.skip);
  if (number.ec != std::errc() || number.ptr != end) return wrong();
  page.sides = {view_of_root(call.engine(), before), view_of_root(call.engine(), after)};
  return page;
}

Result<Bytes> text_of(const Call& call, const View& view, Ino ino, std::uint64_t size) {
  Bytes text(size, '\0');
  if (ino == kNoIno || size == 0) return Bytes();
  TRY_ASSIGN(std::size_t got, call.engine().data().read(view, ino, 0, text.data(), text.size()));
  text.resize(got);
  return text;
}

bool is_binary(ByteView text) {
  return text.substr(0, 64 * kKiB).find('\0') != ByteView::npos;
}

Result<std::string> line_diff(const Call& call, const Sides& sides, const PathChange& change) {
  if (!S_ISREG(change.mode) || change.kind == ChangeKind::kType) return std::string();
  if (change.size_before > kLineDiffBytesMax || change.size_after > kLineDiffBytesMax) {
    return std::string("(larger than 64 MiB: not compared by lines)\n");
  }
  const bool has_before = change.kind != ChangeKind::kAdded;
  const bool has_after = change.kind != ChangeKind::kRemoved;
  TRY_ASSIGN(Bytes before, text_of(call, *sides.before, has_before ? change.ino_before : kNoIno,
                                   change.size_before));
  TRY_ASSIGN(Bytes after,
             text_of(call, *sides.after, has_after ? change.ino_after : kNoIno, change.size_after));
  // Damage shows as NULs; a text that was damaged is still worth comparing with what it was.
  if (is_binary(before) || (before.empty() && is_binary(after))) {
    return std::string("(binary: not compared by lines)\n");
  }
  if (before == after) return std::string();
  return unified_diff(before, after, kContextLines);
}

Json to_json(const PathChange& change) {
  Json json{{"path", "/" + encode_path(change.path)},
            {"change", change_name(change.kind)},
            {"type", type_name(change.mode)},
            {"size_before", change.size_before},
            {"size_after", change.size_after}};
  if (!change.from_path.empty()) json["from"] = "/" + encode_path(change.from_path);
  if (!change.detail.empty()) json["detail"] = change.detail;
  return json;
}

// A file whose content cannot be read says so and lets the others be compared.
Result<std::string> line_diff_or_why(const Call& call, const Sides& sides,
                                     const PathChange& change) {
  auto text = line_diff(call, sides, change);
  if (text) {
    if (text->size() <= kLineDiffTextMax) return text;
    text->resize(text->rfind('\n', kLineDiffTextMax) + 1);
    *text += "(cut off: more than 8 MiB of differences)\n";
    return text;
  }
  const Errc code = text.error().code;
  if (code != Errc::kCorrupt && code != Errc::kBlockMissing) return text;
  return "(damaged: " + text.error().to_string() + ")\n";
}

Result<Reply> run_diff(const Call& call) {
  TRY_ASSIGN(Page page, page_of(call));
  const Sides& sides = page.sides;
  TRY_ASSIGN(auto filters, call.paths("paths"));
  TRY_ASSIGN(bool lines, call.flag("lines"));
  TRY_ASSIGN(auto changes, diff_views(call.engine().blocks(), {*sides.before, *sides.after},
                                      call.engine().data(), filters));
  Json list = Json::array();
  std::uint64_t text_bytes = 0;
  std::size_t at = std::min(page.skip, changes.size());
  for (; at < changes.size() && list.size() < kEntriesMax && text_bytes < kLineDiffTextMax; ++at) {
    Json entry = to_json(changes[at]);
    if (lines) {
      TRY_ASSIGN(std::string text, line_diff_or_why(call, sides, changes[at]));
      text_bytes += text.size();
      if (!text.empty()) entry["lines"] = std::move(text);
    }
    text_bytes += changes[at].path.size() + changes[at].from_path.size();
    list.push_back(std::move(entry));
  }
  Json reply{{"changes", std::move(list)}, {"total", changes.size()}};
  if (at < changes.size()) reply["next"] = page_token(sides, at);
  return make_reply(reply);
}

void add_paths(Json& reply, const std::string& name, const std::vector<Bytes>& paths) {
  constexpr std::size_t kPathsMax = 10'000;
  constexpr std::size_t kPathBytesMax = 512 * kKiB;  // as \xNN at most four times that
  Json list = Json::array();
  std::size_t bytes = 0;
  for (const Bytes& path : paths) {
    bytes += path.size();
    if (list.size() == kPathsMax || bytes > kPathBytesMax) break;
    list.push_back("/" + encode_path(path));
  }
  reply[name] = std::move(list);
  reply[name + "_count"] = paths.size();
}

Result<Reply> run_restore_lines(const Call& call, const Manifest& snapshot,
                                const std::vector<std::string>& wanted) {
  LineRestoreOptions options;
  TRY_ASSIGN(options.dry_run, call.flag("dry_run"));
  TRY_ASSIGN(options.drop_damaged, call.flag("replace_damaged", true));
  TRY_ASSIGN(auto paths, select_line_files(call.engine(), snapshot, wanted));
  Json files = Json::array();
  for (const std::string& path : paths) {
    TRY_ASSIGN(LineRestoreResult result, restore_lines(call.engine(), snapshot, path, options));
    Json file{{"path", "/" + encode_path(path)},
              {"lines_restored", result.lines_restored},
              {"damaged_lines_dropped", result.damaged_lines_dropped},
              {"size_before", result.size_before},
              {"size_after", result.size_after}};
    if (!options.dry_run) file["before"] = to_json(result.before);
    files.push_back(std::move(file));
  }
  if (!options.dry_run) {
    call.engine().audit().note("restore",
                               {{"from", snapshot.id}, {"paths", wanted}, {"lines", true}});
  }
  return make_reply({{"files", std::move(files)}, {"dry_run", options.dry_run}});
}

Result<Reply> run_restore(const Call& call) {
  TRY_ASSIGN(Manifest snapshot, call.snapshot("snap"));
  RestoreRequest request;
  TRY_ASSIGN(request.paths, call.paths("paths"));
  TRY_ASSIGN(request.exact, call.flag("exact"));
  TRY_ASSIGN(request.dry_run, call.flag("dry_run"));
  TRY_ASSIGN(bool lines, call.flag("lines"));
  if (request.paths.empty()) return fail(Errc::kBadRequest, 0, "restore: no path is given");
  if (lines) return run_restore_lines(call, snapshot, request.paths);
  TRY_ASSIGN(RestoreResult result, restore_paths(call.engine(), snapshot, request));
  Json reply{{"unchanged", result.unchanged}, {"dry_run", request.dry_run}};
  add_paths(reply, "restored", result.restored);
  add_paths(reply, "created", result.created);
  add_paths(reply, "removed", result.removed);
  add_paths(reply, "kept", result.kept);
  if (!request.dry_run) {
    reply["before"] = to_json(result.before);
    constexpr std::size_t kPathsNoted = 100;
    if (request.paths.size() > kPathsNoted) request.paths.resize(kPathsNoted);
    call.engine().audit().note("restore",
                               {{"from", snapshot.id},
                                {"before", result.before.id},
                                {"paths", request.paths},
                                {"files", result.restored.size() + result.created.size()}});
  }
  return make_reply(reply);
}

constexpr std::array kCommands{Command{"diff", run_diff}, Command{"restore", run_restore}};

}  // namespace

std::span<const Command> change_commands() {
  return kCommands;
}

}  // namespace amberfs
