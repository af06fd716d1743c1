// SPDX-License-Identifier: Apache-2.0
#include "blockstore/scrub_state.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

constexpr ByteView kMagic{"AMBRSCRB", 8};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumSize = 8;

void encode_pass(Encoder& out, const ScrubPass& pass) {
  out.i64(pass.begin_ns).i64(pass.end_ns).u64(pass.bytes).u64(pass.repaired).u64(pass.lost);
}

ScrubPass decode_pass(Decoder& in) {
  ScrubPass pass;
  pass.begin_ns = in.i64();
  pass.end_ns = in.i64();
  pass.bytes = in.u64();
  pass.repaired = in.u64();
  pass.lost = in.u64();
  return pass;
}

void encode_pack(Encoder& out, const PackId& id) {
  out.bytes({reinterpret_cast<const char*>(id.data()), id.size()});
}

PackId decode_pack(Decoder& in) {
  PackId id{};
  const ByteView raw = in.bytes(id.size());
  if (in.ok()) std::memcpy(id.data(), raw.data(), id.size());
  return id;
}

PackPlace decode_place(Decoder& in) {
  PackPlace place;
  place.pack = decode_pack(in);
  place.offset = in.u64();
  return place;
}

}  // namespace

Bytes encode_scrub_state(const ScrubState& state) {
  Encoder out;
  out.bytes(kMagic).u32(kVersion).u32(0);
  encode_pass(out, state.last);
  encode_pass(out, state.current);
  encode_pack(out, state.place.pack);
  out.u64(state.place.offset);
  encode_pass(out, state.verify);
  encode_pack(out, state.verify_place.pack);
  out.u64(state.verify_place.offset);
  out.u32(static_cast<std::uint32_t>(state.checked_ns.size()));
  for (const auto& [pack, when] : state.checked_ns) {
    encode_pack(out, pack);
    out.i64(when);
  }
  out.u32(static_cast<std::uint32_t>(state.damaged.size()));
  for (const BlockId& id : state.damaged) out.bytes(id.view());
  const std::uint64_t checksum = xxh3(out.view());
  out.u64(checksum);
  return std::move(out).take();
}

Result<ScrubState> decode_scrub_state(ByteView raw) {
  Decoder in(raw.substr(0, raw.size() - std::min(raw.size(), kChecksumSize)));
  const ByteView magic = in.bytes(kMagic.size());
  const std::uint32_t version = in.u32();
  if (magic != kMagic) return fail(Errc::kCorrupt, 0, "scrub state: magic does not match");
  const std::size_t checked = raw.size() - kChecksumSize;
  if (load_le<std::uint64_t>(raw.data() + checked) != xxh3(raw.substr(0, checked))) {
    return fail(Errc::kCorrupt, 0, "scrub state: checksum does not match");
  }
  if (version > kVersion) {
    return fail(Errc::kNewerFormat, 0, "scrub state has version " + std::to_string(version));
  }
  (void)in.u32();  // reserved
  ScrubState state;
  state.last = decode_pass(in);
  state.current = decode_pass(in);
  state.place = decode_place(in);
  state.verify = decode_pass(in);
  state.verify_place = decode_place(in);
  for (std::uint32_t count = in.u32(); in.ok() && count > 0; --count) {
    const PackId pack = decode_pack(in);
    state.checked_ns[pack] = in.i64();
  }
  for (std::uint32_t count = in.u32(); in.ok() && count > 0; --count) {
    const ByteView id = in.bytes(BlockId::kSize);
    if (in.ok()) state.damaged.push_back(BlockId::from(id));
  }
  if (!in.done()) return fail(Errc::kCorrupt, 0, "scrub state: its counts do not fit its size");
  return state;
}

}  // namespace amberfs
