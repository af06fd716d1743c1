// SPDX-License-Identifier: Apache-2.0
// Proofs: any bytes are a proof, or refused; what is accepted says of the one known file what is
// so. If the first byte is odd the digest at the end is made right, so that the fuzzer gets behind
// it.
#include "fs/proof.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_blocks.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

namespace amberfs {
namespace {

using fuzz::require;

constexpr ByteView kContent = "the first line\nthe second line\nthe third line\n";

SigningKey first_key() {
  auto secret = SecretBytes::copy_of(Bytes(SigningKey::kSecretSize, 'k'));
  require(secret.has_value());
  return SigningKey::from(*std::move(secret));
}

// A snapshot of a tree with one file, "log", and the proof of a part of it.
Bytes make_seed() {
  testing::MemoryBlocks blocks;
  constexpr Ino kFile = 2;
  InodeRecord directory{.mode = S_IFDIR | 0755U, .nlink = 2};
  InodeRecord file{.mode = S_IFREG | 0644U, .nlink = 1, .size_bytes = kContent.size()};
  const BlockId data = blocks.put(kContent, BlockKind::kData).value();
  Extent extent{.length = kContent.size(), .ends_at_cut = true, .block = data};
  std::vector<Change> changes{{inode_key(kRootIno), encode(directory)},
                              {dirent_key(kRootIno, "log"), encode(Dirent{kFile, DT_REG})},
                              {inode_key(kFile), encode(file)},
                              {parent_key(kFile, kRootIno, "log"), Bytes()},
                              {extent_key(kFile, kContent.size()), encode(extent)}};
  std::ranges::sort(changes, {}, &Change::key);
  Manifest manifest;
  manifest.sequence = 1;
  manifest.root = Tree(blocks, BlockId{}).apply(changes).value().root();
  (void)encode_manifest(manifest);
  const LinkSubject subject = link_subject(manifest);
  Link link{.number = 1,
            .sequence = subject.sequence,
            .time_ns = subject.time_ns,
            .id = subject.id,
            .previous = genesis_hash(first_key().public_key()),
            .next_key = first_key().public_key()};
  sign_link(link, first_key());
  manifest.link = link;
  Proof proof{.claim = {.path = "log", .ino = kFile, .inode = file, .offset = 4, .size = 9},
              .links = {link},
              .manifest = encode_manifest(manifest),
              .blocks = {}};
  for (const BlockId& id : {manifest.root, data}) {
    proof.blocks.push_back({std::nullopt, blocks.get(id).value()});
  }
  return encode_proof(proof).value();
}

void run(bool fix_digest, ByteView input) {
  static const PublicKey key = first_key().public_key();
  Bytes proof(input);
  if (fix_digest && proof.size() > sizeof(Sha256)) {
    proof.resize(proof.size() - sizeof(Sha256));
    const Sha256 digest = sha256(proof);
    proof.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  Bytes bytes;
  const auto proved = check_proof(proof, key, [&](ByteView piece) -> Status {
    bytes += piece;
    return ok();
  });
  if (!proved) return;
  const ProofClaim& claim = proved->claim;
  require(claim.inode.size_bytes == kContent.size());
  require(claim.offset <= kContent.size() && bytes == kContent.substr(claim.offset, claim.size));
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  const Bytes proof = make_seed();
  require(check_proof(proof, first_key().public_key()).has_value());
  add('\0' + proof);
  add('\1' + proof);
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 256 * amberfs::kKiB) return 0;
  amberfs::run((data[0] & 1) != 0, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
