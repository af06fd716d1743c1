// SPDX-License-Identifier: Apache-2.0
// Journal: what an append costs (it goes to the kernel), and one with its sync (it goes to the
// disk), alone and where eight threads share flushes; the same of an encrypted store, with what a
// write costs before it. Bytes are those of the data alone.
#include "blockstore/store_cipher.h"
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

// Nothing is compressed, in both forms.
Result<Packing> sealing() {
  TRY_ASSIGN(const SecretBytes key, SecretBytes::random(kKeySize));
  Packing packing{.zstd_level = 0};
  TRY_ASSIGN(packing.cipher, StoreCipher::make(key));
  return packing;
}

Result<OpenJournal> open_journal(const Packing& packing) {
  TRY_ASSIGN(BenchDir directory, BenchDir::make());
  auto io = make_posix_io();
  TRY_ASSIGN(auto journal, Journal::open(*io, directory.path(), {.packing = packing}, {},
                                         [](const Batch&, const Appended&) { return ok(); }));
  return OpenJournal{std::move(directory), std::move(io), std::move(journal)};
}

void set_up(const benchmark::State&) {
  shared.emplace(open_journal({}));
}
std::optional<Packing> sealed;  // of the run
void set_up_sealed(const benchmark::State&) {
  auto packing = sealing();
  if (packing) sealed = *std::move(packing);
  shared.emplace(packing ? open_journal(*sealed) : fail(std::move(packing).error()));
}
void tear_down_sealed(const benchmark::State&) {
  shared.reset();
  sealed.reset();
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

// The same as an encrypted store writes it; `area` must outlive it.
Batch sealed_batch(ByteView data, Bytes& area) {
  Batch batch(OpKind::kWrite, {1, 1000, 1000, 4242, "nginx"});
  InodeRecord inode;
  inode.size_bytes = data.size();
  Extent extent{ExtentKind::kPacked, static_cast<std::uint32_t>(data.size())};
  extent.position = batch.append_data(pack_data(data, *sealed, area));
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
  Bytes area;
  const auto append = [&] {
    return sealed ? journal.append(sealed_batch(data, area)) : journal.append(batch);
  };
  for (auto _ : state) {
    TRY_ASSIGN(const Appended appended, append());
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
BENCHMARK(checked<append_line>)
    ->Name("journal_append_sealed/line")
    ->Setup(set_up_sealed)
    ->Teardown(tear_down_sealed)
    ->UseRealTime();
BENCHMARK(checked<append_lines>)
    ->Name("journal_append_sealed/bytes")
    ->Arg(4 * kKiB)
    ->Arg(1 * kMiB)
    ->Setup(set_up_sealed)
    ->Teardown(tear_down_sealed)
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
