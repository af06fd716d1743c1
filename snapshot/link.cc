// SPDX-License-Identifier: Apache-2.0
#include "snapshot/link.h"

#include "blockstore/base/coding.h"
#include "blockstore/base/hash.h"

#include <fmt/format.h>

#include <cstring>

namespace amberfs {
namespace {

constexpr std::string_view kLinkLabel = "amberfs chain link v1\n";
constexpr std::string_view kHashLabel = "amberfs chain link hash v1\n";
constexpr std::string_view kGenesisLabel = "amberfs chain genesis v1\n";
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kHeadDigits = 32;

template <std::size_t kSize>
ByteView view_of(const std::array<std::uint8_t, kSize>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <std::size_t kSize>
void take(Decoder& decoder, std::array<std::uint8_t, kSize>& target) {
  const ByteView bytes = decoder.bytes(kSize);
  if (decoder.ok()) std::memcpy(target.data(), bytes.data(), kSize);
}

void put_signed_part(const Link& link, Encoder& encoder) {
  encoder.u16(kVersion).u16(static_cast<std::uint16_t>(link.kind)).u32(0).u64(link.number);
  encoder.u64(link.sequence).i64(link.time_ns).bytes(view_of(link.id));
  encoder.bytes(view_of(link.previous)).bytes(link.key.view()).bytes(link.next_key.view());
}

Bytes signed_bytes(const Link& link) {
  Encoder encoder;
  encoder.bytes(kLinkLabel);
  put_signed_part(link, encoder);
  return std::move(encoder).take();
}

std::unexpected<Error> corrupt(const char* why) {
  return fail(Errc::kCorrupt, 0, std::string("read a link of the chain: ") + why);
}

}  // namespace

std::string_view to_text(LinkKind kind) {
  switch (kind) {
    case LinkKind::kSnapshot:
      return "snapshot";
    case LinkKind::kTombstone:
      return "tombstone";
    case LinkKind::kBegin:
      return "begin";
  }
  return "unknown";
}

Bytes encode_link(const Link& link) {
  Encoder encoder;
  put_signed_part(link, encoder);
  encoder.bytes(view_of(link.signature));
  return std::move(encoder).take();
}

Result<Link> decode_link(ByteView bytes) {
  if (bytes.size() != kLinkSize) return corrupt("it has not the size of one");
  Decoder decoder(bytes);
  Link link;
  const std::uint16_t version = decoder.u16();
  if (version > kVersion) return fail(Errc::kNewerFormat, 0, "read a link of the chain");
  if (version != kVersion) return corrupt("no such version");
  const std::uint16_t kind = decoder.u16();
  if (kind < 1 || kind > static_cast<std::uint16_t>(LinkKind::kBegin))
    return corrupt("no such kind");
  link.kind = static_cast<LinkKind>(kind);
  if (decoder.u32() != 0) return corrupt("a reserved field is set");
  link.number = decoder.u64();
  link.sequence = decoder.u64();
  link.time_ns = decoder.i64();
  take(decoder, link.id);
  take(decoder, link.previous);
  take(decoder, link.key.bytes);
  take(decoder, link.next_key.bytes);
  take(decoder, link.signature);
  if (!decoder.done()) return corrupt("too short");
  return link;
}

void sign_link(Link& link, const SigningKey& key) {
  link.key = key.public_key();
  link.signature = key.sign(signed_bytes(link));
}

Sha256 link_hash(const Link& link) {
  return sha256(Bytes(kHashLabel) + encode_link(link));
}

Sha256 genesis_hash(const PublicKey& first_key) {
  return sha256(Bytes(kGenesisLabel).append(first_key.view()));
}

ChainEnd ChainEnd::before_first(const PublicKey& first_key) {
  ChainEnd end;
  end.hash = genesis_hash(first_key);
  end.next_key = first_key;
  return end;
}

ChainEnd ChainEnd::after(const Link& link) {
  return {link.number, link.sequence, link.time_ns, link_hash(link), link.next_key};
}

std::string ChainEnd::to_text() const {
  return fmt::format("{}:{}", sequence, to_hex(view_of(hash)).substr(0, kHeadDigits));
}

std::string why_not_next(const ChainEnd& end, const Link& link) {
  if (link.number != end.length + 1) {
    return fmt::format("link {} stands where link {} belongs: links were removed or reordered",
                       link.number, end.length + 1);
  }
  if (link.key != end.next_key) {
    return end.length == 0 ? "it is signed with another key than the one given: the key is that of "
                             "another store, or the whole chain was replaced"
                           : "it is signed with another key than the link before it promised: it "
                             "was forged";
  }
  if (!is_signed_by(link.key, signed_bytes(link), link.signature)) {
    return "its signature is false: it was altered";
  }
  // What follows only who has the key could have made so.
  if (link.previous != end.hash) return "it does not follow the link before it: that was replaced";
  if (link.sequence <= end.sequence) return "its sequence does not grow";
  if (link.time_ns <= end.time_ns) return "its time does not grow: it was back-dated";
  return {};
}

}  // namespace amberfs
