// SPDX-License-Identifier: Apache-2.0
// Diff: filters, links, pages, lines, and what it costs.
#include "fs/diff.h"

#include "tests/fs/command_support.h"

namespace amberfs {
namespace {

using testing::CommandFixture;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DiffTest : public CommandFixture {};

TEST_F(DiffTest, FiltersTakePathsDirectoriesGlobsAndRenamesAbove) {
  make("d", S_IFDIR | 0755);
  write("d/f", "1");
  const std::string before = snapshot();
  write("a.log", "1");
  write("d/f", "2");
  make("old", S_IFDIR | 0755);
  const auto from = [&](std::vector<std::string> paths) {
    return diff({{"from", before}, {"paths", paths}});
  };
  EXPECT_THAT(from({"a.log"}), ElementsAre("/a.log added"));
  EXPECT_THAT(from({"/d/"}), ElementsAre("/d/f rewritten"));
  EXPECT_THAT(from({"*.log", "d/?"}), ElementsAre("/a.log added", "/d/f rewritten"));
  EXPECT_THAT(from({"d/f/"}), ElementsAre("/d/f rewritten"));
  EXPECT_THAT(from({"dx", "a"}), IsEmpty());
  const std::string middle = snapshot();
  ASSERT_TRUE(fs().rename({}, {kRootIno, "d"}, {kRootIno, "e"}, RenameFlags::kNone));
  EXPECT_THAT(diff({{"from", middle}, {"paths", {"e/f"}}}), ElementsAre("/e renamed"));
  EXPECT_THAT(diff({{"from", middle}, {"paths", {"d/f"}}}), ElementsAre("/e renamed"));
}

TEST_F(DiffTest, ALinkMadeAndALinkRemovedAreNamed) {
  write("a", "1");
  link("a", "b");
  const std::string before = snapshot();
  unlink("b");
  EXPECT_THAT(diff({{"from", before}}), ElementsAre("/b removed"));
  link("a", "c");
  link("a", "d");
  EXPECT_THAT(diff({{"from", before}}), ElementsAre("/c renamed", "/d added"));
}

TEST_F(DiffTest, AnotherTypeAndARotationAreSeenForWhatTheyAre) {
  write("x", "1");
  write("log", "old lines\n");
  const std::string before = snapshot();
  unlink("x");
  make("x", S_IFDIR | 0755);
  ASSERT_TRUE(fs().rename({}, {kRootIno, "log"}, {kRootIno, "log.1"}, RenameFlags::kNone));
  write("log", "new\n");
  EXPECT_THAT(diff({{"from", before}}), ElementsAre("/log added", "/log.1 renamed", "/x type"));
}

TEST_F(DiffTest, GrowthIsFoundWhereverTheCutsAre) {
  Bytes text;
  std::mt19937 random(3);
  while (text.size() < 3 * kMiB) text += std::to_string(random()) + "\n";
  for (const char* name : {"grown", "same", "inside", "cut"}) write(name, text);
  const std::string before = snapshot();
  write("grown", "more\n", text.size());
  write("same", text.substr(kMiB, 100), kMiB);  // the same bytes again
  write("inside", "DIFFERENT", 2 * kMiB);
  write("inside", "and longer", text.size());
  cut("cut", 2 * kMiB + 5);
  EXPECT_THAT(diff({{"from", before}}),
              ::testing::IsSupersetOf({"/cut truncated", "/grown grown", "/inside rewritten"}));
  EXPECT_THAT(diff({{"from", before}, {"paths", {"same"}}}),
              ::testing::Not(::testing::Contains(HasSubstr("rewritten"))));
}

TEST_F(DiffTest, CostsWhatChangedNotWhatThereIs) {
  for (int d = 0; d < 30; ++d) {
    make("d" + std::to_string(d), S_IFDIR | 0755);
    for (int f = 0; f < 100; ++f) write("d" + std::to_string(d) + "/f" + std::to_string(f), "text");
  }
  const std::string before = snapshot();
  write("d7/f7", "more", 4);
  ASSERT_TRUE(fs().rename({}, {kRootIno, "d9"}, {kRootIno, "moved"}, RenameFlags::kNone));
  const std::string after = snapshot();
  const auto looked_up = [&] {
    const auto stats = engine_->blocks().stats();
    return stats->cache_hits + stats->cache_misses;
  };
  const std::uint64_t start = looked_up();
  EXPECT_THAT(diff({{"from", before}, {"to", after}}),
              ElementsAre("/d7/f7 grown", "/moved renamed"));
  EXPECT_LT(looked_up() - start, 300U) << "3000 files, two changes";
}

TEST_F(DiffTest, PagesAreOfOneMoment) {
  const std::string before = (write("a", "1"), snapshot());
  Bytes text;
  for (int i = 0; text.size() < 5 * kMiB; ++i) text += "line " + std::to_string(i) + "\n";
  for (const char* name : {"b", "c", "d"}) write(name, text);
  Json request{{"command", "diff"}, {"from", before}, {"lines", true}};
  const Json first = ask(request);
  ASSERT_TRUE(first.contains("next"));
  EXPECT_EQ(first["changes"].size(), 2U);
  EXPECT_EQ(first["total"], 3);
  write("aa", "made between two pages");
  unlink("d");
  request["skip"] = first["next"];
  const Json second = ask(request);
  ASSERT_EQ(second["changes"].size(), 1U);
  EXPECT_EQ(second["changes"][0]["path"], "/d");
  EXPECT_EQ(second["total"], 3);
  EXPECT_FALSE(second.contains("next"));
}

TEST_F(DiffTest, TokensThatAreNoneAreRefused) {
  for (const Json& token : {Json(5), Json(""), Json("x"), Json(std::string(300, '0')),
                            Json(std::string(64, '0') + "-" + std::string(64, '0') + "-"),
                            Json(std::string(64, '0') + "-" + std::string(64, '0') + "--1"),
                            Json(std::string(64, 'z') + "-" + std::string(64, '0') + "-1")}) {
    EXPECT_EQ(refused({{"command", "diff"}, {"skip", token}}), Errc::kBadRequest) << token;
  }
  const std::string unknown = std::string(64, 'a') + "-" + std::string(64, '0') + "-1";
  EXPECT_EQ(refused({{"command", "diff"}, {"skip", unknown}}), Errc::kBlockMissing);
}

TEST_F(DiffTest, LinesAreAUnifiedDiffAndBinariesSaySo) {
  write("text", "1\n2\n3\n");
  write("binary", Bytes("\0\1\2", 3));
  const std::string before = snapshot();
  write("text", "X", 2);
  write("binary", Bytes("\0\1\3", 3));
  const Json reply = ask({{"command", "diff"}, {"from", before}, {"lines", true}});
  EXPECT_THAT(reply["changes"][0]["lines"].get<std::string>(), HasSubstr("binary"));
  EXPECT_EQ(reply["changes"][1]["lines"], "@@ -1,3 +1,3 @@\n 1\n-2\n+X\n 3\n");
}

}  // namespace
}  // namespace amberfs
