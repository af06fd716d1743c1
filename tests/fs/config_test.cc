// SPDX-License-Identifier: Apache-2.0
#include "fs/config.h"

#include "tests/support/seed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace amberfs {
namespace {

using ::testing::HasSubstr;

const std::string kId(32, 'a');

TEST(Config, DefaultTextParsesToTheDefaults) {
  const auto config = parse_config(default_config_text(kId), "config.toml");
  ASSERT_TRUE(config) << config.error().to_string();
  const Config defaults;
  EXPECT_EQ(config->store_id, kId);
  EXPECT_EQ(config->format_version, defaults.format_version);
  EXPECT_EQ(config->chunker.size_average, defaults.chunker.size_average);
  EXPECT_EQ(config->chunker.size_min, defaults.chunker.size_min);
  EXPECT_EQ(config->chunker.size_max, defaults.chunker.size_max);
  EXPECT_EQ(config->blocks.zstd_level, defaults.blocks.zstd_level);
  EXPECT_EQ(config->blocks.pack_size_bytes, defaults.blocks.pack_size_bytes);
  EXPECT_EQ(config->blocks.cache_size_bytes, defaults.blocks.cache_size_bytes);
  EXPECT_EQ(config->journal.segment_size_bytes, defaults.journal.segment_size_bytes);
  EXPECT_EQ(config->journal_sync_ms, defaults.journal_sync_ms);
  EXPECT_EQ(config->commit_every_s, defaults.commit_every_s);
  EXPECT_EQ(config->commit_journal_bytes, defaults.commit_journal_bytes);
  EXPECT_EQ(config->snapshot_every_s, defaults.snapshot_every_s);
  EXPECT_TRUE(config->exact_globs.empty());
  EXPECT_EQ(config->access_group, "");
  EXPECT_EQ(config->snapshots_for, SnapshotsFor::kAll);
}

std::string error_of(const std::string& text) {
  const auto config = parse_config(text, "config.toml");
  return config ? "" : config.error().to_string();
}

TEST(Config, RefusesANewerFormatAsSuch) {
  const auto config = parse_config("[store]\nformat = 2\n", "config.toml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Errc::kNewerFormat);
}

TEST(Config, NamesTheSettingThatIsWrong) {
  const std::string head = "[store]\nformat = 1\n";
  EXPECT_THAT(error_of(head + "[codec]\nzstd_level = 99\n"), HasSubstr("codec.zstd_level"));
  EXPECT_THAT(error_of(head + "[packs]\nsize = 7\n"), HasSubstr("packs.size"));
  EXPECT_THAT(error_of(head + "[journal]\nsegment = \"4MiB\"\n"), HasSubstr("from 32MiB to 1GiB"));
  EXPECT_THAT(error_of(head + "[schedule]\nevery = \"often\"\n"), HasSubstr("schedule.every"));
  EXPECT_THAT(error_of(head + "[schedule]\nevry = \"10m\"\n"), HasSubstr("schedule.evry"));
  EXPECT_THAT(error_of(head + "[capture]\nexact = \"a\"\n"), HasSubstr("capture.exact"));
  EXPECT_THAT(error_of(head + "[chunking]\naverage = \"700KiB\"\n"), HasSubstr("power of two"));
  EXPECT_THAT(error_of("[store\n"), HasSubstr("line 1"));
  EXPECT_THAT(error_of(""), HasSubstr("store.format"));
}

TEST(Config, SaysWhoMayLookAtSnapshots) {
  const std::string head = "[store]\nformat = 1\n[access]\n";
  const auto config = parse_config(head + "group = \"adm\"\nsnapshots = \"root\"\n", "c");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->access_group, "adm");
  EXPECT_EQ(config->snapshots_for, SnapshotsFor::kRoot);
  EXPECT_THAT(error_of(head + "snapshots = \"adm\"\n"), HasSubstr("access.snapshots"));
  EXPECT_THAT(error_of(head + "group = 4\n"), HasSubstr("access.group"));
}

TEST(Config, ScheduleCanBeTurnedOff) {
  const auto config = parse_config("[store]\nformat=1\n[schedule]\nevery=\"off\"\n", "c");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->snapshot_every_s, 0U);
}

