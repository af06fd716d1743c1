// SPDX-License-Identifier: Apache-2.0
#include "fs/collect.h"

#include "blockstore/base/log.h"
#include "fs/engine.h"
#include "fs/view.h"

#include <dirent.h>
#include <malloc.h>

#include <algorithm>
#include <limits>
#include <ranges>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

namespace amberfs {
namespace {

class Marker {
 public:
  Marker(Blocks& blocks, const std::function<bool()>& keep_going)
      : blocks_(blocks), keep_going_(keep_going) {}

  Result<std::vector<LiveBlock>> run(std::span<const BlockId> roots);

 private:
  static constexpr std::uint32_t kNoPath = std::numeric_limits<std::uint32_t>::max();

  Status rank_paths(const BlockId& root);
  Status mark(const BlockId& root);
  Status mark_entry(ByteView key, ByteView value);
  [[nodiscard]] bool stopped() const { return keep_going_ && !keep_going_(); }

  Blocks& blocks_;
  const std::function<bool()>& keep_going_;
  std::unordered_map<Ino, std::uint32_t> ranks_;  // of inodes, in order of path
  std::unordered_set<BlockId> seen_;
  std::vector<LiveBlock> nodes_;  // in order of walk
  std::vector<LiveBlock> data_;   // by rank of their file
};

// Old and new generations of a log are neighbours in order of name, and so are old and new pieces
// of one file, which has the same inode in every tree.
Status Marker::rank_paths(const BlockId& root) {
  const View view({}, Tree(blocks_, root));
  std::vector<Ino> directories{kRootIno};
  std::uint32_t next = 0;
  while (!directories.empty()) {
    const Ino directory = directories.back();
    directories.pop_back();
    std::vector<std::pair<Bytes, Dirent>> entries;
    TRY(view.list_directory(directory, 0, [&](const View::DirectoryEntry& entry) {
      entries.emplace_back(entry.name, entry.dirent);
      return true;
    }));
    std::ranges::sort(entries, {}, [](const auto& entry) -> ByteView { return entry.first; });
    for (const auto& [name, dirent] : entries) {
      if (dirent.type != DT_DIR) ranks_.try_emplace(dirent.ino, next++);
    }
    for (const auto& [name, dirent] : entries | std::views::reverse) {
      if (dirent.type == DT_DIR) directories.push_back(dirent.ino);
    }
  }
  return ok();
}

Status Marker::mark_entry(ByteView key, ByteView value) {
  TRY_ASSIGN(const ParsedKey parsed, parse_key(key));
  if (parsed.tag != Tag::kExtent) return ok();
  TRY_ASSIGN(const Extent extent, decode_extent(value));
  if (extent.kind != ExtentKind::kBlock) return ok();
  const auto rank = ranks_.find(parsed.ino);
  data_.push_back({extent.block, rank == ranks_.end() ? kNoPath : rank->second});
  return ok();
}

Status Marker::mark(const BlockId& root) {
  const NodeVisitor visitor{
      .enter =
          [&](const BlockId& node) {
            if (!seen_.insert(node).second) return false;
            nodes_.push_back({node, 0});
            return true;
          },
      .entry = [&](ByteView key, ByteView value) -> Status {
        if (stopped()) return fail(Errc::kBroken, 0, "collect: the store is being closed");
        return mark_entry(key, value);
      },
      .damaged = [&](const BlockId&, const Error& error) -> Status { return fail(error); }};
  return walk_tree(blocks_, root, visitor);
}

// One entry for each block: the first place in the order.
void number_and_sort(std::vector<LiveBlock>& blocks) {
  std::uint32_t next = 0;
  for (LiveBlock& block : blocks) block.order = next++;
  std::ranges::sort(blocks, {}, [](const LiveBlock& b) { return std::tie(b.id, b.order); });
  const auto twice = std::ranges::unique(blocks, {}, &LiveBlock::id);
  blocks.erase(twice.begin(), twice.end());
}

Result<std::vector<LiveBlock>> Marker::run(std::span<const BlockId> roots) {
  if (!roots.empty()) TRY(rank_paths(roots.front()));
  for (const BlockId& root : roots) TRY(mark(root));
  seen_ = {};
  ranks_ = {};
  std::ranges::stable_sort(data_, {}, &LiveBlock::order);  // else in order of walk
  number_and_sort(data_);
  number_and_sort(nodes_);
  const auto middle = static_cast<std::ptrdiff_t>(data_.size());
  data_.insert(data_.end(), nodes_.begin(), nodes_.end());
  nodes_ = {};
  std::ranges::inplace_merge(data_, data_.begin() + middle, {}, &LiveBlock::id);
  // The bytes of a node may be those of a file, too.
  const auto twice = std::ranges::unique(data_, {}, &LiveBlock::id);
  data_.erase(twice.begin(), twice.end());
  return std::move(data_);
}

}  // namespace

std::shared_ptr<const void> RootPins::pin(const std::shared_ptr<RootPins>& pins,
                                          const BlockId& root) {
  MutexLock lock(pins->mu_);
  const auto place = pins->pinned_.insert(root);
  return {&*place, [pins, place](const BlockId*) {
            MutexLock unpin_lock(pins->mu_);
            pins->pinned_.erase(place);
          }};
}

void RootPins::replaced(const BlockId& root) {
  const auto now = Clock::now();
  MutexLock lock(mu_);
  replaced_.emplace_back(now, root);
  while (replaced_.size() > kKeptMax || now - replaced_.front().first > kKept) {
    replaced_.pop_front();
  }
}

std::vector<BlockId> RootPins::roots(std::chrono::seconds recent) {
  const auto now = Clock::now();
  MutexLock lock(mu_);
  std::vector<BlockId> roots(pinned_.begin(), pinned_.end());
  for (const auto& [when, root] : replaced_) {
    if (now - when < recent) roots.push_back(root);
  }
  return roots;
}

Result<std::vector<LiveBlock>> mark_live(Blocks& blocks, std::span<const BlockId> roots,
                                         const std::function<bool()>& keep_going) {
  return Marker(blocks, keep_going).run(roots);
}

// With commits excluded. After it no view of an older live tree is held: a commit waits for them.
Result<std::vector<BlockId>> Engine::begin_collect(const CollectOptions& options) {
  MutexLock lock(commit_mu_);
  if (live_->dirty()) TRY(commit_locked());
  TRY_ASSIGN(const Catalog::Inspection inspection, catalog_->inspect());
  if (!inspection.damaged.empty()) {
    const auto& [file, error] = inspection.damaged.front();
    return fail(Errc::kCorrupt, 0, "collect: a snapshot cannot be read, so nothing is dropped",
                file + ": " + error.tried);
  }
  TRY(blocks_->begin_collect());
  std::vector<BlockId> roots{head().root};
  for (const Manifest& manifest : inspection.good | std::views::reverse) {
    roots.push_back(manifest.root);
  }
  for (const BlockId& root : root_pins_->roots(options.recent)) roots.push_back(root);
  return roots;
}

Result<CompactReport> Engine::collect(const CollectOptions& options) {
  MutexLock run_lock(collect_mu_);
  CompactOptions compact = options.compact;
  compact.keep_going = [&] {
    if (collecting_stopped_) return false;
    return !options.compact.keep_going || options.compact.keep_going();
  };
  // An encoder for groups of 4 MiB takes 64 MiB: an eighth of the budget for all of them.
  constexpr std::uint64_t kEncoderBytes = 64 * kMiB;
  const std::uint64_t affordable = config_.memory_bytes / 8 / kEncoderBytes;
  compact.threads =
      static_cast<unsigned>(std::clamp<std::uint64_t>(affordable, 1, compact.threads));
  // What commits have freed: the allocator would keep it.
  ::malloc_trim(0);
  // The old packs go only when the new ones are there: so as not to fill the disk meanwhile.
  constexpr std::uint64_t kStepMin = 16 * kMiB;
  compact.step_bytes =
      std::clamp(space_->refresh().headroom_bytes / 2, kStepMin, compact.step_bytes);
  const auto run = [&]() -> Result<CompactReport> {
    TRY_ASSIGN(const std::vector<BlockId> roots, begin_collect(options));
    TRY_ASSIGN(const auto live, mark_live(*blocks_, roots, compact.keep_going));
    return blocks_->collect(live, compact);
  };
  auto report = run();
  blocks_->end_collect();
  if (report) {
    space_->refresh();
    // A mounted store would do it a second later; when room is short it waits for more.
    Status made = space_->is_tight() ? ok() : blocks_->protect(compact.keep_going);
    if (!made) {
      log_warning("collect: the new packs have no parity yet: {}", made.error().to_string());
    }
  }
  return report;
}

}  // namespace amberfs
