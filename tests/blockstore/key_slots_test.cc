// SPDX-License-Identifier: Apache-2.0
#include "blockstore/key_slots.h"

#include "blockstore/base/hash.h"
#include "tests/support/fault_io.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

using testing::FaultIo;
using testing::TempDir;

constexpr ScryptCost kCheap{.n = 16, .r = 8, .p = 1};

SecretBytes bytes(ByteView text) {
  return SecretBytes::copy_of(text).value();
}
StoreSecret passphrase(ByteView text) {
  return {SecretKind::kPassphrase, bytes(text)};
}
StoreSecret key_file(char byte) {
  return {SecretKind::kKeyFile, bytes(Bytes(40, byte))};
}
const Bytes kDataKey(kKeySize, 'D');

KeySlots two_slots() {
  KeySlots slots("0123456789abcdef");
  EXPECT_EQ(slots.add(bytes(kDataKey), passphrase("horse battery"), "me", kCheap).value(), 1U);
  EXPECT_EQ(slots.add(bytes(kDataKey), key_file('k'), "").value(), 2U);
  return slots;
}

Errc code_of(const KeySlots& slots, const StoreSecret& secret) {
  const auto unlocked = slots.unlock(secret);
  return unlocked ? Errc::kPosix : unlocked.error().code;
}

TEST(KeySlots, EachSecretOpensTheSameDataKey) {
  const KeySlots slots = KeySlots::decode(two_slots().encode()).value();
  EXPECT_EQ(slots.unlock(passphrase("horse battery"))->data_key.view(), kDataKey);
  EXPECT_EQ(slots.unlock(key_file('k'))->data_key.view(), kDataKey);
  EXPECT_EQ(slots.unlock(key_file('k'))->slot, 2U);
  EXPECT_EQ(slots.slots()[0].label, "me");
}

TEST(KeySlots, AWrongSecretIsOneClearError) {
  const KeySlots slots = two_slots();
  EXPECT_EQ(code_of(slots, passphrase("horse batterz")), Errc::kWrongKey);
  EXPECT_EQ(code_of(slots, key_file('l')), Errc::kWrongKey);
  KeySlots only("x");
  ASSERT_TRUE(only.add(bytes(kDataKey), key_file('k'), ""));
  const auto refused = only.unlock(passphrase("k"));
  EXPECT_EQ(refused.error().code, Errc::kWrongKey);
  EXPECT_NE(refused.error().tried.find("it has none, only key files"), std::string::npos);
}

TEST(KeySlots, TheFileHoldsNeitherKeyNorSecretAndNoTwoSlotsLookAlike) {
  KeySlots slots = two_slots();
  ASSERT_TRUE(slots.add(bytes(kDataKey), key_file('k'), ""));
  const std::string text = slots.encode();
  EXPECT_EQ(text.find(to_hex(kDataKey)), std::string::npos);
  EXPECT_EQ(text.find("horse"), std::string::npos);
  EXPECT_NE(slots.slots()[1].wrapped, slots.slots()[2].wrapped);
  EXPECT_NE(slots.slots()[1].salt, slots.slots()[2].salt);
}

TEST(KeySlots, ReplacingASecretShutsOutTheOneBefore) {
  KeySlots slots = two_slots();
  ASSERT_TRUE(slots.replace(1, bytes(kDataKey), key_file('n'), kCheap));
  EXPECT_EQ(slots.unlock(key_file('n'))->data_key.view(), kDataKey);
  EXPECT_EQ(code_of(slots, passphrase("horse battery")), Errc::kWrongKey);
  EXPECT_EQ(slots.slots()[0].label, "me");
  EXPECT_EQ(slots.replace(7, bytes(kDataKey), key_file('n')).error().code, Errc::kBadRequest);
}

TEST(KeySlots, TheLastOneStays) {
  KeySlots slots = two_slots();
  ASSERT_TRUE(slots.remove(1));
  EXPECT_EQ(slots.remove(1).error().code, Errc::kBadRequest);
  EXPECT_EQ(slots.remove(2).error().code, Errc::kBadRequest);
  EXPECT_EQ(slots.add(bytes(kDataKey), key_file('z'), "").value(), 1U);  // its number is free again
  while (slots.slots().size() < KeySlots::kSlotsMax) {
    ASSERT_TRUE(slots.add(bytes(kDataKey), key_file('z'), ""));
  }
  EXPECT_EQ(slots.add(bytes(kDataKey), key_file('z'), "").error().code, Errc::kBadRequest);
}

TEST(KeySlots, RefusesSecretsThatAreNone) {
  KeySlots slots("x");
  EXPECT_FALSE(slots.add(bytes(kDataKey), passphrase(""), "", kCheap));
  EXPECT_FALSE(slots.add(bytes(kDataKey), {SecretKind::kKeyFile, bytes("short")}, ""));
  EXPECT_FALSE(slots.add(bytes(kDataKey), key_file('k'), "line\nbreak"));
  EXPECT_FALSE(slots.add(bytes(kDataKey), key_file('k'), std::string(65, 'x')));
}

