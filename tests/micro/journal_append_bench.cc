// SPDX-License-Identifier: Apache-2.0
// Journal: what an append costs (it goes to the kernel), and one with its sync (it goes to the
// disk), alone and where eight threads share flushes. Bytes are those of the data alone.
#include "fs/journal.h"
#include "tests/micro/bench.h"
#include "tests/micro/log_lines.h"

#include <optional>

namespace amberfs::micro {
namespace {

struct OpenJournal {
  BenchDir directory;
  std::unique_ptr<Io> io;
  std::unique_ptr<Journal> journal;
};

// One for all threads of a run.
std::optional<Result<OpenJournal>> shared;

Result<OpenJournal> open_journal() {
  TRY_ASSIGN(BenchDir directory, BenchDir::make());
  auto io = make_posix_io();
  TRY_ASSIGN(auto journal, Journal::open(*io, directory.path(), {}, {},
                                         [](const Batch&, const Appended&) { return ok(); }));
  return OpenJournal{std::move(directory), std::move(io), std::move(journal)};
}

void set_up(const benchmark::State&) {
  shared.emplace(open_journal());
}
void tear_down(const benchmark::State&) {
  shared.reset();
}

// A write to a file. `data` must outlive it.
Batch write_batch(ByteView data) {
  Batch batch(OpKind::kWrite, {1, 1000, 1000, 4242, "nginx"});
  InodeRecord inode;
  inode.size_bytes = data.size();
  Extent extent{ExtentKind::kJournal, static_cast<std::uint32_t>(data.size())};
  extent.position = batch.append_data(data);
  batch.put(inode_key(2), encode(inode));
  batch.put(extent_key(2, data.size()), encode(extent));
  return batch;
}

// What commits do for a journal: without it, it would fill the disk.
Status release(benchmark::State& state, Journal& journal, const Appended& last) {
  state.PauseTiming();
  TRY(journal.sync_to(last.seq));
  TRY(journal.release_before(last.segment));
  state.ResumeTiming();
  return ok();
}

Status append_to_shared(benchmark::State& state, ByteView data, bool sync) {
  if (!*shared) return fail(shared->error());
  Journal& journal = *(*shared)->journal;
  const Batch batch = write_batch(data);
  Appended last;
  for (auto _ : state) {
    TRY_ASSIGN(const Appended appended, journal.append(batch));
    if (sync) TRY(journal.sync_to(appended.seq));
    if (appended.segment != last.segment && last.seq > 0) TRY(release(state, journal, appended));
    last = appended;
  }
  if (sync) TRY(require(journal.durable_seq() >= last.seq, "a synced batch is not durable"));
  // All threads have left their loops.
  if (state.thread_index() == 0) TRY(journal.close());
  count_bytes(state, data.size());
  count_items(state, 1);
  return ok();
}

Status append_line(benchmark::State& state) {
  return append_to_shared(state, log_line(), false);
}
Status append_lines(benchmark::State& state) {
  return append_to_shared(state, log_lines(static_cast<std::size_t>(state.range(0))), false);
}
Status append_line_and_sync(benchmark::State& state) {
  return append_to_shared(state, log_line(), true);
}

BENCHMARK(checked<append_line>)
    ->Name("journal_append/line")
    ->Setup(set_up)
    ->Teardown(tear_down)
    ->UseRealTime();
BENCHMARK(checked<append_lines>)
    ->Name("journal_append/bytes")
    ->Arg(4 * kKiB)
    ->Arg(1 * kMiB)
    ->Setup(set_up)
    ->Teardown(tear_down)
    ->UseRealTime();
BENCHMARK(checked<append_line_and_sync>)
    ->Name("journal_append/line_and_sync")
    ->Threads(1)
    ->Threads(8)
    ->Setup(set_up)
    ->Teardown(tear_down)
    ->UseRealTime();

}  // namespace
}  // namespace amberfs::micro
