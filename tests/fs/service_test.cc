// SPDX-License-Identifier: Apache-2.0
// Service: requests against an unmounted store; what the mounted server answers is the same code.
#include "fs/service.h"

#include "fs/adopt.h"
#include "fs/engine.h"
#include "fs/path_text.h"
#include "fs/service_access.h"
#include "tests/support/both_forms.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace amberfs {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::create_store(*io_, dir_ / "store",
                                      testing::test_config_text(std::string(32, '0'))));
    auto opened = testing::open_engine(*io_, dir_ / "store");
    ASSERT_TRUE(opened);
    engine_ = *std::move(opened);
  }
  FileSystem& fs() { return engine_->filesystem(); }
  Ino make(const std::string& name, std::uint32_t mode = S_IFREG | 0644, Ino parent = kRootIno) {
    return fs().make({}, parent, name, {.mode = mode}).value().ino;
  }
  void write(Ino ino, ByteView data, std::uint64_t offset = 0) {
    ASSERT_TRUE(fs().write({}, ino, offset, data, {}));
  }
  Json ask(const Json& request) {
    auto reply = Service(*engine_).call(request.dump(), {});
    EXPECT_TRUE(reply) << reply.error().to_string();
    payload_ = reply ? reply->payload : Bytes();
    return reply ? Json::parse(reply->json) : Json::object();
  }
  Errc refused(const std::string& request) {
    auto reply = Service(*engine_).call(request, {});
    return reply ? Errc::kIo : reply.error().code;
  }
  std::string snapshot() { return ask({{"command", "snapshot"}})["snapshot"]["id"]; }
  Bytes content(const std::string& path, const std::string& view = "live") {
    ask({{"command", "read"}, {"view", view}, {"path", path}});
    return payload_;
  }
  // "path change" of each entry.
  std::vector<std::string> diff(const std::string& from, const std::string& to = "live") {
    std::vector<std::string> list;
    const Json reply = ask({{"command", "diff"}, {"from", from}, {"to", to}});
    for (const Json& change : reply["changes"]) {
      list.push_back(change.value("path", "") + " " + change.value("change", ""));
    }
    return list;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Engine> engine_;
  Bytes payload_;
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(ServiceTest, DiffNamesEachKindOfChange) {
  for (const char* name : {"grown", "cut", "edited", "gone", "moved", "mode"}) {
    write(make(name), "0123456789");
  }
  make("dir", S_IFDIR | 0755);
  const Ino inside = make("file", S_IFREG | 0644, fs().lookup(kRootIno, "dir")->ino);
  const std::string before = snapshot();
  write(fs().lookup(kRootIno, "grown")->ino, "more", 10);
  SetAttr shorter;
  shorter.size_bytes = 4;
  ASSERT_TRUE(fs().setattr({}, fs().lookup(kRootIno, "cut")->ino, shorter));
  write(fs().lookup(kRootIno, "edited")->ino, "X", 5);
  ASSERT_TRUE(fs().unlink({}, kRootIno, "gone"));
  ASSERT_TRUE(fs().rename({}, {kRootIno, "moved"}, {kRootIno, "moved.1"}, RenameFlags::kNone));
  ASSERT_TRUE(fs().rename({}, {kRootIno, "dir"}, {kRootIno, "dir2"}, RenameFlags::kNone));
  SetAttr mode;
  mode.mode = 0600;
  ASSERT_TRUE(fs().setattr({}, fs().lookup(kRootIno, "mode")->ino, mode));
  make("new");
  EXPECT_THAT(diff(before),
              ElementsAre("/cut truncated", "/dir2 renamed", "/edited rewritten", "/gone removed",
                          "/grown grown", "/mode attributes", "/moved.1 renamed", "/new added"));
  EXPECT_THAT(diff(before, before), IsEmpty());
  write(inside, "below a renamed directory");
  EXPECT_THAT(diff(before), ::testing::Contains("/dir2/file grown"));
}

TEST_F(ServiceTest, FileMadeAnewUnderTheSameNameIsComparedByContent) {
  write(make("log"), "one\n");
  const std::string before = snapshot();
  ASSERT_TRUE(fs().unlink({}, kRootIno, "log"));
  write(make("log"), "one\ntwo\n");
  EXPECT_THAT(diff(before), ElementsAre("/log grown"));
}

TEST_F(ServiceTest, RestoreKeepsTheInodeAndBringsContentAndAttributesBack) {
  const Ino log = make("log");
  write(log, "good content\n");
  ASSERT_TRUE(fs().set_xattr({}, log, "user.k", "v", FileSystem::XattrMode::kAny));
  const std::string good = snapshot();
  write(log, "BAD!");
  SetAttr mode;
  mode.mode = 0000;
  ASSERT_TRUE(fs().setattr({}, log, mode));
  ASSERT_TRUE(fs().remove_xattr({}, log, "user.k"));
  const Json reply = ask({{"command", "restore"}, {"snap", good}, {"paths", {"log"}}});
  EXPECT_EQ(reply["restored"], Json({"/log"}));
  EXPECT_EQ(fs().lookup(kRootIno, "log")->ino, log);
  EXPECT_EQ(content("log"), "good content\n");
  EXPECT_EQ(fs().getattr(log)->record.mode & 07777, 0644U);
  EXPECT_EQ(fs().get_xattr(log, "user.k").value(), "v");
  EXPECT_THAT(diff(good), IsEmpty()) << "nothing is left to differ";
  // What was there before is in the snapshot taken just before.
  EXPECT_EQ(content("log", reply["before"]["id"]), "BAD! content\n");
}

TEST_F(ServiceTest, RestoreBringsADeletedTreeBackWithItsLinks) {
  const Ino dir = make("dir", S_IFDIR | 0750);
  const Ino file = make("a", S_IFREG | 0644, dir);
  write(file, "linked");
  ASSERT_TRUE(fs().link({}, file, dir, "b"));
  ASSERT_TRUE(fs().symlink({}, dir, "s", "a"));
  const std::string good = snapshot();
  for (const char* name : {"a", "b", "s"}) ASSERT_TRUE(fs().unlink({}, dir, name));
  ASSERT_TRUE(fs().rmdir({}, kRootIno, "dir"));
  const Json dry =
      ask({{"command", "restore"}, {"snap", good}, {"paths", {"dir/b"}}, {"dry_run", true}});
  EXPECT_EQ(dry["created"].size(), 2U);
  EXPECT_FALSE(fs().lookup(kRootIno, "dir")) << "a dry run changes nothing";
  ask({{"command", "restore"}, {"snap", good}, {"paths", {"dir"}}});
  const Ino made = fs().lookup(kRootIno, "dir")->ino;
  EXPECT_EQ(fs().lookup(made, "a")->ino, fs().lookup(made, "b")->ino);
  EXPECT_EQ(fs().lookup(made, "a")->record.nlink, 2U);
  EXPECT_EQ(content("dir/b"), "linked");
  EXPECT_EQ(fs().readlink(fs().lookup(made, "s")->ino).value(), "a");
  EXPECT_TRUE(ask({{"command", "verify"}, {"full", true}})["ok"]);
}

TEST_F(ServiceTest, RestoreOfLinesKeepsWhatWasWrittenSince) {
  const Ino log = make("log");
  write(log, "1\n2\n3\n");
  const std::string good = snapshot();
  SetAttr cut;
  cut.size_bytes = 2;
  ASSERT_TRUE(fs().setattr({}, log, cut));
  write(log, "4\n", 2);
  const Json reply =
      ask({{"command", "restore"}, {"snap", good}, {"paths", {"log"}}, {"lines", true}});
  EXPECT_EQ(reply["files"][0]["lines_restored"], 2);
  EXPECT_EQ(content("log"), "1\n2\n3\n4\n");
  EXPECT_TRUE(ask({{"command", "verify"}})["ok"]);
}

TEST_F(ServiceTest, ExactRestoreRemovesWhatTheSnapshotLacks) {
  const Ino dir = make("dir", S_IFDIR | 0755);
  make("kept", S_IFREG | 0644, dir);
  const std::string good = snapshot();
  make("extra", S_IFREG | 0644, dir);
  ask({{"command", "restore"}, {"snap", good}, {"paths", {"dir"}}});
  EXPECT_TRUE(fs().lookup(dir, "extra")) << "stays unless asked";
  ask({{"command", "restore"}, {"snap", good}, {"paths", {"dir"}}, {"exact", true}});
  EXPECT_FALSE(fs().lookup(dir, "extra"));
  EXPECT_TRUE(ask({{"command", "verify"}})["ok"]);
}

TEST_F(ServiceTest, WrongRequestsAreRefusedAsSuch) {
  snapshot();
  for (const char* request :
       {"", "{", "[]", "5", "{}", R"({"command":5})", R"({"command":"nonsense"})",
        R"({"command":"read","view":"live","path":5})",
        R"({"command":"read","view":"live","path":"\\q"})",
        R"({"command":"read","view":"live","path":"","size":99999999999})",
        R"({"command":"readdir","view":"live","path":"","after":-1})",
        R"({"command":"restore","snap":"latest","paths":"x"})",
        R"({"command":"restore","snap":"latest","paths":[]})",
        R"({"command":"restore","snap":"latest","paths":[1]})",
        R"({"command":"snapshot","name":[]})"}) {
    EXPECT_EQ(refused(request), Errc::kBadRequest) << request;
  }
  EXPECT_EQ(refused(R"({"command":"rollback","snap":"nosuch"})"), Errc::kNoSuchSnapshot);
  EXPECT_EQ(refused(R"({"command":"stat","view":"live","path":"no/such"})"), Errc::kNoSuchPath);
  EXPECT_EQ(refused(R"({"command":"restore","snap":"latest","paths":["nosuch"]})"),
            Errc::kNoSuchPath);
  EXPECT_EQ(refused(R"({"command":"snapshot","name":"a/b"})"), Errc::kBadSnapshotName);
}

TEST_F(ServiceTest, NamesOfAnyBytesSurviveTheWay) {
  const Bytes odd("o\\d\xff\n\x01", 6);
  write(make(odd), "odd");
  const Json entries = ask({{"command", "readdir"}, {"view", "live"}, {"path", ""}})["entries"];
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(decode_path(entries[0]["name"].get<std::string>()), odd);
  EXPECT_EQ(content(entries[0]["name"]), "odd");
}

TEST_F(ServiceTest, AdoptCopiesATreeAndLeavesItUntouched) {
  const std::string source = dir_ / "source";
  std::filesystem::create_directories(source + "/sub");
  ASSERT_EQ(::chmod((source + "/sub").c_str(), 0711), 0);
  {
    std::FILE* file = std::fopen((source + "/sub/sparse").c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fseek(file, 5'000'000, SEEK_SET);
    std::fputs("end", file);
    std::fclose(file);
  }
  ASSERT_EQ(::link((source + "/sub/sparse").c_str(), (source + "/hard").c_str()), 0);
  ASSERT_EQ(::symlink("sub/sparse", (source + "/soft").c_str()), 0);
  ASSERT_EQ(::mkfifo((source + "/fifo").c_str(), 0600), 0);
  const auto report = adopt(*engine_, source, {});
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->files, 1U);
  EXPECT_EQ(report->warnings.size(), 0U);
  EXPECT_LT(report->bytes, 1'000'000U) << "holes are not read";
  EXPECT_EQ(engine_->head().adopted_directory, source);
  struct stat st {};
  ASSERT_EQ(::stat((source + "/sub/sparse").c_str(), &st), 0);
  const auto hard = fs().lookup(kRootIno, "hard");
  ASSERT_TRUE(hard);
  EXPECT_EQ(hard->record.nlink, 2U);
  EXPECT_EQ(hard->record.size_bytes, 5'000'003U);
  EXPECT_EQ(hard->record.mtime.seconds, st.st_mtim.tv_sec);
  EXPECT_EQ(hard->record.mtime.nanoseconds, st.st_mtim.tv_nsec);
  EXPECT_EQ(fs().lookup(kRootIno, "sub")->record.mode & 07777, 0711U);
  EXPECT_TRUE(S_ISFIFO(fs().lookup(kRootIno, "fifo")->record.mode));
  EXPECT_FALSE(adopt(*engine_, source, {})) << "only into an empty store";
}

// The default is to refuse: a command that is new, or gets a new member that changes something.
TEST_F(ServiceTest, AReaderMayOnlyRead) {
  const Caller reader{.access = Caller::Access::kRead, .uid = 7};
  const auto answer = [&](const Json& request) {
    return Service(*engine_).call(request.dump(), {}, reader);
  };
  for (const ReadingCommand& command : reading_commands()) {
    const auto reply = answer({{"command", command.name}});
    const bool exists =
        reply || reply.error().to_string().find("no such command") == std::string::npos;
    EXPECT_TRUE(exists) << command.name;
    EXPECT_TRUE(reply || reply.error().code != Errc::kDenied) << command.name;
  }
  for (const char* name : {"snapshot", "commit", "rollback", "restore", "gc", "hand_over"}) {
    const auto reply = answer({{"command", name}, {"snap", "latest"}, {"paths", {"a"}}});
    ASSERT_FALSE(reply) << name;
    EXPECT_EQ(reply.error().code, Errc::kDenied) << name;
    EXPECT_EQ(reply.error().to_errno(), EACCES);
    EXPECT_THAT(reply.error().to_string(), HasSubstr("root"));
  }
  EXPECT_TRUE(answer({{"command", "verify"}, {"full", true}}));
  const auto heals = answer({{"command", "verify"}, {"heal", true}});
  ASSERT_FALSE(heals);
  EXPECT_EQ(heals.error().code, Errc::kDenied);
  EXPECT_EQ(engine_->catalog().count(), 0U);
}

}  // namespace
}  // namespace amberfs
