// SPDX-License-Identifier: Apache-2.0
#include "fs/audit.h"

#include "blockstore/store_cipher.h"
#include "tests/fs/command_support.h"

#include <fstream>

namespace amberfs {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const Origin kIntruder{.request_id = 5, .uid = 1000, .gid = 4, .pid = 77, .command = "intruder"};

class AuditTest : public testing::CommandFixture {
 protected:
  std::vector<Json> events(const std::string& name = {}) {
    std::vector<Json> found;
    const Json reply = ask({{"command", "audit"}});
    for (const Json& event : reply["events"]) {
      if (name.empty() || event["event"] == name) found.push_back(event);
    }
    return found;
  }
  Bytes shown(std::uint64_t number) {
    ask({{"command", "audit_show"}, {"number", number}});
    return payload_;
  }
  void tamper(const std::string& path) {
    SetAttr set;
    set.size_bytes = 0;
    ASSERT_TRUE(fs().setattr(kIntruder, ino(path), set));
  }
  std::string log_path() { return engine_->store() + "/audit.log"; }
  Bytes log_bytes() { return *io_->read_file(log_path(), kMiB); }
  void put_log(const Bytes& bytes) {
    std::ofstream(log_path(), std::ios::binary | std::ios::trunc) << bytes;
  }
  // Another digit in what a line says, plain or sealed; the line stays one.
  static Bytes edited(Bytes log) {
    const std::string member = testing::encrypting() ? "\"sealed\":\"" : "\"uid\":";
    char& digit = log.at(log.find(member) + member.size());
    digit = digit == '9' ? '8' : '9';
    return log;
  }
  std::vector<std::string> found_by_verify() {
    std::vector<std::string> found;
    const Json reply = ask({{"command", "verify"}});
    for (const Json& finding : reply["damage"]) found.push_back(finding["what"]);
    return found;
  }
};

TEST_F(AuditTest, AnEventIsListedWithWhoAndItsBytesAreShown) {
  write("app.log", "secret\n");
  tamper("app.log");
  const auto list = events("tampering");
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0]["path"], "/app.log");
  EXPECT_EQ(list[0]["what"], "truncated");
  EXPECT_EQ(list[0]["command"], "intruder");
  EXPECT_EQ(list[0]["pid"], 77);
  EXPECT_EQ(list[0]["kept"], true);
  EXPECT_EQ(shown(list[0]["number"]), "secret\n");
  const Json status = ask({{"command", "status"}});
  EXPECT_EQ(status["audit"]["tampering"], 1);
  EXPECT_EQ(status["audit"]["kept_bytes"], 7);
  EXPECT_THAT(status["problems"].dump(), HasSubstr("amberfs audit"));
  EXPECT_EQ(refused({{"command", "audit_show"}, {"number", 12345}}), Errc::kNoSuchPath);
}

TEST_F(AuditTest, AChangeOfKeysIsRecordedWhereThereAreKeys) {
  const Json change{{"command", "key_changed"},
                    {"how", "added"},
                    {"key", 2},
                    {"kind", "passphrase"},
                    {"label", "for the safe"}};
  if (!testing::encrypting()) {
    EXPECT_EQ(refused(change), Errc::kBadRequest);
    EXPECT_THAT(events("key_added"), IsEmpty());
    return;
  }
  ask(change);
  const auto list = events("key_added");
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0]["key"], 2);
  EXPECT_EQ(list[0]["kind"], "passphrase");
  EXPECT_EQ(list[0]["label"], "for the safe");
  EXPECT_THAT(log_bytes(), Not(HasSubstr("safe")));
  const auto without = [&](const char* member, const Json& value) {
    Json bad = change;
    bad[member] = value;
    EXPECT_EQ(refused(bad), Errc::kBadRequest) << bad.dump();
  };
  without("how", "stolen");
  without("kind", "");
  without("key", 0);
  without("key", 9);
  without("label", std::string(65, 'x'));
  EXPECT_THAT(events("key_added"), SizeIs(1));
}