// Whoever can write the file can make its checksum match: what the key is sealed with counts.
TEST(KeySlots, NoMemberOfASlotCanBeChanged) {
  const KeySlots slots = two_slots();
  const auto opens = [&](const std::function<void(KeySlot&)>& change) {
    KeySlots other = slots;
    change(const_cast<KeySlot&>(other.slots()[1]));
    return other.unlock(key_file('k')).has_value();
  };
  EXPECT_TRUE(opens([](KeySlot&) {}));
  EXPECT_FALSE(opens([](KeySlot& slot) { slot.id = 3; }));
  EXPECT_FALSE(opens([](KeySlot& slot) { slot.label = "other"; }));
  EXPECT_FALSE(opens([](KeySlot& slot) { ++slot.created_ns; }));
  EXPECT_FALSE(opens([](KeySlot& slot) { slot.salt[0] ^= 1; }));
  EXPECT_FALSE(opens([](KeySlot& slot) { slot.wrapped[30] ^= 1; }));
  KeySlots elsewhere = KeySlots::decode(slots.encode()).value();
  const std::string moved = [&] {
    KeySlots of_other("another store");
    EXPECT_TRUE(of_other.add(bytes(kDataKey), key_file('k'), ""));
    const_cast<KeySlot&>(of_other.slots()[0]).wrapped = slots.slots()[1].wrapped;
    return of_other.encode();
  }();
  EXPECT_EQ(code_of(KeySlots::decode(moved).value(), key_file('k')), Errc::kWrongKey);
}

TEST(KeySlots, EveryFlippedBitOfTheTextIsFound) {
  const std::string text = two_slots().encode();
  std::size_t harmless = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ (1 << bit));
      const auto read = KeySlots::decode(other);
      if (!read) continue;
      // White space, and the case of hexadecimal digits that are parsed: the same keys.
      EXPECT_EQ(read->encode(), text) << "byte " << i;
      ++harmless;
    }
  }
  EXPECT_LT(harmless, text.size());
}

TEST(KeySlots, RefusesCostsThatWouldTakeAllMemoryBeforeTheyAreTried) {
  KeySlots slots("x");
  ASSERT_TRUE(slots.add(bytes(kDataKey), passphrase("p"), "", kCheap));
  const auto with = [&](ScryptCost cost) {
    KeySlots hostile = slots;
    const_cast<KeySlot&>(hostile.slots()[0]).cost = cost;
    return KeySlots::decode(hostile.encode()).has_value();  // with a checksum that matches
  };
  EXPECT_TRUE(with({.n = 1 << 20, .r = 8, .p = 1}));
  EXPECT_FALSE(with({.n = 1 << 21, .r = 8, .p = 1}));
  EXPECT_FALSE(with({.n = 1 << 20, .r = 8, .p = 2}));
  EXPECT_FALSE(with({.n = 1 << 20, .r = 1U << 31, .p = 1}));
  EXPECT_FALSE(with({.n = std::uint64_t{1} << 63, .r = 8, .p = 1}));
  EXPECT_FALSE(with({.n = 0, .r = 8, .p = 1}));
  EXPECT_FALSE(with({.n = 12, .r = 8, .p = 1}));
  EXPECT_FALSE(with({.n = 16, .r = 8, .p = 0}));
}

TEST(KeySlots, RefusesWhatIsNoFileOfKeys) {
  for (const char* text : {"", "[]", "{}", "null", R"({"amberfs":"keys"})",
                           R"({"amberfs":"keys","format":1,"slots":[[[[[[]]]]]]})"}) {
    EXPECT_EQ(KeySlots::decode(text).error().code, Errc::kCorrupt) << text;
  }
  // The checksum comes first: a number that rotted is no newer format.
  const std::string newer = R"({"amberfs":"keys","format":2})";
  const Sha256 digest = sha256(newer);
  const std::string sum = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  EXPECT_EQ(KeySlots::decode(newer).error().code, Errc::kCorrupt);
  EXPECT_EQ(KeySlots::decode(newer.substr(0, newer.size() - 1) + ",\"checksum\":\"" + sum + "\"}")
                .error()
                .code,
            Errc::kNewerFormat);
  EXPECT_FALSE(KeySlots::decode(std::string(1 << 20, '[')));
  EXPECT_FALSE(KeySlots::decode(KeySlots("x").encode())) << "a file without slots opens nothing";
}

