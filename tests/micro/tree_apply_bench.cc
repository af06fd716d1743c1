// SPDX-License-Identifier: Apache-2.0
// Tree: changes all over a tree of 100,000 entries, applied as a commit does. Blocks in memory: the
// time is that of finding, building and hashing nodes. From the second time on the new nodes are
// there already, which saves their copy alone. `nodes` is how many each apply wrote.
#include "tests/micro/bench.h"
#include "tests/micro/file_map.h"
#include "tests/support/memory_blocks.h"

#include <algorithm>
#include <iterator>

namespace amberfs::micro {
namespace {

// Of writes to files at equal distances.
std::vector<Change> spread_changes(std::uint64_t count) {
  const std::uint64_t writes = count / kChangesPerWrite;
  std::vector<Change> changes;
  changes.reserve(count);
  for (std::uint64_t i = 0; i < writes; ++i) {
    std::vector<Change> write = write_changes(i * kFileCount / writes, 0, ExtentKind::kBlock);
    std::ranges::move(write, std::back_inserter(changes));
  }
  return changes;
}

Status require_changed(const Tree& tree, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    TRY_ASSIGN(const auto value, tree.get(change.key));
    TRY(require(value == change.value, "a change is not in the tree"));
  }
  return ok();
}

Status apply_changes(benchmark::State& state) {
  testing::MemoryBlocks blocks;
  TRY_ASSIGN(const Tree tree, Tree(blocks, BlockId{}).apply(file_entries()));
  const std::vector<Change> changes = spread_changes(static_cast<std::uint64_t>(state.range(0)));
  Tree changed = tree;
  const std::size_t puts_before = blocks.puts;
  for (auto _ : state) {
    TRY_ASSIGN(changed, tree.apply(changes));
    benchmark::DoNotOptimize(changed);
  }
  TRY(require_changed(changed, changes));
  state.counters["nodes"] = benchmark::Counter(static_cast<double>(blocks.puts - puts_before),
                                               benchmark::Counter::kAvgIterations);
  count_items(state, changes.size());
  return ok();
}

BENCHMARK(checked<apply_changes>)
    ->Name("tree_apply/changes")
    ->Arg(10)
    ->Arg(10'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace amberfs::micro
