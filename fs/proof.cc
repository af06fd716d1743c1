// SPDX-License-Identifier: Apache-2.0
#include "fs/proof.h"

#include "blockstore/store_cipher.h"
#include "fs/extent_read.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace amberfs {
namespace {

constexpr std::size_t kPiece = 1 * kMiB;

// Remembers what is read through it, in order, each block once.
class RecordingBlocks final : public Blocks {
 public:
  explicit RecordingBlocks(Blocks& below) : below_(below) {}

  Result<BlockId> put(ByteView, BlockKind) override {
    return fail(Errc::kUnsupported, 0, "store a block while a proof is made");
  }
  Result<BlockData> get(const BlockId& id) override {
    TRY_ASSIGN(BlockData data, below_.get(id));
    if (!seen_.insert(id).second) return data;
    bytes_ += data->size();
    if (bytes_ > Proof::kPlainMax) {
      return fail(Errc::kBadRequest, 0,
                  "prove: more than a proof holds (128 MiB): prove a part of the file");
    }
    blocks_.push_back(data);
    return data;
  }
  Result<bool> contains(const BlockId& id) override { return below_.contains(id); }
  [[nodiscard]] const std::vector<BlockData>& blocks() const { return blocks_; }

 private:
  Blocks& below_;
  std::unordered_set<BlockId> seen_;
  std::vector<BlockData> blocks_;
  std::uint64_t bytes_ = 0;
};

// The blocks of a proof, under the ids that their bytes have.
class ProofBlocks final : public Blocks {
 public:
  Status add(const Proof::Block& block, bool keyed) {
    if (block.opening.has_value() != keyed) {
      return fail(Errc::kCorrupt, 0, "check a proof: its blocks have not the ids of its store");
    }
    const Sha256 hash = sha256(*block.bytes);
    const BlockId id = keyed ? id_from_opening(*block.opening, hash) : BlockId{hash};
    blocks_.emplace(id, block.bytes);
    return ok();
  }
  Result<BlockId> put(ByteView, BlockKind) override {
    return fail(Errc::kUnsupported, 0, "store a block in a proof");
  }
  Result<BlockData> get(const BlockId& id) override {
    const auto it = blocks_.find(id);
    if (it == blocks_.end()) {
      return fail(Errc::kCorrupt, 0, "check a proof: a block that it needs is missing or altered",
                  id.to_hex());
    }
    used_.insert(id);
    return it->second;
  }
  Result<bool> contains(const BlockId& id) override { return blocks_.contains(id); }
  [[nodiscard]] bool all_used() const { return used_.size() == blocks_.size(); }

 private:
  std::unordered_map<BlockId, BlockData> blocks_;
  std::unordered_set<BlockId> used_;
};

// What making and checking a proof have in common: looks the file up and reads the range, in
// pieces.
Result<ProofClaim> read_claim(Blocks& blocks, const BlockId& root, const std::string& path,
                              std::uint64_t offset, std::uint64_t size,
                              const std::function<Status(ByteView)>& sink) {
  const View view({}, Tree(blocks, root));
  ProofClaim claim{.path = path, .offset = offset};
  TRY_ASSIGN(claim.ino, view.resolve_path(path));
  TRY_ASSIGN(claim.inode, view.inode(claim.ino));
  if (!S_ISREG(claim.inode.mode)) {
    return fail(Errc::kBadRequest, 0, "prove: not a regular file", path);
  }
  claim.offset = std::min(offset, claim.inode.size_bytes);
  claim.size = std::min(size, claim.inode.size_bytes - claim.offset);
  if (claim.size > Proof::kRangeMax) {
    return fail(Errc::kBadRequest, 0, "prove: more than 1 GiB: prove a part of the file", path);
  }
  const DataReader reader(blocks, nullptr);
  Bytes piece;
  for (std::uint64_t done = 0; done < claim.size; done += piece.size()) {
    piece.resize(std::min<std::uint64_t>(kPiece, claim.size - done));
    TRY_ASSIGN(const std::size_t got,
               reader.read(view, claim.ino, claim.offset + done, piece.data(), piece.size()));
    if (got != piece.size()) return fail(Errc::kCorrupt, 0, "prove: the file is shorter", path);
    if (sink) TRY(sink(piece));
  }
  return claim;
}

// The links 1 … number, as STORE/chain has them; each proves the next.
Result<std::vector<Link>> links_up_to(Chain& chain, std::uint64_t number) {
  const auto key = chain.first_key();
  TRY_ASSIGN(const ChainFile::Records records, chain.read_records());
  std::vector<Link> links;
  ChainEnd end = ChainEnd::before_first(key.value_or(PublicKey{}));
  for (std::uint64_t at = 0; at < number; ++at) {
    if (at >= records.links.size() || !records.links[at] ||
        !why_not_next(end, *records.links[at]).empty()) {
      return fail(Errc::kCorrupt, 0,
                  fmt::format("prove: link {} of the chain is damaged; see amberfs verify, and "
                              "amberfs seal --mend",
                              at + 1));
    }
    links.push_back(*records.links[at]);
    end = ChainEnd::after(links.back());
  }
  return links;
}

std::unexpected<Error> does_not_hold(const std::string& why) {
  return fail(Errc::kCorrupt, 0, "check a proof: " + why);
}

// The snapshot's link, when the chain leads from the key to it.
Result<Link> follow_chain(const Proof& proof, const PublicKey& key) {
  ChainEnd end = ChainEnd::before_first(key);
  for (const Link& link : proof.links) {
    const std::string wrong = why_not_next(end, link);
    if (!wrong.empty()) return does_not_hold(fmt::format("link {}: {}", end.length + 1, wrong));
    end = ChainEnd::after(link);
  }
  if (proof.links.empty()) return does_not_hold("it has no chain");
  return proof.links.back();
}

}  // namespace

