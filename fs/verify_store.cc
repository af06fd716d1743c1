// SPDX-License-Identifier: Apache-2.0
#include "fs/verify_store.h"

#include "fs/check.h"
#include "fs/path_text.h"

#include <map>
#include <unordered_set>

namespace amberfs {
namespace {

constexpr std::size_t kFindingsMax = 10'000;

class StoreVerifier {
 public:
  explicit StoreVerifier(Engine& engine) : engine_(engine) {}

  Result<VerifyReport> run(const VerifyOptions& options) {
    TRY(check_blocks(options));
    TRY_ASSIGN(auto inspection, engine_.catalog().inspect());
    for (const auto& [file, error] : inspection.damaged) {
      add({.kind = "manifest", .object = file, .what = error.to_string()});
    }
    if (const auto loss = engine_.journal().loss()) {
      add({.kind = "journal", .object = "journal", .snapshot = "live", .what = to_text(*loss)});
    }
    // A store that cannot commit any more is one to look at all the more.
    Status committed = engine_.is_only_looked_at() ? ok() : engine_.commit();
    if (!committed) {
      add({.kind = "journal",
           .object = "journal",
           .snapshot = "live",
           .what =
               "what is not in a commit yet was not looked at: " + committed.error().to_string()});
    }
    const Manifest live = {.root = engine_.head().root};
    const SnapshotView held = engine_.view_of(live);  // while what was live goes on changing
    TRY(check_tree(live, "live"));
    for (const Manifest& manifest : inspection.good) {
      TRY(check_tree(manifest, format_time(manifest.time_ns)));
    }
    report_.snapshots = inspection.good.size();
    TRY(check_consistency(live));
    TRY(check_audit(inspection.good));
    find_readable_around();
    return std::move(report_);
  }

 private:
  void add(VerifyFinding finding) {
    ++report_.finding_count;
    if (report_.findings.size() < kFindingsMax) report_.findings.push_back(std::move(finding));
  }

  // Findings of one file follow each other, in order of offset.
  void find_readable_around() {
    auto& all = report_.findings;
    const auto is_same_file = [](const VerifyFinding& a, const VerifyFinding& b) {
      return a.kind == b.kind && a.object == b.object && a.snapshot == b.snapshot;
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].kind != "file") continue;
      if (i > 0 && is_same_file(all[i - 1], all[i])) {
        all[i].before_begin = all[i - 1].offset + all[i - 1].size;
        all[i - 1].behind_end = all[i].offset;
      }
    }
  }

  Status check_blocks(const VerifyOptions& options) {
    TRY_ASSIGN(auto damages, engine_.blocks().verify(options));
    for (const Damage& damage : damages) {
      const bool is_parity = damage.file.ends_with(".parity");
      add({.kind = damage.block ? "frame"
                   : is_parity  ? "parity"
                                : "index",
           .object = damage.file,
           .offset = damage.offset,
           .size = damage.size,
           .what = damage.what});
      if (damage.block) damaged_.insert(*damage.block);
    }
    return ok();
  }

  // Every node not seen before in another tree; of damaged blocks, the files that need them.
  Status check_tree(const Manifest& manifest, const std::string& name) {
    const SnapshotView tree = engine_.view_of(manifest);
    const NodeVisitor visitor{
        .enter =
            [&](const BlockId& node) {
              // Trees that share a node with a damaged block below it are each to be named.
              if (damaged_.empty() && !seen_.insert(node).second) return false;
              ++report_.nodes;
              return true;
            },
        .entry = [&](ByteView key,
                     ByteView value) { return check_entry(*tree.view, name, key, value); },
        .damaged =
            [&](const BlockId& node, const Error& error) {
              add({.kind = "node",
                   .object = node.to_hex(),
                   .snapshot = name,
                   .what = error.to_string()});
              return ok();
            }};
    return walk_tree(engine_.blocks(), manifest.root, visitor);
  }

