// SPDX-License-Identifier: Apache-2.0
// What encryption costs: a stream of log lines put and published, and read again, in a plain store
// (form:0) and in an encrypted one (form:1); looking a block up in each index; a frame by itself.
// Compare the two forms of one run: --benchmark_enable_random_interleaving
// --benchmark_repetitions=7
#include "blockstore/block_store.h"
#include "blockstore/chunker.h"
#include "blockstore/frame_cipher.h"
#include "tests/micro/bench.h"
#include "tests/micro/log_lines.h"

namespace amberfs::micro {
namespace {

constexpr std::size_t kStreamBytes = 512 * kMiB;

Result<std::shared_ptr<const StoreCipher>> cipher_of(const benchmark::State& state) {
  if (state.range(0) == 0) return std::shared_ptr<const StoreCipher>();
  TRY_ASSIGN(const SecretBytes key, SecretBytes::copy_of(Bytes(kKeySize, 'k')));
  return StoreCipher::make(key);
}

const Bytes& stream() {
  static const Bytes bytes = log_lines(kStreamBytes);
  return bytes;
}

struct OpenStore {
  BenchDir directory;
  std::unique_ptr<Io> io;
  ChunkerOptions chunking;
  std::unique_ptr<BlockStore> store;
};

Result<OpenStore> new_store(const benchmark::State& state) {
  TRY_ASSIGN(BenchDir directory, BenchDir::make());
  OpenStore open{std::move(directory), make_posix_io(), {}, nullptr};
  BlockStoreOptions options;
  options.cache_size_bytes = 0;  // so that what is read comes from the packs
  TRY_ASSIGN(options.cipher, cipher_of(state));
  if (options.cipher) open.chunking.gear = keyed_gear(options.cipher->chunker_key());
  TRY(BlockStore::create(*open.io, open.directory.path(), options));
  TRY_ASSIGN(open.store, BlockStore::open(*open.io, open.directory.path(), options));
  return open;
}

Result<std::vector<BlockId>> put_stream(OpenStore& open) {
  Chunker chunker(open.chunking);
  std::vector<BlockId> ids;
  for (ByteView rest = stream(); !rest.empty();) {
    const ByteView chunk = rest.substr(0, chunker.find_cut(rest).value_or(rest.size()));
    TRY_ASSIGN(const BlockId id, open.store->put(chunk, BlockKind::kData));
    ids.push_back(id);
    rest.remove_prefix(chunk.size());
  }
  TRY(open.store->publish("head"));
  return ids;
}

Status put_and_publish(benchmark::State& state) {
  (void)stream();
  for (auto _ : state) {
    state.PauseTiming();
    TRY_ASSIGN(OpenStore open, new_store(state));
    state.ResumeTiming();
    TRY_ASSIGN(const auto ids, put_stream(open));
    state.PauseTiming();
    TRY_ASSIGN(const BlockStoreStats stats, open.store->stats());
    TRY(require(stats.plain_bytes == kStreamBytes, "bytes that were put are missing"));
    state.counters["stored"] = static_cast<double>(stats.pack_bytes);
    TRY(open.store->close());
    state.ResumeTiming();
  }
  count_bytes(state, kStreamBytes);
  return ok();
}

Status get_all(benchmark::State& state) {
  TRY_ASSIGN(OpenStore open, new_store(state));
  TRY_ASSIGN(const auto ids, put_stream(open));
  for (auto _ : state) {
    std::size_t bytes = 0;
    for (const BlockId& id : ids) {
      TRY_ASSIGN(const BlockData data, open.store->get(id));
      bytes += data->size();
    }
    TRY(require(bytes == kStreamBytes, "bytes that were put are missing"));
  }
  count_bytes(state, kStreamBytes);
  return open.store->close();
}

// A frame of `range(1)` encoded bytes, made and taken apart.
Status make_frame(benchmark::State& state) {
  TRY_ASSIGN(const auto cipher, cipher_of(state));
  const FrameCipher frames(cipher);
  const Bytes encoded = log_lines(static_cast<std::size_t>(state.range(1)));
  const FrameHeader header{.plain_size = static_cast<std::uint32_t>(encoded.size())};
  for (auto _ : state) {
    const StoredFrame frame = frames.store(PackId{}, header, encoded);
    benchmark::DoNotOptimize(frame.stored().data());
  }
  count_bytes(state, encoded.size());
  return ok();
}

Status open_frame(benchmark::State& state) {
  TRY_ASSIGN(const auto cipher, cipher_of(state));
  const FrameCipher frames(cipher);
  const Bytes encoded = log_lines(static_cast<std::size_t>(state.range(1)));
  const FrameHeader header{.plain_size = static_cast<std::uint32_t>(encoded.size())};
  const StoredFrame frame = frames.store(PackId{}, header, encoded);
  for (auto _ : state) {
    TRY(check_frame(PackId{}, frame.raw_header, frame.stored()));
    TRY_ASSIGN(const OpenedFrame opened, frames.open(PackId{}, frame.header, frame.stored()));
    TRY(require(opened.encoded().size() == encoded.size(), "a frame changed its size"));
  }
  count_bytes(state, encoded.size());
  return ok();
}

BENCHMARK(checked<put_and_publish>)
    ->Name("encryption/put_512MiB")
    ->ArgName("form")
    ->DenseRange(0, 1)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->UseRealTime();
BENCHMARK(checked<get_all>)
    ->Name("encryption/get_512MiB")
    ->ArgName("form")
    ->DenseRange(0, 1)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->UseRealTime();
BENCHMARK(checked<make_frame>)
    ->Name("encryption/make_frame")
    ->ArgNames({"form", "size"})
    ->ArgsProduct({{0, 1}, {64, 4096, 128 * 1024, 1024 * 1024}});
BENCHMARK(checked<open_frame>)
    ->Name("encryption/open_frame")
    ->ArgNames({"form", "size"})
    ->ArgsProduct({{0, 1}, {64, 4096, 128 * 1024, 1024 * 1024}});

}  // namespace
}  // namespace amberfs::micro