TEST(Glob, StarStaysWithinADirectoryAndTwoStarsDoNot) {
  EXPECT_TRUE(matches_glob("audit/*.log", "audit/a.log"));
  EXPECT_FALSE(matches_glob("audit/*.log", "audit/x/a.log"));
  EXPECT_TRUE(matches_glob("audit/**", "audit/x/a.log"));
  EXPECT_TRUE(matches_glob("**/a.log", "a.log"));
  EXPECT_TRUE(matches_glob("**/a.log", "x/y/a.log"));
  EXPECT_FALSE(matches_glob("**/a.log", "x/ya.log"));
  EXPECT_TRUE(matches_glob("/audit/?", "audit/x"));
  EXPECT_FALSE(matches_glob("audit/?", "audit//"));
}

TEST(Glob, PatternWithoutASlashMatchesInEveryDirectory) {
  EXPECT_TRUE(matches_glob("secure*", "var/log/secure.1"));
  EXPECT_TRUE(matches_glob("secure*", "secure"));
  EXPECT_FALSE(matches_glob("secure*", "secure.d/other"));
}

// The way it was tried before, one star after the other: simple, and slow.
bool matches_slowly(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) return path.empty();
  const bool two = pattern.starts_with("**");
  if (two || pattern.front() == '*') {
    const std::string_view rest = pattern.substr(two ? 2 : 1);
    if (two && rest.starts_with('/') && matches_slowly(rest.substr(1), path)) return true;
    for (std::size_t skip = 0; skip <= path.size(); ++skip) {
      if (matches_slowly(rest, path.substr(skip))) return true;
      if (!two && skip < path.size() && path[skip] == '/') return false;
    }
    return false;
  }
  if (path.empty()) return false;
  const bool same = pattern.front() == '?' ? path.front() != '/' : pattern.front() == path.front();
  return same && matches_slowly(pattern.substr(1), path.substr(1));
}

TEST(Glob, AgreesWithTryingEveryWay) {
  std::mt19937_64 random(testing::test_seed());
  const auto text = [&](std::string_view letters, std::size_t size) {
    std::string made = "a/";  // with a slash, so that the whole path is matched
    for (std::size_t i = random() % size; i > 0; --i) made += letters[random() % letters.size()];
    return made;
  };
  int matched = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string pattern = text("ab/**?", 8);
    const std::string path = text("ab/*", 8);
    const bool expected = matches_slowly(pattern, path);
    ASSERT_EQ(matches_glob(pattern, path), expected) << pattern << " " << path;
    matched += expected ? 1 : 0;
  }
  EXPECT_GT(matched, 1000);
}

TEST(Glob, ManyStarsTakeNoTime) {
  std::string pattern = "/";
  for (int i = 0; i < 1000; ++i) pattern += "**a*";
  EXPECT_FALSE(matches_glob(pattern + "b", std::string(3000, 'a')));
  EXPECT_TRUE(matches_glob(pattern, std::string(3000, 'a')));
}

TEST(Units, SizesAndDurations) {
  EXPECT_EQ(parse_size("64MiB"), 64 * kMiB);
  EXPECT_EQ(parse_size("5"), 5U);
  EXPECT_FALSE(parse_size("MiB"));
  EXPECT_FALSE(parse_size("64 MiB"));
  EXPECT_FALSE(parse_size("99999999999GiB"));
  EXPECT_EQ(parse_duration_s("10m"), 600U);
  EXPECT_EQ(parse_duration_s("off"), 0U);
  EXPECT_FALSE(parse_duration_s("10"));
}

}  // namespace
}  // namespace amberfs
