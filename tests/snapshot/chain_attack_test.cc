// SPDX-License-Identifier: Apache-2.0
// Someone with full write access to the store, who holds the signing key of the moment, against the
// chain: each attack is found by who has the verification key, and named.
#include "tests/snapshot/chain_rig.h"

#include <gmock/gmock.h>

namespace amberfs {
namespace {

using testing::ChainRig;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kRecord = 256;

class ChainAttack : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) rig_.add(sequence);
    ASSERT_THAT(rig_.findings(), IsEmpty());
    ASSERT_EQ(rig_.check().links.size(), 5U);
  }
  std::string chain_path() { return rig_.store() + "/chain"; }
  // The signing key of the moment, as who has taken the machine over reads it.
  SigningSlots::Slot stolen_key() {
    SigningSlots slots = rig_.slots();
    auto both = slots.read();
    EXPECT_TRUE(both && *both);
    for (auto& slot : **both) {
      if (slot) return std::move(*slot);
    }
    ADD_FAILURE() << "no key";
    return {};
  }
  // The records cut off behind `count`.
  void cut_chain(std::size_t count) {
    std::filesystem::resize_file(chain_path(), kRecord * (count + 1));
  }

  ChainRig rig_;
  std::unique_ptr<Io> io_ = make_posix_io();
};

