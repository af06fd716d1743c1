// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog.h"

#include "tests/support/temp_dir.h"
#include "tests/support/test_cipher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace amberfs {
namespace {

using ::testing::HasSubstr;
constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kTime = 1'795'170'785'000 * kMillisecond;  // 2026-11-20T10:33:05Z

class CatalogTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    auto opened = Catalog::open(*io_, dir_.path(), testing::test_cipher());
    ASSERT_TRUE(opened) << opened.error().to_string();
    catalog_ = *std::move(opened);
  }
  Manifest add(std::uint64_t sequence, const std::string& name = "") {
    Manifest manifest;
    manifest.sequence = sequence;
    manifest.time_ns = kTime + static_cast<std::int64_t>(sequence) * 1000 * kMillisecond + 5;
    manifest.root = BlockId{sha256(std::to_string(sequence))};
    manifest.name = name;
    manifest.kind = "manual";
    const Status added = catalog_->add(manifest);
    EXPECT_TRUE(added) << added.error().to_string();
    return manifest;
  }
  std::uint64_t resolve(std::string_view snap) {
    const auto found = catalog_->resolve(snap);
    return found ? found->sequence : 0;
  }
  Errc error(std::string_view snap) {
    const auto found = catalog_->resolve(snap);
    return found ? Errc::kIo : found.error().code;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, ResolvesEveryFormAlsoAfterReopening) {
  add(1, "first");
  const Manifest two = add(2);
  add(3, "third");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(resolve("latest"), 3U);
    EXPECT_EQ(resolve("latest~0"), 3U);
    EXPECT_EQ(resolve("latest~2"), 1U);
    EXPECT_EQ(error("latest~3"), Errc::kNoSuchSnapshot);
    EXPECT_EQ(error("latest~x"), Errc::kNoSuchSnapshot);
    EXPECT_EQ(resolve("first"), 1U);
    EXPECT_EQ(resolve("#2"), 2U);
    EXPECT_EQ(error("#9"), Errc::kNoSuchSnapshot);
    EXPECT_EQ(resolve(two.id), 2U);
    EXPECT_EQ(resolve(two.id.substr(0, 12)), 2U);
    EXPECT_EQ(resolve(two.id.substr(0, 20)), 2U);
    EXPECT_EQ(error(two.id.substr(0, 20) + "ffff"), Errc::kNoSuchSnapshot);
    EXPECT_EQ(resolve(format_time(two.time_ns)), 2U) << "the time shown names it";
    EXPECT_EQ(resolve("2026-11-20T10:33:07.500"), 2U);
    EXPECT_EQ(resolve("2030-01-01"), 3U);
    EXPECT_EQ(error("2020-01-01"), Errc::kNoSuchSnapshot);
    EXPECT_EQ(error(""), Errc::kNoSuchSnapshot);
    EXPECT_EQ(error("nonsense"), Errc::kNoSuchSnapshot);
    EXPECT_EQ(catalog_->list()->size(), 3U);
    EXPECT_EQ(catalog_->newest_sequence(), 3U);
    reopen();
  }
}

TEST_F(CatalogTest, AmbiguousIdIsRefusedAndNamesBoth) {
  // Enough snapshots that two share four digits is unlikely; a common one-digit prefix is certain,
  // so look for any prefix of the minimum length that two share among many.
  std::map<std::string, int> prefixes;
  std::string shared;
  for (std::uint64_t i = 1; shared.empty() && i < 2000; ++i) {
    const std::string prefix = add(i).id.substr(0, 4);
    if (++prefixes[prefix] == 2) shared = prefix;
  }
  ASSERT_FALSE(shared.empty());
  const auto found = catalog_->resolve(shared);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kAmbiguousSnapshot);
  EXPECT_EQ(found.error().exit_code(), 2);
}

TEST_F(CatalogTest, NamesAreUniqueAndCannotBeTakenForSomethingElse) {
  add(1, "nightly");
  Manifest again;
  again.sequence = 2;
  again.name = "nightly";
  const auto taken = catalog_->add(again);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kSnapshotNameTaken);
  for (const char* bad : {"", "latest", "latest~1", "abcd", "2026-11-20", "a/b", "..", ".x", "live",
                          "now", "with space"}) {
    EXPECT_FALSE(Catalog::check_name(bad)) << bad;
  }
  EXPECT_FALSE(Catalog::check_name(std::string(129, 'x')));
  EXPECT_TRUE(Catalog::check_name("before-upgrade_2.0"));
}

TEST_F(CatalogTest, SequenceIsNeverGivenOutTwice) {
  const Manifest one = add(1);
  Manifest again = one;
  again.time_ns += kMillisecond;
  const auto taken = catalog_->add(again);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kBadRequest);
  reopen();
  EXPECT_EQ(catalog_->by_sequence(1)->id, one.id);
}

