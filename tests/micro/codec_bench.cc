// SPDX-License-Identifier: Apache-2.0
// Codec: one block of log text of the chunker's average size, there and back. Bytes are plain ones;
// `ratio` is plain to stored.
#include "blockstore/chunker.h"
#include "blockstore/codec.h"
#include "tests/micro/bench.h"
#include "tests/micro/log_lines.h"

namespace amberfs::micro {
namespace {

constexpr int kDecodedLevel = 3;

Bytes average_block() {
  return log_lines(ChunkerOptions{}.size_average);
}

Status encode_at_level(benchmark::State& state) {
  const Bytes plain = average_block();
  const int level = static_cast<int>(state.range(0));
  Bytes buffer;
  Encoded encoded;
  for (auto _ : state) {
    encoded = encode_block(plain, level, buffer);
    benchmark::DoNotOptimize(encoded.stored.data());
  }
  TRY(require(encoded.codec == Codec::kZstd, "log text did not shrink"));
  TRY_ASSIGN(const Bytes decoded, decode_block(encoded.codec, encoded.stored, plain.size()));
  TRY(require(decoded == plain, "a block changed on its way"));
  state.counters["ratio"] =
      static_cast<double>(plain.size()) / static_cast<double>(encoded.stored.size());
  count_bytes(state, plain.size());
  return ok();
}

Status decode(benchmark::State& state) {
  const Bytes plain = average_block();
  Bytes buffer;
  const Encoded encoded = encode_block(plain, kDecodedLevel, buffer);
  TRY(require(encoded.codec == Codec::kZstd, "log text did not shrink"));
  Bytes decoded;
  for (auto _ : state) {
    TRY_ASSIGN(decoded, decode_block(encoded.codec, encoded.stored, plain.size()));
    benchmark::DoNotOptimize(decoded.data());
  }
  TRY(require(decoded == plain, "a block changed on its way"));
  count_bytes(state, plain.size());
  return ok();
}

BENCHMARK(checked<encode_at_level>)->Name("codec/encode")->ArgName("level")->Arg(1)->Arg(3)->Arg(9);
BENCHMARK(checked<decode>)->Name("codec/decode");

}  // namespace
}  // namespace amberfs::micro
