// SPDX-License-Identifier: Apache-2.0
#include "blockstore/chunker.h"

#include "blockstore/base/cipher.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace amberfs {
namespace {

// Bits by which the two masks differ from log2(size_average): FastCDC's normalization level 2,
// which keeps most chunks near the average.
constexpr unsigned kNormalization = 2;

// One random number per byte value, from splitmix64. Changing it changes where every file is cut,
// so that new versions of old files share nothing with what is stored: never change it.
constexpr GearTable make_gear() {
  GearTable gear{};
  std::uint64_t state = 0x616d62657266'73ULL;  // "amberfs"
  for (auto& value : gear) {
    state += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    value = z ^ (z >> 31);
  }
  return gear;
}

constexpr auto kGear = make_gear();

// The top bits of the gear hash: each of them depends on all 64 bytes of the window.
constexpr std::uint64_t top_bits(unsigned count) {
  return count == 0 ? 0 : ~std::uint64_t{0} << (64 - std::min(count, 64U));
}

std::uint64_t rolled(const std::uint64_t* gear, std::uint64_t hash, char byte) {
  return (hash << 1) + gear[static_cast<unsigned char>(byte)];
}

}  // namespace

// Four numbers of each HMAC-SHA-256 of 0, 1, … 63, a byte each.
std::shared_ptr<const GearTable> keyed_gear(ByteView key) {
  auto gear = std::make_shared<GearTable>();
  constexpr std::size_t kNumbersEach = sizeof(Sha256) / sizeof(std::uint64_t);
  for (std::size_t i = 0; i < gear->size() / kNumbersEach; ++i) {
    const char counter = static_cast<char>(i);
    const Sha256 drawn = hmac_sha256(key, {&counter, 1});
    std::memcpy(gear->data() + i * kNumbersEach, drawn.data(), drawn.size());
  }
  return gear;
}

Chunker::Chunker(const ChunkerOptions& options)
    : options_(options), gear_(options_.gear ? options_.gear->data() : kGear.data()) {
  // A cut is never looked for before a whole window of the chunk was seen.
  options_.size_min = std::max(options_.size_min, static_cast<std::uint32_t>(kWindow));
  options_.size_average = std::max(options_.size_average, options_.size_min);
  options_.size_max = std::max(options_.size_max, options_.size_average);
  const auto bits = static_cast<unsigned>(std::bit_width(options_.size_average) - 1);
  mask_small_ = top_bits(bits + kNormalization);
  mask_large_ = top_bits(bits - kNormalization);
}

void Chunker::resume(std::uint64_t position, ByteView context) {
  position_ = position;
  hash_ = 0;
  if (context.size() > kWindow) context.remove_prefix(context.size() - kWindow);
  for (char byte : context) hash_ = rolled(gear_, hash_, byte);
}

std::optional<std::size_t> Chunker::find_cut(ByteView bytes) {
  const std::uint64_t* const gear = gear_;
  std::size_t done = 0;
  // Bytes that leave the window before the first possible cut need not be hashed.
  const std::uint64_t warm = options_.size_min - kWindow;
  if (position_ < warm) {
    done = std::min<std::uint64_t>(bytes.size(), warm - position_);
    position_ += done;
  }
  // Consumes bytes until the chunk is `limit` long or the masked hash is zero; true: cut here.
  auto scan = [&](std::uint64_t limit, std::uint64_t mask) {
    if (position_ >= limit) return false;
    const std::size_t end = done + std::min<std::uint64_t>(bytes.size() - done, limit - position_);
    const std::size_t begin = done;
    std::uint64_t hash = hash_;
    bool cut = false;
    while (done < end && !cut) {
      hash = rolled(gear, hash, bytes[done++]);
      cut = (hash & mask) == 0;
    }
    position_ += done - begin;
    hash_ = hash;
    return cut;
  };
  // Fills the window without looking for a cut: a chunk is at least size_min long.
  auto roll_only = [&](std::uint64_t limit) {
    while (done < bytes.size() && position_ < limit) {
      hash_ = rolled(gear, hash_, bytes[done++]);
      ++position_;
    }
  };
  roll_only(options_.size_min - 1);
  if (scan(options_.size_average, mask_small_) || scan(options_.size_max, mask_large_) ||
      position_ >= options_.size_max) {
    position_ = 0;
    hash_ = 0;
    return done;
  }
  return std::nullopt;
}

}  // namespace amberfs