TEST_F(ChainAttack, OnlyThePresentKeyIsThere) {
  SigningSlots slots = rig_.slots();
  const auto both = slots.read();
  ASSERT_TRUE(both && *both);
  EXPECT_NE((**both)[0].has_value(), (**both)[1].has_value()) << "one slot holds a key, one noise";
  EXPECT_EQ(stolen_key().number, 6U);
  EXPECT_EQ(std::filesystem::status(rig_.store() + "/signing.key").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(ChainAttack, SnapshotInTheMiddleRemoved) {
  std::filesystem::remove(rig_.manifest_path(3));
  EXPECT_THAT(rig_.findings(), HasSubstr("snapshot #3: it is missing without a tombstone"));
}

TEST_F(ChainAttack, SnapshotInTheMiddleRemovedWithItsRecord) {
  std::filesystem::remove(rig_.manifest_path(3));
  std::string chain = ChainRig::read(chain_path());
  chain.erase(3 * kRecord, kRecord);
  ChainRig::write(chain_path(), chain);
  EXPECT_THAT(rig_.findings(), HasSubstr("link 4 stands where link 3 belongs: links were removed"));
}

TEST_F(ChainAttack, NewestSnapshotRemovedWithItsRecord) {
  std::filesystem::remove(rig_.manifest_path(5));
  cut_chain(4);
  EXPECT_THAT(rig_.findings(),
              HasSubstr("signing.key is for link 6, but the chain has only 4: its newest links"));
}

TEST_F(ChainAttack, NewestSnapshotRemovedWithTheKey) {
  std::filesystem::remove(rig_.manifest_path(5));
  cut_chain(4);
  std::filesystem::remove(rig_.store() + "/signing.key");
  EXPECT_THAT(rig_.findings(), HasSubstr("signing.key is gone"));
}

TEST_F(ChainAttack, ManifestAltered) {
  const auto manifest = rig_.catalog().by_sequence(2);
  ASSERT_TRUE(manifest);
  Manifest altered = *manifest;
  altered.root = BlockId{sha256("another tree")};
  std::filesystem::remove(rig_.manifest_path(2));
  rig_.plant(altered);
  EXPECT_THAT(rig_.findings(), HasSubstr("snapshot #2: it is not the one that was sealed"));
}

TEST_F(ChainAttack, OlderSnapshotForgedWithTheKeyOfTheMoment) {
  const SigningSlots::Slot key = stolen_key();
  const auto before = rig_.catalog().by_sequence(2);
  const auto original = rig_.catalog().by_sequence(3);
  ASSERT_TRUE(before && original);
  Manifest forged = *original;
  forged.root = BlockId{sha256("what never was")};
  (void)encode_manifest(forged);  // its id
  Link link = *original->link;
  link.id = link_subject(forged).id;
  sign_link(link, key.key);
  forged.link = link;
  std::filesystem::remove(rig_.manifest_path(3));
  rig_.plant(forged);
  EXPECT_THAT(rig_.findings(), HasSubstr("snapshot #3: it is not the one that was sealed"));
  // And with its record replaced as well, checksum and all.
  ChainRig other;
  auto file = ChainFile::open(*io_, chain_path());
  ASSERT_TRUE(file);
  const auto records = file->read_all();
  std::vector<Link> links;
  for (const auto& record : records->links) links.push_back(*record);
  links[2] = link;
  ASSERT_TRUE(file->replace(links));
  EXPECT_THAT(rig_.findings(),
              HasSubstr("link 3: it is signed with another key than the link before it promised"));
}

TEST_F(ChainAttack, SignatureLeftButTextAltered) {
  auto file = ChainFile::open(*io_, chain_path());
  ASSERT_TRUE(file);
  const auto records = file->read_all();
  std::vector<Link> links;
  for (const auto& record : records->links) links.push_back(*record);
  links[1].time_ns -= 500'000'000;
  ASSERT_TRUE(file->replace(links));
  EXPECT_THAT(rig_.findings(), HasSubstr("link 2: its signature is false: it was altered"));
}

TEST_F(ChainAttack, TailReplacedByOneOfTheAttackersOwn) {
  // What the attacker can do with the present key: go on. What lies before must stay.
  ChainRig copy;
  std::filesystem::remove_all(copy.store());
  std::filesystem::copy(rig_.store(), copy.store(), std::filesystem::copy_options::recursive);
  const std::string head = rig_.check().end.to_text();
  rig_.add(6);
  rig_.add(7);
  const std::string later_head = rig_.check().end.to_text();
  // The copy, taken at 5, goes on another way: consistent, but not what was noted down.
  copy.open();
  copy.add(8);
  copy.add(9);
  std::filesystem::remove_all(rig_.store());
  std::filesystem::copy(copy.store(), rig_.store(), std::filesystem::copy_options::recursive);
  EXPECT_THAT(rig_.findings(), IsEmpty())
      << "nothing in the store tells: that is what heads are for";
  EXPECT_THAT(rig_.findings(head), IsEmpty());
  EXPECT_THAT(rig_.findings(later_head), HasSubstr("is not in the chain, which ends at 9:"));
}

TEST_F(ChainAttack, RolledBackToAnOlderCopy) {
  const std::string older = rig_.store() + "-older";
  std::filesystem::copy(rig_.store(), older, std::filesystem::copy_options::recursive);
  rig_.add(6);
  const std::string head = rig_.check().end.to_text();
  EXPECT_THAT(rig_.findings(head), IsEmpty());
  std::filesystem::remove_all(rig_.store());
  std::filesystem::rename(older, rig_.store());
  EXPECT_THAT(rig_.findings(), IsEmpty());
  EXPECT_THAT(rig_.findings(head), HasSubstr("the store was rolled back to an older copy"));
}

TEST_F(ChainAttack, RecordsReordered) {
  std::string chain = ChainRig::read(chain_path());
  const std::string two = chain.substr(2 * kRecord, kRecord);
  chain.replace(2 * kRecord, kRecord, chain, 3 * kRecord, kRecord);
  chain.replace(3 * kRecord, kRecord, two);
  ChainRig::write(chain_path(), chain);
  EXPECT_THAT(rig_.findings(), HasSubstr("link 3 stands where link 2 belongs"));
}

TEST_F(ChainAttack, SnapshotPutThereByHand) {
  rig_.plant(rig_.make(9));
  EXPECT_THAT(rig_.findings(), HasSubstr("snapshot #9: it is not signed"));
}

TEST_F(ChainAttack, BackDatedByWhoHoldsTheKey) {
  // The key of the moment signs a link with an older time: only the check can refuse it.
  const SigningSlots::Slot key = stolen_key();
  const ChainEnd end = rig_.chain().end();
  Manifest forged = rig_.make(6);
  forged.time_ns = 2'500'000'000;
  (void)encode_manifest(forged);
  Link link{.number = 6,
            .sequence = 6,
            .time_ns = forged.time_ns,
            .id = link_subject(forged).id,
            .previous = end.hash,
            .next_key = SigningKey::generate()->public_key()};
  sign_link(link, key.key);
  forged.link = link;
  rig_.plant(forged);
  EXPECT_THAT(rig_.findings(), HasSubstr("link 6: its time does not grow: it was back-dated"));
}

TEST_F(ChainAttack, EachConditionOfTheNextLinkCounts) {
  const SigningSlots::Slot stolen = stolen_key();
  const ChainEnd end = rig_.chain().end();
  const auto why = [&](const std::function<void(Link&)>& change) {
    Link link{.number = 6,
              .sequence = 6,
              .time_ns = 6'000'000'000,
              .id = sha256("document"),
              .previous = end.hash,
              .next_key = stolen.key.public_key()};
    change(link);
    sign_link(link, stolen.key);
    return why_not_next(end, link);
  };
  EXPECT_EQ(why([](Link&) {}), "");
  EXPECT_THAT(why([](Link& link) { link.number = 7; }), HasSubstr("link 7 stands where link 6"));
  EXPECT_THAT(why([](Link& link) { link.previous = sha256("x"); }), HasSubstr("does not follow"));
  EXPECT_THAT(why([](Link& link) { link.sequence = 5; }), HasSubstr("sequence does not grow"));
  EXPECT_THAT(why([&](Link& link) { link.time_ns = end.time_ns; }), HasSubstr("back-dated"));
}

TEST_F(ChainAttack, AllOfItReplaced) {
  ChainRig other;
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) other.add(sequence);
  std::filesystem::remove_all(rig_.store());
  std::filesystem::copy(other.store(), rig_.store(), std::filesystem::copy_options::recursive);
  EXPECT_THAT(rig_.findings(), HasSubstr("signed with another key than the one given"));
}

TEST_F(ChainAttack, ChainRemoved) {
  std::filesystem::remove(chain_path());
  std::filesystem::remove(rig_.store() + "/signing.pub");
  std::filesystem::remove(rig_.store() + "/signing.key");
  EXPECT_THAT(rig_.findings(), HasSubstr("signing.key is gone"));
  EXPECT_THAT(rig_.chain().problem(), HasSubstr("STORE/chain and signing.pub are gone"));
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) {
    Manifest manifest = *rig_.catalog().by_sequence(sequence);
    manifest.link.reset();
    rig_.plant(manifest);
  }
  EXPECT_THAT(rig_.findings(), HasSubstr("the store has no chain: it was never sealed, or the"));
}

