// SPDX-License-Identifier: Apache-2.0
// Proofs of a small store: what they show, and that no changed bit of one shows anything else.
#include "fs/proof.h"

#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

namespace amberfs {
namespace {

using ::testing::HasSubstr;

const Origin kNobody;

class ProofTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const std::string id(32, '0');
    std::optional<NewKeys> keys;
    std::shared_ptr<const StoreCipher> cipher;
    if (GetParam()) {
      const auto data_key = SecretBytes::random(kKeySize);
      ASSERT_TRUE(data_key);
      keys = NewKeys{.slots = KeySlots(id), .cipher = StoreCipher::make(*data_key).value()};
      const StoreSecret secret{.kind = SecretKind::kKeyFile,
                               .bytes = SecretBytes::random(kKeySize).value()};
      ASSERT_TRUE(keys->slots.add(*data_key, secret, "test"));
      cipher = keys->cipher;
    }
    const Status made = Engine::create(*io_, dir_ / "store", default_config_text(id, GetParam()), 0,
                                       std::move(keys));
    ASSERT_TRUE(made) << made.error().to_string();
    auto opened = Engine::open(*io_, dir_ / "store", cipher);
    ASSERT_TRUE(opened) << opened.error().to_string();
    engine_ = *std::move(opened);
    key_ = *engine_->chain().first_key();
  }
  void write(const std::string& name, const std::string& text, std::uint64_t offset = 0) {
    const auto made = engine_->filesystem().make(kNobody, kRootIno, name, {.mode = S_IFREG | 0644});
    ASSERT_TRUE(made);
    ASSERT_TRUE(engine_->filesystem().write(kNobody, made->ino, offset, text, {}));
    contents_[name] = std::string(offset, '\0') + text;
  }
  Manifest snapshot() {
    auto taken = engine_->snapshot({.name = {}, .reason = "test"});
    EXPECT_TRUE(taken) << taken.error().to_string();
    return taken->manifest;
  }
  Bytes prove(const Manifest& manifest, const std::string& path, std::uint64_t offset,
              std::uint64_t size) {
    auto proof = make_proof(*engine_, manifest, path, offset, size);
    EXPECT_TRUE(proof) << proof.error().to_string();
    return proof ? *std::move(proof) : Bytes();
  }
  struct Checked {
    std::optional<ProvedClaim> proved;
    Bytes bytes;
    std::string why;
  };
  Checked check(ByteView proof) const { return check(proof, key_); }
  static Checked check(ByteView proof, const PublicKey& key) {
    Checked checked;
    auto proved = check_proof(proof, key, [&](ByteView piece) -> Status {
      checked.bytes += piece;
      return ok();
    });
    if (proved) {
      checked.proved = *std::move(proved);
    } else {
      checked.why = proved.error().to_string();
    }
    return checked;
  }
  static Bytes with_digest(Bytes proof) {
    const Bytes body = proof.substr(0, proof.size() - sizeof(Sha256));
    const Sha256 digest = sha256(body);
    return body + Bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  // What is wrong with a proof that was accepted; "" when all that it says is so.
  std::string lie_in(const Checked& checked, const Manifest& manifest) const {
    const ProofClaim& claim = checked.proved->claim;
    if (checked.proved->manifest.id != manifest.id) return "another snapshot";
    if (checked.proved->link != *manifest.link) return "another link";
    const auto it = contents_.find(claim.path);
    if (it == contents_.end()) return "another path";
    if (claim.inode.size_bytes != it->second.size()) return "another size";
    if (checked.bytes != it->second.substr(claim.offset, claim.size)) return "other bytes";
    return {};
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Engine> engine_;
  PublicKey key_;
  std::map<std::string, std::string> contents_;
};

TEST_P(ProofTest, ShowsTheBytesAndWhereTheyStood) {
  write("first", "one\n");
  snapshot();
  write("auth.log", "one\ntwo\nthree\n");
  const Manifest manifest = snapshot();
  const Bytes proof = prove(manifest, "auth.log", 4, 4);
  const Checked checked = check(proof);
  ASSERT_TRUE(checked.proved) << checked.why;
  EXPECT_EQ(checked.bytes, "two\n");
  EXPECT_EQ(checked.proved->claim.path, "auth.log");
  EXPECT_EQ(checked.proved->claim.offset, 4U);
  EXPECT_EQ(checked.proved->claim.inode.size_bytes, 14U);
  EXPECT_EQ(checked.proved->manifest.id, manifest.id);
  EXPECT_EQ(checked.proved->link.number, 2U);
  EXPECT_EQ(prove(manifest, "auth.log", 4, 4), proof) << "made anew it is the same";
  // Of the whole file, and of what is behind its end.
  EXPECT_EQ(check(prove(manifest, "auth.log", 0, UINT64_MAX)).bytes, "one\ntwo\nthree\n");
  EXPECT_EQ(check(prove(manifest, "auth.log", 99, 7)).bytes, "");
}

TEST_P(ProofTest, HoldsOnlyTheBlocksThatAreNeeded) {
  std::mt19937_64 random(1);
  std::string large(12 * kMiB, '\0');
  for (char& c : large) c = static_cast<char>(random());
  write("large", large);
  const Manifest manifest = snapshot();
  const Bytes some = prove(manifest, "large", 6 * kMiB, 100);
  EXPECT_LT(some.size(), 5 * kMiB);
  EXPECT_EQ(check(some).bytes, large.substr(6 * kMiB, 100));
  EXPECT_EQ(check(prove(manifest, "large", 0, UINT64_MAX)).bytes, large);
}

TEST_P(ProofTest, OfHolesToo) {
  write("sparse", "end", 3 * kMiB);
  const Manifest manifest = snapshot();
  EXPECT_EQ(check(prove(manifest, "sparse", kMiB, 10)).bytes, std::string(10, '\0'));
}

TEST_P(ProofTest, AnotherKeyFails) {
  write("a", "text");
  const Bytes proof = prove(snapshot(), "a", 0, 4);
  EXPECT_THAT(check(proof, SigningKey::generate()->public_key()).why,
              HasSubstr("signed with another key than the one given"));
}

TEST_P(ProofTest, EveryChangedBitFailsAndWithANewDigestNothingFalseIsShown) {
  write("a", "some text in a file\n");
  write("b", "other text\n");
  snapshot();
  write("c", "more\n");
  const Manifest manifest = snapshot();
  const Bytes proof = prove(manifest, "a", 5, 9);
  ASSERT_TRUE(check(proof).proved);
  std::size_t accepted = 0;
  for (std::size_t bit = 0; bit < proof.size() * 8; ++bit) {
    Bytes changed = proof;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    ASSERT_FALSE(check(changed).proved) << bit;
    const Checked checked = check(with_digest(changed));
    if (!checked.proved) continue;
    ++accepted;
    ASSERT_EQ(lie_in(checked, manifest), "") << bit;
  }
  // Some bits can be turned: those of the range, when it stays within the blocks; white space of
  // the manifest; what compressed bytes leave open.
  EXPECT_LT(accepted, proof.size() * 8 / 10);
}

TEST_P(ProofTest, CutOffAnywhereItFails) {
  write("a", "some text in a file\n");
  const Bytes proof = prove(snapshot(), "a", 0, 4);
  for (std::size_t size = 0; size < proof.size(); ++size) {
    EXPECT_FALSE(check(ByteView(proof).substr(0, size)).proved);
    if (size < sizeof(Sha256)) continue;
    EXPECT_FALSE(check(with_digest(proof.substr(0, size))).proved) << size;
  }
}

TEST_P(ProofTest, ForgedPartsAreNamed) {
  write("a", "some text in a file\n");
  write("b", "other text\n");
  const Manifest older = snapshot();
  write("c", "more\n");
  const Manifest manifest = snapshot();
  const auto with = [&](const std::function<void(Proof&)>& change) {
    auto proof = decode_proof(prove(manifest, "a", 0, 4));
    EXPECT_TRUE(proof);
    change(*proof);
    return check(*encode_proof(*proof)).why;
  };
  EXPECT_EQ(with([](Proof&) {}), "");
  EXPECT_THAT(with([](Proof& proof) { proof.claim.path = "b"; }), HasSubstr("what it claims"));
  EXPECT_THAT(with([](Proof& proof) { proof.claim.inode.uid = 7; }),
              HasSubstr("what it claims is not what its blocks say"));
  EXPECT_THAT(with([](Proof& proof) { proof.links.pop_back(); }),
              HasSubstr("not the one that its chain leads to"));
  EXPECT_THAT(with([](Proof& proof) { proof.links.clear(); }), HasSubstr("it has no chain"));
  EXPECT_THAT(with([](Proof& proof) { proof.links.erase(proof.links.begin()); }),
              HasSubstr("link 2 stands where link 1 belongs"));
  EXPECT_THAT(with([&](Proof& proof) {
                Manifest other = older;
                proof.manifest = encode_manifest(other);
              }),
              HasSubstr("not the one that its chain leads to"));
  EXPECT_THAT(
      with([](Proof& proof) {
        proof.blocks.push_back({proof.blocks[0].opening, std::make_shared<const Bytes>("extra")});
      }),
      HasSubstr("blocks that prove nothing"));
  // Ids of the other kind of store: a block of 64 bytes could be passed off as two hashes.
  EXPECT_THAT(with([](Proof& proof) {
                auto& opening = proof.blocks.front().opening;
                opening = opening ? std::optional<Sha256>() : sha256("r");
              }),
              HasSubstr("have not the ids of its store"));
  EXPECT_THAT(with([](Proof& proof) {
                Bytes other = *proof.blocks.back().bytes;
                other[0] = '!';
                proof.blocks.back().bytes = std::make_shared<const Bytes>(other);
              }),
              HasSubstr("missing or altered"));
}

TEST_P(ProofTest, WhatCannotBeProvedIsRefused) {
  write("a", "text");
  ASSERT_TRUE(engine_->filesystem().make(kNobody, kRootIno, "dir", {.mode = S_IFDIR | 0755}));
  Manifest manifest = snapshot();
  EXPECT_EQ(make_proof(*engine_, manifest, "dir", 0, 1).error().code, Errc::kBadRequest);
  EXPECT_FALSE(make_proof(*engine_, manifest, "none", 0, 1));
  manifest.link.reset();
  EXPECT_EQ(make_proof(*engine_, manifest, "a", 0, 1).error().code, Errc::kBadRequest);
}

INSTANTIATE_TEST_SUITE_P(Stores, ProofTest, ::testing::Bool(), [](const auto& kind) {
  return std::string(kind.param ? "Encrypted" : "Plain");
});

}  // namespace
}  // namespace amberfs
