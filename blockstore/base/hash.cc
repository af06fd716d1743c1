// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/hash.h"

#include "blockstore/base/random.h"

#include <openssl/evp.h>
#define XXH_STATIC_LINKING_ONLY  // the streaming state on the stack
#include <xxhash.h>

#include <cstdlib>

namespace amberfs {

Sha256 sha256(ByteView bytes) {
  Sha256 digest{};
  unsigned size = 0;
  // Fails only when OpenSSL cannot allocate or lacks SHA-256; no block may be named wrongly then.
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != digest.size()) {
    std::abort();
  }
  return digest;
}

std::uint64_t xxh3(ByteView bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t xxh3_of_two(ByteView first, ByteView second) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, first.data(), first.size());
  XXH3_64bits_update(&state, second.data(), second.size());
  return XXH3_64bits_digest(&state);
}

std::uint64_t xxh3_of_parts(ByteView first, std::span<const ByteView> rest) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, first.data(), first.size());
  for (ByteView part : rest) XXH3_64bits_update(&state, part.data(), part.size());
  return XXH3_64bits_digest(&state);
}

std::string to_hex(ByteView bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (char c : bytes) {
    auto b = static_cast<unsigned char>(c);
    text.push_back(kDigits[b >> 4]);
    text.push_back(kDigits[b & 15]);
  }
  return text;
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

bool from_hex(std::string_view text, std::uint8_t* target, std::size_t size) {
  if (text.size() != size * 2) return false;
  for (std::size_t i = 0; i < size; ++i) {
    int high = hex_digit(text[2 * i]);
    int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    target[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

Bytes random_bytes(std::size_t size) {
  Bytes bytes(size, '\0');
  fill_random(bytes.data(), size);
  return bytes;
}

}  // namespace amberfs
