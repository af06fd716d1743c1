// SPDX-License-Identifier: Apache-2.0
#include "fs/proof_format.h"

#include "blockstore/base/coding.h"
#include "blockstore/codec.h"

#include <algorithm>
#include <cstring>

namespace amberfs {
namespace {

constexpr ByteView kMagic{"AMBPROOF", 8};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderSize = 16;
constexpr std::size_t kDigestSize = sizeof(Sha256);
constexpr int kZstdLevel = 9;
constexpr std::size_t kPathMax = 64 * kKiB;
constexpr std::size_t kManifestMax = 1 * kMiB;
// A section is at most a block's size: so many links go into one.
constexpr std::size_t kLinksPerSection = 16 * 1024;

// On disk, never renumber. In this order; blocks last.
enum class SectionType : std::uint8_t { kClaim = 1, kLinks = 2, kManifest = 3, kBlock = 4 };

std::unexpected<Error> corrupt(const char* why) {
  return fail(Errc::kCorrupt, 0, std::string("read a proof: ") + why);
}

ByteView view_of(const Sha256& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

class Writer {
 public:
  Writer() { out_.bytes(kMagic).u32(kVersion).u32(0); }

  void section(SectionType type, ByteView plain, const Sha256* opening = nullptr) {
    const Encoded encoded = encode_block(plain, kZstdLevel, buffer_);
    out_.u8(static_cast<std::uint8_t>(type)).u8(static_cast<std::uint8_t>(encoded.codec));
    out_.u8(opening != nullptr ? 1 : 0).u8(0);
    out_.u32(static_cast<std::uint32_t>(plain.size()));
    out_.u32(static_cast<std::uint32_t>(encoded.stored.size()));
    if (opening != nullptr) out_.bytes(view_of(*opening));
    out_.bytes(encoded.stored);
    plain_bytes_ += plain.size();
  }
  [[nodiscard]] std::uint64_t plain_bytes() const { return plain_bytes_; }
  [[nodiscard]] Bytes finish() && {
    const Sha256 digest = sha256(out_.view());
    out_.bytes(view_of(digest));
    return std::move(out_).take();
  }

 private:
  Encoder out_;
  Bytes buffer_;
  std::uint64_t plain_bytes_ = 0;
};

Bytes encode_claim(const ProofClaim& claim) {
  Encoder encoder;
  encoder.u64(claim.ino).u64(claim.offset).u64(claim.size);
  encoder.prefixed(encode(claim.inode)).prefixed(claim.path);
  return std::move(encoder).take();
}

Result<ProofClaim> decode_claim(ByteView bytes) {
  Decoder decoder(bytes);
  ProofClaim claim;
  claim.ino = decoder.u64();
  claim.offset = decoder.u64();
  claim.size = decoder.u64();
  const ByteView inode = decoder.prefixed();
  claim.path = decoder.prefixed();
  if (!decoder.done() || claim.path.size() > kPathMax) return corrupt("its claim is damaged");
  if (claim.size > Proof::kRangeMax) return corrupt("it claims more bytes than a proof may");
  TRY_ASSIGN(claim.inode, decode_inode(inode));
  return claim;
}

Status decode_links(ByteView bytes, std::vector<Link>& links) {
  if (bytes.size() % kLinkSize != 0) return corrupt("its links are damaged");
  for (; !bytes.empty(); bytes.remove_prefix(kLinkSize)) {
    TRY_ASSIGN(links.emplace_back(), decode_link(bytes.substr(0, kLinkSize)));
  }
  return ok();
}

struct Section {
  SectionType type = SectionType::kClaim;
  std::optional<Sha256> opening;
  Bytes plain;
};

// Takes one section off; `budget`: plain bytes that may still come.
Result<Section> take_section(Decoder& decoder, std::uint64_t& budget) {
  Section section;
  const std::uint8_t type = decoder.u8();
  const auto codec = static_cast<Codec>(decoder.u8());
  const std::uint8_t has_opening = decoder.u8();
  const std::uint8_t reserved = decoder.u8();
  const std::uint32_t plain_size = decoder.u32();
  const std::uint32_t stored_size = decoder.u32();
  if (type < 1 || type > static_cast<std::uint8_t>(SectionType::kBlock) || has_opening > 1 ||
      reserved != 0) {
    return corrupt("a section of it is damaged");
  }
  section.type = static_cast<SectionType>(type);
  if (has_opening == 1) {
    const ByteView opening = decoder.bytes(kDigestSize);
    if (decoder.ok()) std::memcpy(section.opening.emplace().data(), opening.data(), kDigestSize);
  }
  const ByteView stored = decoder.bytes(stored_size);
  if (!decoder.ok()) return corrupt("it is cut off");
  if (plain_size > budget) return corrupt("it is larger than a proof may be");
  budget -= plain_size;
  TRY_ASSIGN(section.plain, decode_block(codec, stored, plain_size));
  return section;
}

Status add_section(Section section, Proof& proof, SectionType& last) {
  if (section.type < last) return corrupt("its sections are out of order");
  const bool twice = section.type == last && (section.type == SectionType::kClaim ||
                                              section.type == SectionType::kManifest);
  if (twice) return corrupt("a section of it stands twice");
  if (section.opening && section.type != SectionType::kBlock) {
    return corrupt("a section of it is damaged");
  }
  last = section.type;
  switch (section.type) {
    case SectionType::kClaim: {
      TRY_ASSIGN(proof.claim, decode_claim(section.plain));
      return ok();
    }
    case SectionType::kLinks:
      return decode_links(section.plain, proof.links);
    case SectionType::kManifest:
      if (section.plain.size() > kManifestMax) return corrupt("its manifest is too large");
      proof.manifest = std::move(section.plain);
      return ok();
    case SectionType::kBlock:
      proof.blocks.push_back(
          {section.opening, std::make_shared<const Bytes>(std::move(section.plain))});
      return ok();
  }
  return corrupt("a section of it is damaged");
}

}  // namespace

Result<Bytes> encode_proof(const Proof& proof) {
  Writer writer;
  writer.section(SectionType::kClaim, encode_claim(proof.claim));
  for (std::size_t from = 0; from < proof.links.size(); from += kLinksPerSection) {
    Bytes links;
    const std::size_t to = std::min(from + kLinksPerSection, proof.links.size());
    for (std::size_t i = from; i < to; ++i) links += encode_link(proof.links[i]);
    writer.section(SectionType::kLinks, links);
  }
  writer.section(SectionType::kManifest, proof.manifest);
  for (const Proof::Block& block : proof.blocks) {
    writer.section(SectionType::kBlock, *block.bytes, block.opening ? &*block.opening : nullptr);
  }
  if (writer.plain_bytes() > Proof::kPlainMax) {
    return fail(Errc::kBadRequest, 0,
                "prove: more than a proof holds (128 MiB): prove a part of it", proof.claim.path);
  }
  return std::move(writer).finish();
}

Result<Proof> decode_proof(ByteView bytes) {
  if (bytes.size() < kHeaderSize + kDigestSize || !bytes.starts_with(kMagic)) {
    return corrupt("it is none");
  }
  const ByteView body = bytes.substr(0, bytes.size() - kDigestSize);
  Decoder decoder(body);
  (void)decoder.bytes(kMagic.size());
  const std::uint32_t version = decoder.u32();
  if (version > kVersion) return fail(Errc::kNewerFormat, 0, "read a proof");
  if (version != kVersion || decoder.u32() != 0) return corrupt("its header is damaged");
  if (bytes.substr(body.size()) != view_of(sha256(body))) return corrupt("its digest is wrong");
  Proof proof;
  std::uint64_t budget = Proof::kPlainMax;
  auto last = static_cast<SectionType>(0);
  while (decoder.remaining() > 0) {
    TRY_ASSIGN(Section section, take_section(decoder, budget));
    TRY(add_section(std::move(section), proof, last));
  }
  return proof;
}

}  // namespace amberfs