TEST_F(AuditTest, ARollbackDoesNotTakeEvidenceAway) {
  write("app.log", "first\n");
  const std::string before = snapshot();
  write("app.log", "second\n", 6);
  tamper("app.log");
  const auto list = events("tampering");
  ASSERT_THAT(list, SizeIs(1));
  const auto manifest = engine_->catalog().resolve(before);
  ASSERT_TRUE(manifest);
  ASSERT_TRUE(engine_->rollback(*manifest, false));
  EXPECT_EQ(content("app.log"), "first\n");
  EXPECT_EQ(problems(), "");
  EXPECT_EQ(shown(list[0]["number"]), "first\nsecond\n");
  EXPECT_THAT(events("rollback"), SizeIs(1));
  kill_and_open();
  EXPECT_EQ(shown(list[0]["number"]), "first\nsecond\n");
  EXPECT_EQ(problems(), "");
  EXPECT_THAT(found_by_verify(), IsEmpty());
}

TEST_F(AuditTest, ALineThatAKillTookIsWrittenAtTheNextOpening) {
  write("app.log", "secret\n");
  engine_->audit().note("test", Json::object());
  tamper("app.log");
  const Bytes before = log_bytes();
  EXPECT_EQ(before.find("tampering"), Bytes::npos);
  kill_and_open();
  if (!testing::encrypting()) {
    EXPECT_THAT(log_bytes(), HasSubstr("found_after_restart"));
  }
  EXPECT_GT(log_bytes().size(), before.size());
  EXPECT_THAT(events("tampering"), SizeIs(1));
  const Bytes once = log_bytes();
  kill_and_open();
  EXPECT_EQ(log_bytes(), once) << "written twice";
}

TEST_F(AuditTest, EveryChangeOfTheLogIsNamed) {
  for (int i = 0; i < 5; ++i) engine_->audit().note("test", {{"number_of_note", i}});
  write("x", "x");
  snapshot();
  engine_->audit().note("after", Json::object());
  EXPECT_THAT(found_by_verify(), IsEmpty());
  const Bytes good = log_bytes();
  const auto second = good.find('\n') + 1;
  const auto third = good.find('\n', second) + 1;

  put_log(good.substr(0, second) + good.substr(third));
  EXPECT_THAT(found_by_verify(), Contains(HasSubstr("does not go on")));
  put_log(edited(good));
  EXPECT_THAT(found_by_verify(), Contains(HasSubstr("does not go on")));
  put_log(good.substr(0, third));
  EXPECT_THAT(found_by_verify(), Contains(HasSubstr("cut off")));
  put_log("");
  EXPECT_THAT(found_by_verify(), Contains(HasSubstr("cut off")));
  put_log(good + "{\"event\":\"x\"}\n");
  EXPECT_THAT(found_by_verify(), Contains(HasSubstr("no line")));
  put_log(good);
  EXPECT_THAT(found_by_verify(), IsEmpty());
}

TEST_F(AuditTest, AHalfLineIsPutAsideAndTheChainGoesOn) {
  engine_->audit().note("test", Json::object());
  ASSERT_TRUE(engine_->close());
  const Bytes good = log_bytes();
  put_log(good + "{\"event\":\"ha");
  open(dir_ / "store");
  EXPECT_THAT(events("audit_log_torn"), SizeIs(1));
  EXPECT_THAT(found_by_verify(), IsEmpty());
  EXPECT_EQ(log_bytes().substr(0, good.size()), good);
}

// A loss of power may keep a later sector and lose an earlier one.
TEST_F(AuditTest, LinesThatWereNotSyncedArePutAsideFromTheFirstBadOneOn) {
  engine_->audit().note("first", Json::object());
  engine_->audit().note("second", Json::object());
  ASSERT_TRUE(engine_->close());
  const Bytes good = log_bytes();
  const Bytes behind = good.substr(good.rfind('\n', good.size() - 2) + 1);
  put_log(good + Bytes(100, '\0') + "\n" + behind);
  open(dir_ / "store");
  EXPECT_THAT(events("audit_log_torn"), SizeIs(1));
  EXPECT_THAT(found_by_verify(), IsEmpty());
  EXPECT_EQ(log_bytes().substr(0, good.size()), good);
}