  Status check_entry(const View& view, const std::string& name, ByteView key, ByteView value) {
    const auto parsed = parse_key(key);
    if (!parsed) {
      add({.kind = "node", .snapshot = name, .what = parsed.error().to_string()});
      return ok();
    }
    if (parsed->tag != Tag::kExtent) return ok();
    const auto extent = decode_extent(value);
    if (!extent || extent->kind != ExtentKind::kBlock) {
      add(file_finding(view, name, *parsed, 0, "its extent is no valid record"));
      return ok();
    }
    ++report_.blocks;
    const auto there = engine_.blocks().contains(extent->block);
    if (!there && there.error().code != Errc::kIndexDamaged) return fail(there.error());
    const char* what = !there                             ? "the index cannot find its block"
                       : !*there                          ? "its block is missing"
                       : damaged_.contains(extent->block) ? "its block is damaged"
                                                          : nullptr;
    if (what != nullptr) add(file_finding(view, name, *parsed, extent->length, what));
    return ok();
  }

  static VerifyFinding file_finding(const View& view, const std::string& name, const ParsedKey& key,
                                    std::uint64_t size, const std::string& what) {
    const auto path = view.path_of(key.ino);
    const auto inode = view.inode(key.ino);
    const std::string object =
        path && *path ? "/" + encode_path(**path) : "inode " + std::to_string(key.ino);
    return {.kind = "file",
            .object = object,
            .snapshot = name,
            .offset = key.number - size,
            .size = size,
            .what = what,
            .behind_end = inode ? std::max(inode->size_bytes, key.number) : key.number};
  }

  Status check_consistency(const Manifest& live) {
    const SnapshotView tree = engine_.view_of(live);
    auto report = check_view(*tree.view, {.journal_extents = false});
    if (!report) {
      add({.kind = "inode", .snapshot = "live", .what = report.error().to_string()});
      return ok();
    }
    for (const CheckFinding& finding : report->findings) {
      add({.kind = "inode",
           .object = "inode " + std::to_string(finding.ino),
           .snapshot = "live",
           .what = finding.what});
    }
    return ok();
  }

  // The log by itself, and against what the snapshots say of it.
  Status check_audit(const std::vector<Manifest>& snapshots) {
    std::multimap<std::uint64_t, const Manifest*> expected;
    for (const Manifest& manifest : snapshots) {
      if (!manifest.audit_hash.empty()) expected.emplace(manifest.audit_size, &manifest);
    }
    const auto at = [&](const AuditPosition& position) {
      auto [it, end] = expected.equal_range(position.size);
      while (it != end) it = it->second->audit_hash == position.hash ? expected.erase(it) : ++it;
    };
    TRY_ASSIGN(const AuditCheck check, check_audit_log(engine_.io(), engine_.audit().path(),
                                                       engine_.audit().sealer(), {}, at));
    for (const AuditFinding& finding : check.findings) {
      add({.kind = "audit",
           .object = "audit.log",
           .offset = finding.offset,
           .size = finding.size,
           .what = "the line " + finding.what});
    }
    for (const auto& [size, manifest] : expected) {
      add({.kind = "audit",
           .object = "audit.log",
           .snapshot = format_time(manifest->time_ns),
           .size = size,
           .what = size > check.position.size
                       ? "it is shorter than it was at this snapshot: its end was cut off"
                       : "its beginning is not what it was at this snapshot"});
    }
    return ok();
  }

  Engine& engine_;
  VerifyReport report_;
  std::unordered_set<BlockId> seen_;
  std::unordered_set<BlockId> damaged_;
};

}  // namespace

Result<VerifyReport> verify_store(Engine& engine, const VerifyOptions& options) {
  return StoreVerifier(engine).run(options);
}

Result<VerifyReport> verify_store(
    Engine& engine, bool full, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  return verify_store(engine, {.full = full, .progress = progress});
}

}  // namespace amberfs
