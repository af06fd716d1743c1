// SPDX-License-Identifier: Apache-2.0
// Drives a fuzz target without libFuzzer: all seeds as they are, then changed ones, the same in
// every run (another AMBERFS_SEED gives others), until a count or a time is reached.
//   NAME_replay [--runs N] [--seconds S]    NAME_replay FILE…    NAME_replay --write-seeds DIR
// The input at hand stands in the file named by AMBERFS_FUZZ_INPUT, if that is set: what was there
// when it ended badly.
#include "tests/fuzz/fuzz_target.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

namespace amberfs::fuzz {
namespace {

using Random = std::mt19937_64;
constexpr std::size_t kInputSizeMax = 128 * kKiB;

std::size_t below(Random& random, std::size_t bound) {
  return bound == 0 ? 0 : random() % bound;
}

void put_number(Bytes& bytes, Random& random) {
  constexpr std::array<std::uint64_t, 12> kNumbers{0,          1,          0x7F,       0xFF,
                                                   0xFFFF,     0x7FFFFFFF, 0xFFFFFFFF, 0x100000000,
                                                   1ULL << 40, 1ULL << 62, ~0ULL >> 1, ~0ULL};
  constexpr std::array<std::size_t, 4> kWidths{1, 2, 4, 8};
  const std::size_t width = kWidths[below(random, kWidths.size())];
  if (bytes.size() < width) return;
  std::uint64_t number = kNumbers[below(random, kNumbers.size())];
  if (below(random, 3) == 0) number = bytes.size() - below(random, 4);
  std::memcpy(bytes.data() + below(random, bytes.size() - width + 1), &number, width);
}

// One small change, of the kinds that parsers fall over.
void change(Bytes& bytes, Random& random, const std::vector<Bytes>& seeds) {
  const std::size_t at = below(random, bytes.size());
  const std::size_t size = 1 + below(random, 32);
  switch (below(random, 8)) {
    case 0:
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
      break;
    case 2:
      if (!bytes.empty()) bytes[at] = static_cast<char>(random());
      break;
    case 3:
      put_number(bytes, random);
      break;
    case 4:
      bytes.erase(at, size);
      break;
    case 5:
      bytes.insert(at, size, static_cast<char>(random()));
      break;
    case 6:
      if (below(random, 4) == 0) bytes.resize(at);
      break;
    default: {
      const Bytes& other = seeds[below(random, seeds.size())];
      const std::size_t from = below(random, other.size());
      bytes.insert(at, other.substr(from, below(random, other.size()) + 1));
    }
  }
}

void run(const Bytes& input) {
  if (const char* path = std::getenv("AMBERFS_FUZZ_INPUT"); path != nullptr) {
    std::ofstream(path, std::ios::binary) << input;
  }
  (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

int run_changed(std::uint64_t runs_max, double seconds_max) {
  std::vector<Bytes> seeds;
  add_seeds([&](Bytes seed) { seeds.push_back(std::move(seed)); });
  if (seeds.empty()) {
    std::printf("there are no seeds\n");
    return 1;
  }
  for (const Bytes& seed : seeds) run(seed);
  const char* given = std::getenv("AMBERFS_SEED");
  Random random(given != nullptr ? std::strtoull(given, nullptr, 10) : 1);
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::uint64_t runs = 0;
  for (; runs < runs_max && elapsed() < seconds_max; ++runs) {
    Bytes input = seeds[below(random, seeds.size())];
    for (std::size_t n = 1 + below(random, 6); n > 0; --n) change(input, random, seeds);
    if (input.size() > kInputSizeMax) input.resize(kInputSizeMax);
    run(input);
  }
  std::printf("%zu seeds, %llu changed ones in %.1f s\n", seeds.size(),
              static_cast<unsigned long long>(runs), elapsed());
  return 0;
}

int replay(int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    std::ifstream file(paths[i], std::ios::binary);
    if (!file) {
      std::printf("cannot read %s\n", paths[i]);
      return 1;
    }
    run(Bytes(std::istreambuf_iterator<char>(file), {}));
  }
  return 0;
}

int start(int argc, char** argv) {
  silence_log();
  std::uint64_t runs = 100'000;
  double seconds = 1.5;
  int at = 1;
  for (; at + 1 < argc && std::string_view(argv[at]).starts_with("--"); at += 2) {
    const std::string_view option = argv[at];
    if (option == "--write-seeds") return write_seeds(argv[at + 1]) ? 0 : 1;
    if (option == "--runs") runs = std::strtoull(argv[at + 1], nullptr, 10);
    if (option == "--seconds") seconds = std::strtod(argv[at + 1], nullptr);
  }
  return at < argc ? replay(argc - at, argv + at) : run_changed(runs, seconds);
}

}  // namespace
}  // namespace amberfs::fuzz

int main(int argc, char** argv) {
  return amberfs::fuzz::start(argc, argv);
}