// The lines of two mounts: the second says that the first ones were durable.
TEST_F(AuditTest, WhatWasDurableIsNeverPutAside) {
  engine_->audit().note("first", Json::object());
  engine_->audit().note("second", Json::object());
  ASSERT_TRUE(engine_->close());
  put_log(edited(log_bytes()));
  open(dir_ / "store");
  EXPECT_THAT(events("audit_log_torn"), IsEmpty());
  EXPECT_THAT(found_by_verify(), Not(IsEmpty()));
}

TEST_F(AuditTest, EvidenceThatIsOldIsDroppedAndTheLogSaysSo) {
  ASSERT_TRUE(engine_->close());
  const std::string path = dir_ / "store/config.toml";
  Bytes config = *io_->read_file(path, kMiB);
  config.replace(config.find("keep = \"30d\""), 12, "keep = \"1s\"");
  std::ofstream(path, std::ios::trunc) << config;
  open(dir_ / "store");
  write("app.log", "secret\n");
  ASSERT_TRUE(fs().unlink(kIntruder, kRootIno, "app.log"));
  const std::string kept_in = snapshot();
  engine_->audit().tick(true);
  ASSERT_EQ(ask({{"command", "status"}})["audit"]["tampering"], 1);
  ::usleep(1'100'000);
  Audit& audit = engine_->audit();
  for (int i = 0; i < 12 && !events("evidence_dropped").size(); ++i) {
    ::usleep(1'000'000);
    audit.tick(true);
  }
  EXPECT_EQ(ask({{"command", "status"}})["audit"]["tampering"], 0);
  const auto list = events("tampering");
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0]["kept"], false);
  EXPECT_EQ(shown(list[0]["number"]), "secret\n") << "the snapshot still has it";
  EXPECT_EQ(problems(), "");
}

// What a hostile store says there must not take down its server, nor who lists events.
TEST(AuditLogTest, LinesWithMembersOfOtherKindsAreNone) {
  testing::TempDir directory;
  const auto io = make_posix_io();
  const std::string path = directory / "audit.log";
  const std::string members = R"("event":"x","sequence":1,"time":"t","time_ns":5,"previous":"")";
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& more :
       {std::string(R"("durable":"much")"), std::string(R"("durable":-1)"),
        std::string(R"("time":7)"), std::string(R"("previous":{})"), R"("more":)" + deep}) {
    std::ofstream(path, std::ios::trunc) << "{" + members + "," + more + "}\n";
    std::vector<nlohmann::json> seen;
    const auto visit = [&](const nlohmann::json& line) { seen.push_back(line); };
    const auto check = check_audit_log(*io, path, nullptr, visit, {});
    ASSERT_TRUE(check);
    EXPECT_THAT(seen, IsEmpty()) << more.substr(0, 40);
    EXPECT_THAT(check->findings, SizeIs(1)) << more.substr(0, 40);
    auto log = AuditLog::open(*io, path, nullptr);
    ASSERT_TRUE(log);
    EXPECT_TRUE((*log)->append("mount", {}, {}));
  }
}