TEST_F(ChainAttack, ForgettingWithASignatureIsNoTheft) {
  const Manifest gone = *rig_.catalog().by_sequence(2);
  rig_.forget(6, gone);
  rig_.add(7);
  EXPECT_THAT(rig_.findings(), IsEmpty());
  EXPECT_EQ(rig_.check().forgotten, 1U);
  rig_.plant(gone);
  EXPECT_THAT(rig_.findings(), HasSubstr("it was forgotten, but its manifest is there again"));
}

TEST_F(ChainAttack, TombstoneOfTheAttackersOwn) {
  const Manifest gone = *rig_.catalog().by_sequence(2);
  const Note note = rig_.forget(6, gone);
  std::string text = ChainRig::read(rig_.note_path(6));
  Note forged = note;
  forged.snapshots.push_back({3, 0, rig_.catalog().by_sequence(3)->id, std::nullopt});
  std::filesystem::remove(rig_.note_path(6));
  ASSERT_FALSE(encode_note(forged).empty());
  ChainRig::write(rig_.store() + "/notes/000000000006-" + forged.id.substr(0, 16) + ".json",
                  rig_.to_disk(encode_note(forged)));
  std::filesystem::remove(rig_.manifest_path(3));
  const std::string findings = rig_.findings();
  EXPECT_THAT(findings, HasSubstr("tombstone #6: it is not in the chain"));
  EXPECT_THAT(findings, HasSubstr("snapshot #3: it is missing without a tombstone"));
}

TEST_F(ChainAttack, OneCopyOfALinkIsEnough) {
  const Manifest gone = *rig_.catalog().by_sequence(2);
  rig_.forget(6, gone);
  const std::string good = ChainRig::read(chain_path());
  for (std::size_t number = 1; number <= 6; ++number) {
    std::string chain = good;
    chain[number * kRecord + 100] ^= 1;
    ChainRig::write(chain_path(), chain);
    if (number == 6) {  // the newest one is taken for torn, and mended at once
      EXPECT_THAT(rig_.findings(), IsEmpty());
      EXPECT_EQ(ChainRig::read(chain_path()), good);
      continue;
    }
    const ChainReport report = rig_.check();
    ASSERT_EQ(report.findings.size(), 1U) << number;
    EXPECT_TRUE(report.findings[0].mendable);
    EXPECT_EQ(report.links.size(), 6U);
    ASSERT_TRUE(rig_.chain().replace_records(rig_.key(), report.links));
    EXPECT_EQ(ChainRig::read(chain_path()), good) << number;
  }
  // The whole file lost, but for what documents have.
  std::filesystem::remove(chain_path());
  const ChainReport report = rig_.check();
  EXPECT_EQ(report.links.size(), 6U);
  ASSERT_TRUE(rig_.chain().replace_records(rig_.key(), report.links));
  EXPECT_EQ(ChainRig::read(chain_path()), good);
  EXPECT_TRUE(rig_.chain().can_sign());
}

TEST_F(ChainAttack, NoBitOfTheChainFileCanBeTurnedUnseen) {
  const std::string good = ChainRig::read(chain_path());
  // Of the records but the newest, which the next open mends.
  for (std::size_t bit = 8 * kRecord; bit < 5 * 8 * kRecord; bit += 7) {
    std::string chain = good;
    chain[bit / 8] = static_cast<char>(chain[bit / 8] ^ (1 << bit % 8));
    ChainRig::write(chain_path(), chain);
    EXPECT_NE(rig_.findings(), "") << bit;
  }
}

TEST_F(ChainAttack, DamagedHeadsAreRefused) {
  EXPECT_TRUE(parse_noted_head("5:0123456789abcdef"));
  for (const char* text : {"", "5", "5:", ":0123456789abcdef", "5:0123456789abcde",
                           "5:0123456789ABCDEF", "x:0123456789abcdef", "-1:0123456789abcdef"}) {
    EXPECT_FALSE(parse_noted_head(text)) << text;
  }
}

}  // namespace
}  // namespace amberfs