TEST_F(CatalogTest, FileThatClaimsTheSequenceOfAnotherIsReported) {
  const Manifest one = add(1);
  const auto first = std::filesystem::directory_iterator(dir_.path())->path();
  const auto twin = dir_ / "000000000001-20261120T103399.000Z-0123456789abcdef.json";
  std::filesystem::copy_file(first,
                             dir_ / "000000000001-20301120T103307.000Z-0123456789abcdef.json");
  std::filesystem::copy_file(first, twin);  // no time, so no manifest's name
  reopen();
  EXPECT_EQ(catalog_->by_sequence(1)->id, one.id);
  const auto inspection = catalog_->inspect();
  ASSERT_TRUE(inspection);
  EXPECT_EQ(inspection->good.size(), 1U);
  ASSERT_EQ(inspection->damaged.size(), 1U);
  EXPECT_THAT(inspection->damaged[0].first, HasSubstr("20301120"));
}

TEST_F(CatalogTest, ManifestUnderTheNameOfAnotherTimeIsRefused) {
  add(1);
  const auto file = std::filesystem::directory_iterator(dir_.path())->path();
  std::string name = file.filename().string();
  name.replace(13, 4, "2031");
  std::filesystem::rename(file, dir_ / name);
  reopen();
  const auto found = catalog_->resolve("latest");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kCorrupt);
  EXPECT_THAT(found.error().to_string(), HasSubstr(name));
}

TEST_F(CatalogTest, WhatCouldNotBeReadBackIsNotAdded) {
  Manifest manifest;
  manifest.sequence = 0;
  EXPECT_FALSE(catalog_->add(manifest));
  manifest.sequence = 1'000'000'000'000;  // a digit too many for a file's name
  EXPECT_FALSE(catalog_->add(manifest));
  manifest.sequence = 1;
  manifest.time_ns = INT64_MIN;  // before the years that can be written
  EXPECT_FALSE(catalog_->add(manifest));
  manifest.time_ns = kTime;
  manifest.reason = std::string(2 * kMiB, 'r');
  EXPECT_FALSE(catalog_->add(manifest));
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path()));
  EXPECT_EQ(catalog_->count(), 0U);
}

TEST_F(CatalogTest, TextThatIsNoUtf8IsTheSameBeforeAndAfterReopening) {
  Manifest manifest;
  manifest.sequence = 1;
  manifest.time_ns = kTime;
  manifest.reason = "caf\xe9";
  ASSERT_TRUE(catalog_->add(manifest));
  EXPECT_EQ(manifest.reason, "caf\xef\xbf\xbd");
  EXPECT_EQ(catalog_->by_sequence(1)->reason, manifest.reason);
  reopen();
  EXPECT_EQ(catalog_->by_sequence(1)->reason, manifest.reason);
}

TEST_F(CatalogTest, DirectoryNamesAreExact) {
  const Manifest one = add(1);
  EXPECT_EQ(catalog_->by_time_name(format_time(one.time_ns))->sequence, 1U);
  EXPECT_FALSE(catalog_->by_time_name("2026-11-20"));
  EXPECT_FALSE(catalog_->by_time_name("2030-01-01T00:00:00.000Z"));
}

TEST_F(CatalogTest, DamagedManifestIsNamedAndTheOthersStay) {
  add(1, "one");
  add(2, "two");
  reopen();
  std::filesystem::path victim;
  for (const auto& file : std::filesystem::directory_iterator(dir_.path())) {
    if (file.path().filename().string().starts_with("000000000001")) victim = file.path();
  }
  std::fstream(victim, std::ios::in | std::ios::out).seekp(40).put('#');
  const auto listed = catalog_->list();
  ASSERT_FALSE(listed);
  EXPECT_THAT(listed.error().to_string(), HasSubstr(victim.string()));
  EXPECT_EQ(resolve("two"), 2U);
  EXPECT_EQ(resolve("latest"), 2U);
  const auto by_name = catalog_->resolve("one");
  ASSERT_FALSE(by_name);
  EXPECT_EQ(by_name.error().code, Errc::kNoSuchSnapshot);
  EXPECT_THAT(by_name.error().to_string(), HasSubstr(victim.string())) << "it may be the one";
  const auto inspection = catalog_->inspect();
  ASSERT_TRUE(inspection);
  EXPECT_EQ(inspection->good.size(), 1U);
  ASSERT_EQ(inspection->damaged.size(), 1U);
  EXPECT_EQ(inspection->damaged[0].first, victim.string());
}

TEST_F(CatalogTest, LeftoversOfAnInterruptedAddAreNoSnapshots) {
  add(1);
  std::ofstream(dir_ / "000000000002-20261120T103307.000Z-0123456789abcdef.json.new") << "{";
  std::ofstream(dir_ / "README") << "not a snapshot";
  reopen();
  EXPECT_EQ(catalog_->count(), 1U);
  EXPECT_TRUE(catalog_->list());
}

}  // namespace
}  // namespace amberfs
