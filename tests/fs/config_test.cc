// SPDX-License-Identifier: Apache-2.0
#include "fs/config.h"

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
