// SPDX-License-Identifier: Apache-2.0
// The sealed chain through Engine: snapshots, forgetting and stores made before there was one, with
// every disk call failing in turn. (Power cuts: tests/crash.)
#include "fs/verify_chain.h"
#include "tests/support/both_forms.h"
#include "tests/support/fault_io.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace amberfs {
namespace {

using testing::FaultIo;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Origin kNobody;

class EngineChain : public ::testing::Test {
 protected:
  void SetUp() override { make_store(); }
  void make_store() {
    engine_.reset();
    dir_ = std::make_unique<testing::TempDir>();
    fault_ = std::make_unique<FaultIo>(*io_);
    std::string config = testing::test_config_text(std::string(32, '0'));
    const std::string segment = "segment = \"64MiB\"";
    config.replace(config.find(segment), segment.size(), "segment = \"32MiB\"");
    const Status made = testing::create_store(*io_, store(), config);
    ASSERT_TRUE(made) << made.error().to_string();
    open();
  }
  [[nodiscard]] std::string store() const { return *dir_ / "store"; }
  void open() {
    engine_.reset();
    auto opened = testing::open_engine(*fault_, store());
    ASSERT_TRUE(opened) << opened.error().to_string();
    engine_ = *std::move(opened);
  }
  void change() {
    const std::string name = "file" + std::to_string(++files_);
    const auto made = engine_->filesystem().make(kNobody, kRootIno, name, {.mode = S_IFREG | 0644});
    ASSERT_TRUE(made);
    ASSERT_TRUE(engine_->filesystem().write(kNobody, made->ino, 0, name, {}));
  }
  Result<SnapshotResult> try_snapshot() { return engine_->snapshot({.name = {}, .reason = {}}); }
  Manifest snapshot() {
    auto taken = try_snapshot();
    EXPECT_TRUE(taken) << taken.error().to_string();
    return taken ? taken->manifest : Manifest();
  }
  ChainVerification verify() {
    auto seen = verify_chain(*engine_);
    EXPECT_TRUE(seen) << seen.error().to_string();
    return seen ? *std::move(seen) : ChainVerification();
  }
  std::string findings() {
    std::string text;
    for (const ChainFinding& finding : verify().report.findings) {
      text += finding.object + ": " + finding.what + "\n";
    }
    return text;
  }
  void remove_chain() {
    engine_.reset();
    for (const char* name : {"/chain", "/signing.key", "/signing.pub"}) {
      std::filesystem::remove(store() + name);
    }
    open();
  }

  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<testing::TempDir> dir_;
  std::unique_ptr<FaultIo> fault_;
  std::unique_ptr<Engine> engine_;
  int files_ = 0;
};

TEST_F(EngineChain, SnapshotsAreSigned) {
  for (int i = 0; i < 3; ++i) {
    change();
    EXPECT_TRUE(snapshot().link);
  }
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_EQ(verify().report.links.size(), 3U);
  const ChainEnd end = engine_->chain().end();
  open();
  EXPECT_EQ(engine_->chain().end(), end);
  change();
  snapshot();
  EXPECT_THAT(findings(), IsEmpty());
}

// One call fails, all others work: what is said then is true, and the chain goes on at once.
TEST_F(EngineChain, AnyDiskCallOfASnapshotMayFail) {
  int failed = 0;
  for (std::uint64_t n = 1;; ++n) {
    make_store();
    change();
    snapshot();
    change();
    fault_->arm({.at = n});
    const auto taken = try_snapshot();
    const bool fired = fault_->fired();
    fault_->disarm();
    // Whatever failed: who asks for a snapshot of what is there gets one that holds it.
    const auto unchanged = engine_->snapshot({.name = {}, .reason = {}, .skip_if_unchanged = true});
    if (unchanged) {
      EXPECT_EQ(unchanged->manifest.root, engine_->head().root) << "call " << n;
    }
    change();
    const auto after = try_snapshot();
    // The journal may be read-only for good after a failed sync: then it says so.
    if (after) {
      EXPECT_THAT(findings(), IsEmpty()) << "call " << n;
    }
    const std::size_t links = verify().report.links.size();
    EXPECT_GE(links, 1U + (taken ? 1U : 0U) + (after ? 1U : 0U)) << "call " << n;
    open();
    EXPECT_THAT(findings(), IsEmpty()) << "call " << n << ", opened again";
    EXPECT_TRUE(engine_->chain().can_sign()) << engine_->chain().problem();
    EXPECT_GE(verify().report.links.size(), links);
    if (!fired) break;
    failed += taken ? 0 : 1;
  }
  EXPECT_GT(failed, 8);
}

TEST_F(EngineChain, AnyDiskCallOfForgettingMayFail) {
  int failed = 0;
  for (std::uint64_t n = 1;; ++n) {
    make_store();
    change();
    const Manifest one = snapshot();
    change();
    const Manifest two = snapshot();
    fault_->arm({.at = n});
    const auto forgotten = engine_->forget({one, two}, "test");
    const bool fired = fault_->fired();
    fault_->disarm();
    if (forgotten) {
      EXPECT_EQ(engine_->catalog().count(), 0U) << "call " << n;
    }
    change();
    const auto after = try_snapshot();
    open();
    EXPECT_THAT(findings(), IsEmpty()) << "call " << n;
    const std::size_t left = engine_->catalog().count() - (after ? 1U : 0U);
    EXPECT_TRUE(left == 0 || (!forgotten && left == 2)) << "call " << n << ": " << left;
    if (!fired) break;
    failed += forgotten ? 0 : 1;
  }
  EXPECT_GT(failed, 8);
}

TEST_F(EngineChain, ForgottenSnapshotsAreGone) {
  change();
  const Manifest one = snapshot();
  change();
  const Manifest two = snapshot();
  const auto result = engine_->forget({two, two}, "disk space");
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(result->forgotten.size(), 1U);
  EXPECT_EQ(result->tombstone.sequence, 3U);
  EXPECT_EQ(engine_->catalog().by_sequence(2).error().code, Errc::kNoSuchSnapshot);
  EXPECT_FALSE(engine_->forget({two}, "again"));
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_EQ(verify().report.forgotten, 1U);
  // What is live is in no snapshot now: unchanged is not what the newest one left says.
  const auto next = engine_->snapshot({.name = {}, .reason = {}, .skip_if_unchanged = true});
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->created);
  EXPECT_EQ(next->manifest.sequence, 4U);
  EXPECT_GT(next->manifest.time_ns, two.time_ns);
  open();
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(EngineChain, ForgettingIsFinishedByTheNextOpen) {
  change();
  const Manifest one = snapshot();
  const std::string path = std::filesystem::directory_iterator(store() + "/snapshots")->path();
  std::filesystem::copy_file(path, *dir_ / "kept");
  ASSERT_TRUE(engine_->forget({one}, ""));
  engine_.reset();
  std::filesystem::copy_file(*dir_ / "kept", path);  // as a crash before the removal leaves it
  open();
  EXPECT_EQ(engine_->catalog().count(), 0U);
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(EngineChain, AStoreWithoutItsKeyGoesOnUnsigned) {
  change();
  const Manifest one = snapshot();
  engine_.reset();
  std::filesystem::remove(store() + "/signing.key");
  open();
  EXPECT_THAT(engine_->chain().problem(), HasSubstr("signing.key is gone"));
  change();
  EXPECT_FALSE(snapshot().link);
  EXPECT_THAT(findings(), HasSubstr("snapshot #2: it is not signed"));
  EXPECT_EQ(engine_->forget({one}, "").error().code, Errc::kBroken);
  EXPECT_EQ(engine_->catalog().count(), 2U);
}

TEST_F(EngineChain, BeginsAnewWhereTheKeyIsLost) {
  std::vector<Manifest> old;
  for (int i = 0; i < 3; ++i) {
    change();
    old.push_back(snapshot());
  }
  ASSERT_TRUE(engine_->forget({old[1]}, ""));
  const PublicKey old_key = *engine_->chain().first_key();
  EXPECT_FALSE(engine_->begin_chain(true)) << "it goes on";
  engine_.reset();
  std::ofstream(store() + "/signing.key", std::ios::trunc) << std::string(8192, 'x');
  open();
  change();
  const Manifest unsigned_one = snapshot();
  EXPECT_FALSE(unsigned_one.link);
  EXPECT_FALSE(engine_->begin_chain()) << "it has one";
  const auto key = engine_->begin_chain(true);
  ASSERT_TRUE(key) << key.error().to_string();
  EXPECT_NE(*key, old_key);
  EXPECT_EQ(engine_->chain().problem(), "");
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_EQ(verify().report.unsealed, 3U);
  change();
  EXPECT_TRUE(snapshot().link);
  open();
  change();
  const Manifest newest = snapshot();
  ASSERT_TRUE(newest.link);
  EXPECT_EQ(newest.link->number, 3U);
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_FALSE(verify_chain(*engine_, old_key)->report.findings.empty());
  ASSERT_TRUE(engine_->forget({old[0], newest}, ""));
  EXPECT_THAT(findings(), IsEmpty());
  // What the old chain signed is held by the new one as well.
  engine_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(store() + "/snapshots")) {
    if (entry.path().filename().string().starts_with("000000000003")) {
      std::filesystem::remove(entry.path());
    }
  }
  open();
  EXPECT_THAT(findings(), HasSubstr("it was there when the chain began and is missing"));
}

TEST_F(EngineChain, BeginsAnewWhereTheChainIsLost) {
  change();
  snapshot();
  engine_.reset();
  std::ofstream(store() + "/chain", std::ios::trunc) << "nothing";
  std::filesystem::remove(store() + "/signing.key");
  open();
  ASSERT_TRUE(engine_->begin_chain(true));
  change();
  EXPECT_TRUE(snapshot().link);
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(EngineChain, SaysThatThePublicKeyFileIsNotTheChains) {
  change();
  snapshot();
  engine_.reset();
  Bytes text = io_->read_file(store() + "/signing.pub", 4096).value();
  text[20] = text[20] == '0' ? '1' : '0';
  std::ofstream(store() + "/signing.pub", std::ios::trunc) << text;
  open();
  EXPECT_THAT(findings(), HasSubstr("signing.pub"));
  EXPECT_THAT(engine_->chain().problem(), HasSubstr("signing.pub"));
  ASSERT_TRUE(mend_chain(*engine_));
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(EngineChain, BeginsInAStoreMadeWithoutOne) {
  remove_chain();
  change();
  const Manifest one = snapshot();
  change();
  snapshot();
  EXPECT_FALSE(verify().sealed);
  EXPECT_THAT(findings(), IsEmpty());
  const auto key = engine_->begin_chain();
  ASSERT_TRUE(key) << key.error().to_string();
  EXPECT_FALSE(engine_->begin_chain()) << "twice";
  change();
  EXPECT_TRUE(snapshot().link);
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_EQ(verify().report.unsealed, 2U);
  EXPECT_EQ(verify().report.links.size(), 2U);
  open();
  ASSERT_TRUE(engine_->forget({one}, ""));
  EXPECT_THAT(findings(), IsEmpty());
  engine_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(store() + "/snapshots")) {
    if (entry.path().filename().string().starts_with("000000000002")) {
      std::filesystem::remove(entry.path());
    }
  }
  open();
  EXPECT_THAT(findings(), HasSubstr("it was there when the chain began and is missing"));
}

// A crash between the two steps of begin_chain(): the next snapshot names the older ones first.
TEST_F(EngineChain, ABeginThatWasCutShortIsFinished) {
  remove_chain();
  change();
  snapshot();
  ASSERT_TRUE(engine_->close());
  engine_.reset();
  ASSERT_TRUE(Chain::create(*io_, store(), testing::test_cipher()));
  open();
  change();
  snapshot();
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_EQ(verify().report.unsealed, 1U);
}

TEST_F(EngineChain, OfAnEncryptedStoreTellsNothing) {
  const std::string id(32, '1');
  const auto data_key = SecretBytes::random(kKeySize);
  ASSERT_TRUE(data_key);
  NewKeys keys{.slots = KeySlots(id), .cipher = StoreCipher::make(*data_key).value()};
  const auto cipher = keys.cipher;
  const StoreSecret secret{.kind = SecretKind::kKeyFile,
                           .bytes = SecretBytes::random(kKeySize).value()};
  ASSERT_TRUE(keys.slots.add(*data_key, secret, "test"));
  const std::string store = *dir_ / "encrypted";
  ASSERT_TRUE(Engine::create(*io_, store, default_config_text(id, true), 0, std::move(keys)));
  const auto reopen = [&] {
    engine_.reset();
    auto opened = Engine::open(*fault_, store, cipher);
    ASSERT_TRUE(opened) << opened.error().to_string();
    engine_ = *std::move(opened);
  };
  reopen();
  change();
  const Manifest one = snapshot();
  ASSERT_TRUE(engine_->forget({one}, "a telling reason"));
  reopen();
  EXPECT_TRUE(engine_->chain().can_sign()) << engine_->chain().problem();
  change();
  snapshot();
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_EQ(verify().report.links.size(), 3U);
  for (const auto& entry : std::filesystem::directory_iterator(store + "/notes")) {
    std::stringstream bytes;
    bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    EXPECT_EQ(bytes.str().find("telling"), std::string::npos);
  }
  // Without the store's key its signing key cannot be had.
  SigningSlots slots(*io_, store + "/signing.key", nullptr);
  const auto both = slots.read();
  ASSERT_TRUE(both && *both);
  EXPECT_FALSE((**both)[0] || (**both)[1]);
}

TEST_F(EngineChain, MendsRecordsFromDocuments) {
  for (int i = 0; i < 3; ++i) {
    change();
    snapshot();
  }
  engine_.reset();
  {
    auto file = io_->open(store() + "/chain", OpenMode::kReadWrite);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->pwrite("rot", 300));
  }
  open();
  EXPECT_THAT(findings(), HasSubstr("link 1: its record in STORE/chain is missing or damaged"));
  const auto mended = mend_chain(*engine_);
  ASSERT_TRUE(mended) << mended.error().to_string();
  EXPECT_EQ(*mended, 1U);
  EXPECT_THAT(findings(), IsEmpty());
  change();
  EXPECT_TRUE(snapshot().link);
}

}  // namespace
}  // namespace amberfs
