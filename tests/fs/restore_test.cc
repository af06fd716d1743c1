// SPDX-License-Identifier: Apache-2.0
// Restore of whole paths and of lines: what goes on, what is made anew, and that no byte of a
// program is lost between the snapshot and the batch.
#include "fs/restore.h"

#include "tests/fs/command_support.h"

#include <functional>
#include <map>
#include <tuple>

namespace amberfs {
namespace {

using testing::CommandFixture;
using ::testing::IsEmpty;

class RestoreTest : public CommandFixture {};

TEST_F(RestoreTest, FilesThatWereLinkedTogetherSinceAreTwoAgain) {
  const Ino a = write("a", "content of a");
  write("b", "content of b");
  const std::string good = snapshot();
  unlink("b");
  link("a", "b");
  restore(good, {"a", "b"});
  EXPECT_EQ(content("a"), "content of a");
  EXPECT_EQ(content("b"), "content of b");
  EXPECT_EQ(ino("a"), a);
  EXPECT_EQ(problems(), "");
}

TEST_F(RestoreTest, OtherNamesOfAFileThatTookItsPlaceStayAsTheyAre) {
  write("b", "content of b");
  const std::string good = snapshot();
  const Ino other = write("other", "must stay");
  unlink("b");
  link("other", "b");
  restore(good, {"b"});
  EXPECT_EQ(content("b"), "content of b");
  EXPECT_EQ(content("other"), "must stay");
  EXPECT_EQ(ino("other"), other);
  EXPECT_EQ(fs().getattr(other)->record.nlink, 1U);
  EXPECT_EQ(problems(), "");
}

TEST_F(RestoreTest, LinkedFileKeepsTheInodeThatIsStillThere) {
  write("a", "linked");
  link("a", "b");
  const Ino file = ino("b");
  const std::string good = snapshot();
  unlink("a");
  write("b", "DAMAGE");
  const Json reply = restore(good, {"a", "b"});
  EXPECT_EQ(ino("a"), file);
  EXPECT_EQ(ino("b"), file);
  EXPECT_EQ(content("a"), "linked");
  EXPECT_EQ(reply["created"], Json({"/a"}));
  EXPECT_EQ(reply["restored"], Json({"/b"}));
  EXPECT_EQ(problems(), "");
}

TEST_F(RestoreTest, LinkedFileThatWasMadeAnewGoesOnInTheNextRestore) {
  write("a", "linked");
  link("a", "b");
  const std::string good = snapshot();
  unlink("a");
  unlink("b");
  restore(good, {"a", "b"});
  const Ino made = ino("a");
  write("b", "DAMAGE");
  const Json reply = restore(good, {"a", "b"});
  EXPECT_EQ(ino("a"), made);
  EXPECT_EQ(ino("b"), made);
  EXPECT_EQ(content("a"), "linked");
  EXPECT_EQ(reply["created"], Json::array());
}

TEST_F(RestoreTest, WhatIsOfAnotherTypeIsReplacedAndWhoHasItOpenKeepsIt) {
  write("x", "was a file");
  make("y", S_IFDIR | 0755);
  write("y/inside", "was in a directory");
  const std::string good = snapshot();
  unlink("x");
  make("x", S_IFDIR | 0755);
  const Ino open_file = write("x/open", "still read");
  ASSERT_TRUE(fs().open(open_file, false, {}));
  ASSERT_TRUE(fs().unlink({}, ino("y"), "inside"));
  ASSERT_TRUE(fs().rmdir({}, kRootIno, "y"));
  write("y", "now a file");
  restore(good, {"x", "y"});
  EXPECT_EQ(content("x"), "was a file");
  EXPECT_EQ(content("y/inside"), "was in a directory");
  Bytes still(10, '\0');
  ASSERT_TRUE(fs().read(open_file, 0, still.data(), still.size()));
  EXPECT_EQ(still, "still read");
  EXPECT_EQ(problems(), "");
  ASSERT_TRUE(fs().release(open_file));
  EXPECT_FALSE(fs().getattr(open_file));
  EXPECT_EQ(problems(), "");
}

TEST_F(RestoreTest, DirectoryNamesWhatItKeeps) {
  make("d", S_IFDIR | 0755);
  write("d/f", "1");
  const std::string good = snapshot();
  write("d/extra", "2");
  Json reply = restore(good, {"/d/"});
  EXPECT_EQ(reply["kept"], Json({"/d/extra"}));
  EXPECT_EQ(reply["kept_count"], 1);
  reply = restore(good, {"d"}, {{"exact", true}});
  EXPECT_EQ(reply["removed"], Json({"/d/extra"}));
  EXPECT_EQ(reply["kept"], Json::array());
}

TEST_F(RestoreTest, NameWithAStarIsThatNameWhereItExists) {
  write("a*", "star");
  write("ab", "b");
  const std::string good = snapshot();
  write("a*", "XXXX");
  write("ab", "X");
  restore(good, {"a*"});
  EXPECT_EQ(content("a*"), "star");
  EXPECT_EQ(content("ab"), "X");
  restore(good, {"?b"});
  EXPECT_EQ(content("ab"), "b");
}

TEST_F(RestoreTest, UnknownPathChangesNothing) {
  write("a", "one");
  const std::string good = snapshot();
  write("a", "two");
  const std::size_t before = snapshot_count();
  for (const char* unknown : {"nosuch", "a/b", "..", "*.nosuch"}) {
    for (const bool lines : {false, true}) {
      EXPECT_EQ(refused({{"command", "restore"},
                         {"snap", good},
                         {"paths", {"a", unknown}},
                         {"lines", lines}}),
                Errc::kNoSuchPath)
          << unknown;
    }
  }
  EXPECT_EQ(content("a"), "two");
  EXPECT_EQ(snapshot_count(), before);
}

TEST_F(RestoreTest, DryRunTakesNoSnapshotAndTellsTheSame) {
  write("a", "1\n2\n");
  write("same", "same");
  const std::string good = snapshot();
  cut("a", 2);
  const std::size_t before = snapshot_count();
  const Json dry = restore(good, {"a", "same"}, {{"dry_run", true}});
  const Json dry_lines = restore(good, {"a"}, {{"dry_run", true}, {"lines", true}});
  EXPECT_EQ(dry["restored"], Json({"/a"}));
  EXPECT_EQ(dry["unchanged"], 1);
  EXPECT_EQ(dry_lines["files"][0]["lines_restored"], 1);
  EXPECT_FALSE(dry_lines["files"][0].contains("before"));
  EXPECT_EQ(content("a"), "1\n");
  EXPECT_EQ(snapshot_count(), before);
  EXPECT_EQ(restore(good, {"a", "same"})["restored"], dry["restored"]);
}

TEST_F(RestoreTest, MoreThanABatchHoldsIsRefusedAndNothingChanges) {
  make("d", S_IFDIR | 0755);
  const Bytes value(60'000, 'v');
  for (int file = 0; file < 6; ++file) {
    const Ino made = make("d/f" + std::to_string(file));
    for (int i = 0; i < 75; ++i) {
      ASSERT_TRUE(fs().set_xattr({}, made, "user." + std::to_string(i), value,
                                 FileSystem::XattrMode::kAny));
    }
  }
  const std::string good = snapshot();
  for (int file = 0; file < 6; ++file) {
    ASSERT_TRUE(fs().unlink({}, ino("d"), "f" + std::to_string(file)));
  }
  EXPECT_EQ(refused({{"command", "restore"}, {"snap", good}, {"paths", {"d"}}}),
            Errc::kUnsupported);
  EXPECT_EQ(ino("d/f0"), kNoIno);
  restore(good, {"d/f0", "d/f1"});
  EXPECT_EQ(fs().get_xattr(ino("d/f1"), "user.74").value(), value);
}

TEST_F(RestoreTest, ContentIsSharedNotCopied) {
  Bytes text;
  std::mt19937 random(7);
  while (text.size() < 8 * kMiB) text += std::to_string(random()) + "\n";
  write("big", text);
  const std::string good = snapshot();
  cut("big", 100);
  ASSERT_TRUE(engine_->commit());
  const std::uint64_t before = engine_->blocks().stats()->pack_bytes;
  restore(good, {"big"});
  ASSERT_TRUE(engine_->commit());
  EXPECT_LT(engine_->blocks().stats()->pack_bytes - before, 64 * kKiB);
  EXPECT_EQ(fs().getattr(ino("big"))->record.size_bytes, text.size());
  EXPECT_EQ(content("big"), text.substr(0, kMiB));
  kill_and_open();
  EXPECT_EQ(content("big"), text.substr(0, kMiB));
}

TEST_F(RestoreTest, LinesOfSeveralFilesByGlob) {
  for (const char* name : {"a.log", "b.log", "c.txt", "gone.log"}) write(name, "1\n2\n3\n");
  const std::string good = snapshot();
  for (const char* name : {"a.log", "b.log", "c.txt"}) cut(name, 2);
  unlink("gone.log");
  const Json reply = restore(good, {"*.log"}, {{"lines", true}});
  EXPECT_EQ(reply["files"].size(), 2U);
  EXPECT_EQ(content("a.log"), "1\n2\n3\n");
  EXPECT_EQ(content("b.log"), "1\n2\n3\n");
  EXPECT_EQ(content("c.txt"), "1\n");
}

TEST_F(RestoreTest, DamagedLinesStayWhenAskedTo) {
  write("log", "1\n2\n3\n");
  const std::string good = snapshot();
  write("log", Bytes("\0", 1), 2);
  restore(good, {"log"}, {{"lines", true}, {"replace_damaged", false}});
  EXPECT_EQ(content("log"), Bytes("1\n2\n\0\n3\n", 8));
  const Json reply = restore(good, {"log"}, {{"lines", true}});
  EXPECT_EQ(reply["files"][0]["lines_restored"], 0) << "they are there already";
}

TEST_F(RestoreTest, RestoredLinesSurviveAKill) {
  Bytes text;
  for (int i = 0; i < 50'000; ++i) text += "line number " + std::to_string(i) + "\n";
  write("log", text);
  const std::string good = snapshot();
  cut("log", text.size() / 3);
  restore(good, {"log"}, {{"lines", true}});
  kill_and_open();
  EXPECT_EQ(fs().getattr(ino("log"))->record.size_bytes, text.size());
  EXPECT_EQ(content("log"), text.substr(0, kMiB));
  EXPECT_EQ(problems(), "");
}

// A mount whose programs do something at the worst moment: when everything is planned and nothing
// is held yet.
class WorstMoment final : public MountHooks {
 public:
  Status flush_kernel() override { return ok(); }
  Status change_files(const std::vector<Ino>& inos,
                      const std::function<Status()>& change) override {
    held.push_back(inos);
    if (before_change) before_change(held.size());
    return change();
  }
  void invalidate_name(Ino, ByteView) override { ++invalidated; }
  void invalidate_inode(Ino) override { ++invalidated; }
  std::vector<OpenFileUser> open_file_users() override { return {}; }
  std::string mount_point() const override { return "/mnt"; }

  std::function<void(std::size_t)> before_change;
  std::vector<std::vector<Ino>> held;
  int invalidated = 0;
};

TEST_F(RestoreTest, WhatIsWrittenUntilTheLastMomentIsInTheSnapshotBefore) {
  const Ino log = write("log", "good\n");
  const std::string good = snapshot();
  write("log", "bad\n", 5);
  WorstMoment mount;
  mount.before_change = [&](std::size_t) { write("log", "late\n", 9); };
  engine_->set_hooks(&mount);
  const Json reply = restore(good, {"log"});
  engine_->set_hooks(nullptr);
  EXPECT_EQ(content("log"), "good\n");
  EXPECT_EQ(content("log", reply["before"]["id"]), "good\nbad\nlate\n");
  ASSERT_EQ(mount.held.size(), 1U);
  EXPECT_EQ(mount.held[0], std::vector<Ino>{log});
  EXPECT_GT(mount.invalidated, 0);
}

TEST_F(RestoreTest, FileThatAppearsMeanwhileIsHeldBeforeItIsReplaced) {
  write("log", "good\n");
  const std::string good = snapshot();
  unlink("log");
  WorstMoment mount;
  mount.before_change = [&](std::size_t attempt) {
    if (attempt == 1) write("log", "made meanwhile\n");
  };
  engine_->set_hooks(&mount);
  const Json reply = restore(good, {"log"});
  engine_->set_hooks(nullptr);
  EXPECT_EQ(content("log"), "good\n");
  EXPECT_EQ(content("log", reply["before"]["id"]), "made meanwhile\n");
  ASSERT_EQ(mount.held.size(), 2U);
  EXPECT_EQ(mount.held[1], std::vector<Ino>{ino("log")});
}

TEST_F(RestoreTest, LinesAppendedBeforeTheSwitchStayBehindTheRestoredOnes) {
  write("log", "1\n2\n3\n");
  const std::string good = snapshot();
  cut("log", 2);
  WorstMoment mount;
  mount.before_change = [&](std::size_t) { write("log", "late\n", 2); };
  engine_->set_hooks(&mount);
  restore(good, {"log"}, {{"lines", true}});
  engine_->set_hooks(nullptr);
  EXPECT_EQ(content("log"), "1\n2\n3\nlate\n");
}

TEST_F(RestoreTest, LineThatIsFinishedMeanwhileStaysWhole) {
  write("log", "1\nsecond\n3\n");
  const std::string good = snapshot();
  cut("log", 4);  // "1\nse": the cut-off beginning of a lost line, or of one that is being written
  WorstMoment mount;
  mount.before_change = [&](std::size_t attempt) {
    if (attempt == 1) write("log", "rvice started\n", 4);
  };
  engine_->set_hooks(&mount);
  restore(good, {"log"}, {{"lines", true}});
  engine_->set_hooks(nullptr);
  EXPECT_EQ(content("log"), "1\nsecond\n3\nservice started\n");
}

// Everything a program can see of a tree; hard links by the first path of their inode.
using Listing =
    std::map<Bytes,
             std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::int64_t, Bytes, Bytes>>;

Listing listing(Engine& engine, const View& view) {
  Listing all;
  std::map<Ino, Bytes> first;
  const std::function<void(Ino, const Bytes&)> walk = [&](Ino directory, const Bytes& path) {
    EXPECT_TRUE(view.list_directory(directory, 0, [&](const View::DirectoryEntry& entry) {
      const Bytes child = path + "/" + entry.name;
      const InodeRecord record = view.inode(entry.dirent.ino).value();
      Bytes bytes(S_ISREG(record.mode) ? record.size_bytes : 0, '\0');
      EXPECT_TRUE(engine.data().read(view, entry.dirent.ino, 0, bytes.data(), bytes.size()));
      if (S_ISLNK(record.mode)) bytes = view.target(entry.dirent.ino).value();
      all[child] = {record.mode, record.uid, record.nlink, record.mtime.nanoseconds, bytes, {}};
      if (S_ISDIR(record.mode)) walk(entry.dirent.ino, child);
      return true;
    }));
  };
  walk(kRootIno, {});
  for (auto& [path, seen] : all) {
    const Ino ino = view.resolve_path(path).value();
    std::get<5>(seen) = first.try_emplace(ino, path).first->second;
  }
  return all;
}

class RandomRestoreTest : public RestoreTest {
 protected:
  // A few names in a few directories, so that operations meet.
  std::pair<Ino, Bytes> place() {
    static constexpr const char* kDirectories[] = {"", "d0", "d1", "d0/e"};
    const Ino directory = ino(kDirectories[random_() % 4]);
    const bool usable = directory != kNoIno && S_ISDIR(fs().getattr(directory)->record.mode);
    static constexpr const char* kNames[] = {"a", "b", "c", "d0", "d1", "e"};
    return {usable ? directory : kRootIno, kNames[random_() % 6]};
  }
  // Most fail now and then (the name is taken, is a directory …): that is as good.
  void change_something() {
    const auto [directory, name] = place();
    const auto [other, new_name] = place();
    const auto found = fs().lookup(directory, name);
    bool done = false;
    switch (random_() % 9) {
      case 0:
      case 1:
        done = fs().make({}, directory, name, {.mode = S_IFREG | 0644}).has_value();
        break;
      case 2:
        done = fs().make({}, directory, name, {.mode = S_IFDIR | 0755}).has_value();
        break;
      case 3:
        done = fs().symlink({}, directory, name, std::to_string(random_() % 3)).has_value();
        break;
      case 4:
        done = fs().unlink({}, directory, name) || fs().rmdir({}, directory, name);
        break;
      case 5:
        done =
            fs().rename({}, {directory, name}, {other, new_name}, RenameFlags::kNone).has_value();
        break;
      case 6:
        done = found && fs().link({}, found->ino, other, new_name).has_value();
        break;
      default:
        if (found && S_ISREG(found->record.mode)) {
          done = fs().write({}, found->ino, random_() % 5000, Bytes(random_() % 3000 + 1, 'x'), {})
                     .has_value();
        }
    }
    changes_ += done ? 1 : 0;
  }

  std::mt19937_64 random_{testing::test_seed()};
  int changes_ = 0;
};

TEST_F(RandomRestoreTest, ExactRestoreOfEverythingGivesTheTreeOfTheSnapshot) {
  for (int round = 0; round < 25; ++round) {
    for (int i = 0; i < 40; ++i) change_something();
    const std::string good = snapshot();
    const auto target = engine_->catalog().resolve(good);
    ASSERT_TRUE(target);
    const Listing wanted = listing(*engine_, *engine_->view_of(*target).view);
    for (int i = 0; i < 40; ++i) change_something();
    if (round % 2 == 0) {
      ASSERT_TRUE(engine_->commit());
    }
    restore(good, {"/"}, {{"exact", true}});
    ASSERT_EQ(listing(*engine_, *engine_->live_view()), wanted) << "round " << round;
    ASSERT_EQ(problems(), "") << "round " << round;
    if (round % 8 == 7) {
      kill_and_open();
      ASSERT_EQ(listing(*engine_, *engine_->live_view()), wanted) << "killed, round " << round;
      ASSERT_EQ(problems(), "") << "killed, round " << round;
    }
    const Json again = restore(good, {"/"}, {{"exact", true}, {"dry_run", true}});
    ASSERT_THAT(again["created"], IsEmpty());
    ASSERT_THAT(again["removed"], IsEmpty());
    ASSERT_THAT(again["restored"], IsEmpty()) << again.dump();
  }
  EXPECT_GT(changes_, 300) << "the operations must do something";
}

}  // namespace
}  // namespace amberfs
