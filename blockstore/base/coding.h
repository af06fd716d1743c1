// SPDX-License-Identifier: Apache-2.0
// Little-endian encoders and a bounds-checked decoder: the only way bytes of a format are made or
// read (no struct is ever cast onto a buffer).
// Use: Encoder e; e.u32(magic).u64(seq).bytes(name);   Bytes out = std::move(e).take();
//      Decoder d(bytes); auto magic = d.u32(); … if (!d.ok()) return fail(Errc::kCorrupt, …);
// Errors: a Decoder that would read past the end turns !ok() for good and yields zeros.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "blockstore/base/bytes.h"

namespace amberfs {

static_assert(std::endian::native == std::endian::little,
              "amberfs is built for little-endian machines; the formats are little-endian");

template <class T>
inline void store_le(char* target, T value) {
  std::memcpy(target, &value, sizeof value);
}

template <class T>
[[nodiscard]] inline T load_le(const char* source) {
  T value;
  std::memcpy(&value, source, sizeof value);
  return value;
}

class Encoder {
 public:
  Encoder& u8(std::uint8_t v) { return put(v); }
  Encoder& u16(std::uint16_t v) { return put(v); }
  Encoder& u32(std::uint32_t v) { return put(v); }
  Encoder& u64(std::uint64_t v) { return put(v); }
  Encoder& i64(std::int64_t v) { return put(v); }
  // Order-preserving: big-endian, for keys of the map only.
  Encoder& be64(std::uint64_t v) { return put(__builtin_bswap64(v)); }
  // LEB128, at most 10 bytes.
  Encoder& varint(std::uint64_t v) {
    while (v >= 0x80) {
      out_.push_back(static_cast<char>(v | 0x80));
      v >>= 7;
    }
    out_.push_back(static_cast<char>(v));
    return *this;
  }
  Encoder& bytes(ByteView v) {
    out_.append(v);
    return *this;
  }
  Encoder& prefixed(ByteView v) { return varint(v.size()).bytes(v); }

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] ByteView view() const { return out_; }
  [[nodiscard]] Bytes& buffer() { return out_; }
  [[nodiscard]] Bytes take() && { return std::move(out_); }

 private:
  template <class T>
  Encoder& put(T v) {
    char raw[sizeof v];
    store_le(raw, v);
    out_.append(raw, sizeof v);
    return *this;
  }

  Bytes out_;
};

class Decoder {
 public:
  explicit Decoder(ByteView in) : in_(in) {}

  std::uint8_t u8() { return get<std::uint8_t>(); }
  std::uint16_t u16() { return get<std::uint16_t>(); }
  std::uint32_t u32() { return get<std::uint32_t>(); }
  std::uint64_t u64() { return get<std::uint64_t>(); }
  std::int64_t i64() { return get<std::int64_t>(); }
  std::uint64_t be64() { return __builtin_bswap64(get<std::uint64_t>()); }
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      std::uint8_t b = u8();
      v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    ok_ = false;
    return 0;
  }
  // A view into the input, valid as long as the input is.
  ByteView bytes(std::uint64_t size) {
    if (size > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    ByteView v = in_.substr(0, size);
    in_.remove_prefix(size);
    return v;
  }
  ByteView prefixed() { return bytes(varint()); }

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && in_.empty(); }
  [[nodiscard]] std::size_t remaining() const { return in_.size(); }

 private:
  template <class T>
  T get() {
    ByteView v = bytes(sizeof(T));
    return ok_ ? load_le<T>(v.data()) : T{};
  }

  ByteView in_;
  bool ok_ = true;
};

}  // namespace amberfs
