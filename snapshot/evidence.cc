// SPDX-License-Identifier: Apache-2.0
#include "snapshot/evidence.h"

namespace amberfs {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kRotation = 1;
constexpr std::uint8_t kOneOf = 2;
constexpr std::size_t kCommandSizeMax = 16;

void encode_text(Encoder& e, ByteView text) {
  e.u32(static_cast<std::uint32_t>(text.size())).bytes(text);
}

Bytes decode_text(Decoder& d) {
  const std::uint32_t size = d.u32();
  return Bytes(d.bytes(size));
}

}  // namespace

Bytes encode(const Evidence& evidence) {
  Encoder e;
  e.u8(kVersion).u8(static_cast<std::uint8_t>(evidence.kind));
  e.u8(static_cast<std::uint8_t>((evidence.rotation ? kRotation : 0) |
                                 (evidence.one_of ? kOneOf : 0)));
  e.u64(evidence.file).u64(evidence.begin).u64(evidence.end);
  e.u64(evidence.kept_bytes).u64(evidence.missed_bytes).u32(evidence.count);
  e.i64(evidence.first_ns).i64(evidence.last_ns);
  e.u32(evidence.uid).u32(evidence.gid).u32(evidence.pid);
  encode_text(e, evidence.command);
  encode_text(e, evidence.path);
  encode_text(e, evidence.other);
  return std::move(e).take();
}

Result<Evidence> decode_evidence(ByteView value) {
  Decoder d(value);
  const std::uint8_t version = d.u8();
  if (d.ok() && version > kVersion) return fail(Errc::kNewerFormat, 0, "read evidence");
  Evidence evidence;
  const std::uint8_t kind = d.u8();
  const std::uint8_t flags = d.u8();
  evidence.kind = static_cast<RemovalKind>(kind);
  evidence.rotation = (flags & kRotation) != 0;
  evidence.one_of = (flags & kOneOf) != 0;
  evidence.file = d.u64();
  evidence.begin = d.u64();
  evidence.end = d.u64();
  evidence.kept_bytes = d.u64();
  evidence.missed_bytes = d.u64();
  evidence.count = d.u32();
  evidence.first_ns = d.i64();
  evidence.last_ns = d.i64();
  evidence.uid = d.u32();
  evidence.gid = d.u32();
  evidence.pid = d.u32();
  evidence.command = decode_text(d);
  evidence.path = decode_text(d);
  evidence.other = decode_text(d);
  const bool known = kind >= static_cast<std::uint8_t>(RemovalKind::kOverwritten) &&
                     kind <= static_cast<std::uint8_t>(RemovalKind::kHidden);
  if (!d.done() || version != kVersion || !known || flags > (kRotation | kOneOf) ||
      evidence.begin > evidence.end || evidence.end > kFileSizeMax ||
      evidence.command.size() > kCommandSizeMax) {
    return fail(Errc::kCorrupt, 0, "read evidence: not a valid record");
  }
  return evidence;
}

const char* to_text(RemovalKind kind) {
  switch (kind) {
    case RemovalKind::kOverwritten:
      return "overwritten";
    case RemovalKind::kTruncated:
      return "truncated";
    case RemovalKind::kCleared:
      return "cleared";
    case RemovalKind::kDeleted:
      return "deleted";
    case RemovalKind::kReplaced:
      return "replaced";
    case RemovalKind::kHidden:
      return "hidden";
  }
  return "removed";
}

}  // namespace amberfs
