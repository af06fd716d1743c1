// SPDX-License-Identifier: Apache-2.0
// Overlay and View: applying the batches of 10,000 writes, and reading through an overlay of them
// above a tree of 100,000 entries. Blocks in memory: a tree's node costs no disk, but its parse.
#include "fs/view.h"
#include "tests/micro/bench.h"
#include "tests/micro/file_map.h"
#include "tests/support/memory_blocks.h"

namespace amberfs::micro {
namespace {

constexpr std::uint64_t kWrittenFiles = 1000;
constexpr std::uint64_t kLinesPerFile = 10;

// Line after line, one file after the other, as programs that log side by side write them.
std::vector<Batch> write_batches() {
  std::vector<Batch> batches;
  batches.reserve(kWrittenFiles * kLinesPerFile);
  for (std::uint64_t line = 0; line < kLinesPerFile; ++line) {
    for (std::uint64_t file = 0; file < kWrittenFiles; ++file) {
      Batch& batch = batches.emplace_back(OpKind::kWrite);
      for (Change& change : write_changes(file, line, ExtentKind::kJournal)) {
        batch.put(std::move(change.key), *std::move(change.value));
      }
    }
  }
  return batches;
}

Status apply_writes(benchmark::State& state) {
  const std::vector<Batch> batches = write_batches();
  for (auto _ : state) {
    auto overlay = std::make_unique<Overlay>();
    for (const Batch& batch : batches) overlay->apply(batch);
    state.PauseTiming();
    TRY(require(overlay->entry_count() == kWrittenFiles * (1 + kLinesPerFile),
                "the overlay does not hold what was applied"));
    overlay.reset();
    state.ResumeTiming();
  }
  count_items(state, batches.size());
  return ok();
}

Result<View> live_view(Blocks& blocks) {
  TRY_ASSIGN(const Tree tree, Tree(blocks, BlockId{}).apply(file_entries()));
  auto overlay = std::make_shared<Overlay>();
  for (const Batch& batch : write_batches()) overlay->apply(batch);
  return View({std::move(overlay)}, tree);
}

// Inodes of files [first, end) in turn.
Status read_inodes(benchmark::State& state, std::uint64_t first, std::uint64_t end) {
  testing::MemoryBlocks blocks;
  TRY_ASSIGN(const View view, live_view(blocks));
  std::uint64_t file = first;
  for (auto _ : state) {
    TRY_ASSIGN(const InodeRecord inode, view.inode(file_ino(file)));
    benchmark::DoNotOptimize(inode.size_bytes);
    file = file + 1 < end ? file + 1 : first;
  }
  count_items(state, 1);
  return ok();
}

Status read_inode_in_overlay(benchmark::State& state) {
  return read_inodes(state, 0, kWrittenFiles);
}
Status read_inode_in_tree(benchmark::State& state) {
  return read_inodes(state, kWrittenFiles, kFileCount);
}

Status look_up_names(benchmark::State& state) {
  testing::MemoryBlocks blocks;
  TRY_ASSIGN(const View view, live_view(blocks));
  std::vector<Bytes> names;
  for (std::uint64_t file = 0; file < kFileCount; ++file) names.push_back(file_name(file));
  std::uint64_t file = 0;
  for (auto _ : state) {
    TRY_ASSIGN(const Dirent dirent, view.lookup(kRootIno, names[file]));
    if (dirent.ino != file_ino(file)) return require(false, "a name led to another file");
    file = file + 1 < kFileCount ? file + 1 : 0;
  }
  count_items(state, 1);
  return ok();
}

BENCHMARK(checked<apply_writes>)->Name("overlay/apply_10000_writes")->Unit(benchmark::kMillisecond);
BENCHMARK(checked<read_inode_in_overlay>)->Name("view/inode_in_overlay");
BENCHMARK(checked<read_inode_in_tree>)->Name("view/inode_in_tree");
BENCHMARK(checked<look_up_names>)->Name("view/lookup_name");

}  // namespace
}  // namespace amberfs::micro