// No line behind it vouches for the last one.
TEST(AuditLogTest, EveryFlippedBitOfTheLastLineIsFound) {
  testing::TempDir directory;
  const auto io = make_posix_io();
  const std::string path = directory / "audit.log";
  {
    auto log = AuditLog::open(*io, path, nullptr);
    ASSERT_TRUE(log);
    ASSERT_TRUE((*log)->append("mount", {}, {}));
    ASSERT_TRUE((*log)->append("tampering", {.uid = 7}, {{"path", "/app.log"}}));
  }
  const Bytes good = *io->read_file(path, kMiB);
  std::vector<std::string> seen;
  const auto visit = [&](const nlohmann::json& line) { seen.push_back(line.dump()); };
  ASSERT_THAT(check_audit_log(*io, path, nullptr, visit, {})->findings, IsEmpty());
  const std::string last = seen.at(1);
  const std::size_t begin = good.find('\n') + 1;
  for (std::size_t bit = 8 * begin; bit < 8 * (good.size() - 1); ++bit) {
    Bytes other = good;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
    std::ofstream(path, std::ios::binary | std::ios::trunc) << other;
    seen.clear();
    const auto check = check_audit_log(*io, path, nullptr, visit, {});
    ASSERT_TRUE(check);
    if (!check->findings.empty()) continue;
    // Of the name of the checksum: a line of an older program, which says the same and more.
    ASSERT_THAT(seen, SizeIs(2)) << bit;
    auto line = nlohmann::json::parse(seen[1]);
    EXPECT_FALSE(line.contains("checksum"));
    line.erase(std::ranges::find_if(line.items(), [&](const auto& member) {
                 return !nlohmann::json::parse(last).contains(member.key());
               }).key());
    EXPECT_EQ(line.dump(), last) << bit;
  }
}

TEST(AuditLogTest, APlainLineIsNoneInTheLogOfAnEncryptedStore) {
  testing::TempDir directory;
  const auto io = make_posix_io();
  const std::string path = directory / "audit.log";
  const Sealer sealer(*SecretBytes::copy_of(Bytes(kKeySize, 'k')));
  ASSERT_TRUE((*AuditLog::open(*io, path, nullptr))->append("forged", {}, {}));
  std::vector<nlohmann::json> seen;
  const auto visit = [&](const nlohmann::json& line) { seen.push_back(line); };
  const auto check = check_audit_log(*io, path, &sealer, visit, {});
  ASSERT_TRUE(check);
  EXPECT_THAT(seen, IsEmpty());
  EXPECT_THAT(check->findings, SizeIs(1));
}

TEST(AuditLogTest, SealedLinesCanBeReadWithTheKeyOnlyAndTheirChainWithout) {
  testing::TempDir directory;
  const auto io = make_posix_io();
  const std::string path = directory / "audit.log";
  const Sealer sealer(*SecretBytes::copy_of(Bytes(kKeySize, 'k')));
  const Sealer other(*SecretBytes::copy_of(Bytes(kKeySize, 'x')));
  {
    auto log = AuditLog::open(*io, path, &sealer);
    ASSERT_TRUE(log);
    ASSERT_TRUE((*log)->append("tampering", {}, {{"path", "/secret-name"}}));
    ASSERT_TRUE((*log)->append("mount", {}, {}));
  }
  const Bytes bytes = *io->read_file(path, kMiB);
  EXPECT_EQ(bytes.find("secret-name"), Bytes::npos);
  EXPECT_EQ(bytes.find("tampering"), Bytes::npos);
  std::vector<std::string> seen;
  const auto visit = [&](const nlohmann::json& line) { seen.push_back(line.dump()); };
  auto check = check_audit_log(*io, path, &sealer, visit, {});
  ASSERT_TRUE(check);
  EXPECT_THAT(check->findings, IsEmpty());
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_THAT(seen[0], HasSubstr("secret-name"));
  check = check_audit_log(*io, path, &other, {}, {});
  ASSERT_TRUE(check);
  EXPECT_THAT(check->findings, Not(IsEmpty()));
  auto again = AuditLog::open(*io, path, &sealer);
  ASSERT_TRUE(again);
  ASSERT_TRUE((*again)->append("umount", {}, {}));
  check = check_audit_log(*io, path, &sealer, {}, {});
  EXPECT_THAT(check->findings, IsEmpty());
  EXPECT_EQ(check->lines, 3U);
}

}  // namespace
}  // namespace amberfs