TEST(KeySlots, ReadsTheExampleOfTheDocument) {
  const Bytes page = make_posix_io()->read_file(AMBERFS_DOCS "/format/keys.md", kMiB).value();
  const std::size_t begin = page.find("```json\n") + 8;
  const std::string text = page.substr(begin, page.find("```", begin) - begin);
  const auto slots = KeySlots::decode(text);
  ASSERT_TRUE(slots);
  EXPECT_EQ(slots->encode(), text);
  EXPECT_EQ(slots->unlock(passphrase("horse battery"))->data_key.view(), kDataKey);
  EXPECT_EQ(slots->unlock(key_file('k'))->data_key.view(), kDataKey);
}

class KeySlotsFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    slots_ = two_slots();
    ASSERT_TRUE(write_key_slots(*io_, dir_.path(), slots_));
  }
  std::string text_of(const std::string& name) {
    return io_->read_file(dir_ / name, KeySlots::kFileSizeMax).value();
  }
  TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  KeySlots slots_{""};
};

TEST_F(KeySlotsFiles, EachFileIsMendedFromTheOther) {
  const std::string good = text_of("keys.json");
  EXPECT_EQ(text_of("keys.copy.json"), good);
  for (const std::string name : {"keys.json", "keys.copy.json"}) {
    std::string bad = good;
    bad[bad.size() / 2] ^= 4;
    ASSERT_TRUE(io_->replace_file(dir_ / name, bad));
    EXPECT_EQ(read_key_slots(*io_, dir_.path())->encode(), good);
    EXPECT_EQ(text_of(name), good);
    ASSERT_TRUE(io_->unlink(dir_ / name));
    EXPECT_TRUE(has_key_slots(*io_, dir_.path()).value());
    EXPECT_EQ(read_key_slots(*io_, dir_.path())->encode(), good);
    EXPECT_EQ(text_of(name), good);
  }
}

TEST_F(KeySlotsFiles, BothDamagedIsAnErrorThatNamesOne) {
  ASSERT_TRUE(io_->replace_file(dir_ / "keys.json", "{}"));
  ASSERT_TRUE(io_->replace_file(dir_ / "keys.copy.json", "{}"));
  const auto read = read_key_slots(*io_, dir_.path());
  EXPECT_EQ(read.error().code, Errc::kKeysDamaged);
  EXPECT_EQ(read.error().object, dir_ / "keys.json");
}

TEST_F(KeySlotsFiles, ACopyThatARemovalDidNotReachDoesNotBringTheSlotBack) {
  const std::string before = text_of("keys.copy.json");
  ASSERT_TRUE(slots_.remove(1));
  ASSERT_TRUE(write_key_slots(*io_, dir_.path(), slots_));
  ASSERT_TRUE(io_->replace_file(dir_ / "keys.copy.json", before));
  EXPECT_EQ(read_key_slots(*io_, dir_.path())->slots().size(), 1U);
  EXPECT_EQ(text_of("keys.copy.json"), text_of("keys.json"));
}

TEST_F(KeySlotsFiles, WhatTheFilesHeldBeforeIsOverwritten) {
  const auto old = io_->open(dir_ / "keys.json", OpenMode::kRead).value();
  ASSERT_TRUE(write_key_slots(*io_, dir_.path(), slots_));
  Bytes left(old->size().value(), 'x');
  ASSERT_TRUE(old->pread_exact(left.data(), left.size(), 0));
  EXPECT_EQ(left, Bytes(left.size(), '\0'));
}

TEST_F(KeySlotsFiles, AFailureAtAnyCallLeavesTheOldKeysOrTheNew) {
  const std::size_t before = slots_.slots().size();
  for (std::uint64_t at = 1;; ++at) {
    KeySlots changed = read_key_slots(*io_, dir_.path()).value();
    ASSERT_TRUE(changed.add(bytes(kDataKey), key_file('n'), ""));
    FaultIo faulty(*io_);
    faulty.arm({.at = at, .torn_percent = 50, .sticky = true});
    const Status written = write_key_slots(faulty, dir_.path(), changed);
    if (!faulty.fired()) break;
    const auto read = read_key_slots(*io_, dir_.path());
    ASSERT_TRUE(read) << "call " << at << ": " << read.error().to_string();
    EXPECT_TRUE(read->unlock(key_file('k'))) << "call " << at;
    if (written) {
      EXPECT_EQ(read->slots().size(), changed.slots().size());
    }
    if (read->slots().size() > before) {
      ASSERT_TRUE(slots_.slots().size() == before);
      KeySlots back = slots_;
      back.set_generation(read->generation());
      ASSERT_TRUE(write_key_slots(*io_, dir_.path(), back));
    }
  }
}

TEST_F(KeySlotsFiles, TwoCommandsDoNotChangeThemAtOnce) {
  const auto lock = lock_key_slots(dir_.path());
  ASSERT_TRUE(lock);
  EXPECT_EQ(lock_key_slots(dir_.path()).error().code, Errc::kStoreLocked);
}

}  // namespace
}  // namespace amberfs