Result<Bytes> make_proof(Engine& engine, const Manifest& manifest, const std::string& path,
                         std::uint64_t offset, std::uint64_t size) {
  if (!manifest.link) {
    return fail(Errc::kBadRequest, 0, "prove: the snapshot is not in the sealed chain",
                format_time(manifest.time_ns));
  }
  const SnapshotView held = engine.view_of(manifest);
  RecordingBlocks recording(engine.blocks());
  Proof proof;
  TRY_ASSIGN(proof.claim, read_claim(recording, manifest.root, path, offset, size, {}));
  TRY_ASSIGN(proof.links, links_up_to(engine.chain(), manifest.link->number));
  if (proof.links.back() != *manifest.link) {
    return fail(Errc::kBadRequest, 0,
                "prove: the snapshot was signed by a chain that ended; this one only names it",
                format_time(manifest.time_ns));
  }
  Manifest copy = manifest;
  proof.manifest = encode_manifest(copy);
  const auto& cipher = engine.config().blocks.cipher;
  for (const BlockData& data : recording.blocks()) {
    std::optional<Sha256> opening;
    if (cipher != nullptr) opening = cipher->opening_of(sha256(*data));
    proof.blocks.push_back({opening, data});
  }
  TRY_ASSIGN(Bytes bytes, encode_proof(proof));
  // What would not convince others is none.
  TRY(check_proof(bytes, engine.chain().first_key().value_or(PublicKey{})));
  return bytes;
}

Result<ProvedClaim> check_proof(ByteView bytes, const PublicKey& key,
                                const std::function<Status(ByteView)>& sink) {
  TRY_ASSIGN(const Proof proof, decode_proof(bytes));
  ProvedClaim proved;
  TRY_ASSIGN(proved.link, follow_chain(proof, key));
  TRY_ASSIGN(proved.manifest, decode_manifest(proof.manifest));
  const LinkSubject subject = link_subject(proved.manifest);
  if (proved.link.kind != subject.kind || proved.link.sequence != subject.sequence ||
      proved.link.time_ns != subject.time_ns || proved.link.id != subject.id) {
    return does_not_hold("its snapshot is not the one that its chain leads to");
  }
  ProofBlocks blocks;
  for (const Proof::Block& block : proof.blocks) TRY(blocks.add(block, proved.manifest.keyed_ids));
  const ProofClaim& claim = proof.claim;
  const auto read = [&](const std::function<Status(ByteView)>& to) {
    return read_claim(blocks, proved.manifest.root, claim.path, claim.offset, claim.size, to);
  };
  auto found = read({});
  if (!found) return does_not_hold("what it claims is not there: " + found.error().to_string());
  if (*found != claim) return does_not_hold("what it claims is not what its blocks say");
  if (!blocks.all_used()) return does_not_hold("it holds blocks that prove nothing");
  if (sink) TRY(read(sink));
  proved.claim = claim;
  return proved;
}

}  // namespace amberfs
