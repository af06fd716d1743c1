// SPDX-License-Identifier: Apache-2.0
#include "snapshot/manifest.h"

#include "tests/support/sample_manifest.h"
#include "tests/support/seed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace amberfs {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

using testing::sample_manifest;

TEST(Manifest, RoundTrips) {
  Manifest manifest = sample_manifest();
  const std::string text = encode_manifest(manifest);
  const auto read = decode_manifest(text);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read->id, manifest.id);
  EXPECT_EQ(read->sequence, 7U);
  EXPECT_EQ(read->time_ns, manifest.time_ns);
  EXPECT_EQ(read->root, manifest.root);
  EXPECT_EQ(read->name, manifest.name);
  EXPECT_EQ(read->reason, manifest.reason);
  EXPECT_EQ(read->totals, manifest.totals);
  EXPECT_EQ(read->previous_id, manifest.previous_id);
  EXPECT_EQ(read->journal_seq, 50U);
}

TEST(Manifest, IdDependsOnEveryField) {
  Manifest a = sample_manifest();
  Manifest b = sample_manifest();
  b.totals.logical_bytes = 21;
  EXPECT_NE(encode_manifest(a), encode_manifest(b));
  EXPECT_EQ(a.id.size(), 64U);
  EXPECT_NE(a.id, b.id);
}

TEST(Manifest, EveryBitFlipIsNoticedOrHarmless) {
  Manifest manifest = sample_manifest();
  const std::string good = encode_manifest(manifest);
  int refused = 0;
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto read = decode_manifest(bad);
    if (!read) {
      ++refused;
      continue;
    }
    // White space between members means nothing; whatever is accepted says the same.
    EXPECT_EQ(read->id, manifest.id);
    EXPECT_EQ(read->root, manifest.root);
  }
  EXPECT_GT(refused, static_cast<int>(good.size()) * 6);
}

TEST(Manifest, NewerFormatIsRefusedAsSuch) {
  const auto read = decode_manifest(R"({"amberfs":"snapshot","format":3})");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::kNewerFormat);
}

TEST(Manifest, HostileTextIsRefused) {
  for (const char* text :
       {"", "{", "[]", "null", "{}", R"({"amberfs":"snapshot"})",
        R"({"amberfs":"snapshot","format":"1"})", R"({"amberfs":"snapshot","format":0})",
        R"({"amberfs":"snapshot","format":-1})", R"({"amberfs":["snapshot"],"format":1})",
        R"({"amberfs":"snapshot","format":1,"checksum":5})"}) {
    EXPECT_FALSE(decode_manifest(text)) << text;
  }
}

TEST(Manifest, DeepNestingIsRefusedAndDoesNotExhaustTheStack) {
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string text = R"({"amberfs":"snapshot","checksum":"","format":1,"x":)";
    for (int i = 0; i < 200'000; ++i) text += open;
    EXPECT_FALSE(decode_manifest(text));
    for (int i = 0; i < 200'000; ++i) text += open == "[" ? "]" : "}";
    EXPECT_FALSE(decode_manifest(text + "}"));
  }
}

TEST(Manifest, MembersThatAreMissingOrOfAnotherTypeAreNamed) {
  Manifest manifest = sample_manifest();
  const std::string good = encode_manifest(manifest);
  // A whole manifest but for one member: checksum and id are made to fit.
  const auto error_without = [&](const std::string& member, const char* value) {
    nlohmann::json json = nlohmann::json::parse(good);
    json.erase("id");
    json.erase("checksum");
    if (value == nullptr) {
      json.erase(member);
    } else {
      json[member] = nlohmann::json::parse(value);
    }
    const auto hash = [&json] {
      const Sha256 digest = sha256(json.dump());
      return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
    };
    json["id"] = hash();
    json["checksum"] = hash();
    const auto read = decode_manifest(json.dump());
    return read ? "" : read.error().to_string();
  };
  for (const char* member :
       {"sequence", "time_ns", "root", "name", "reason", "kind", "previous", "inodes",
        "logical_bytes", "changed_bytes", "stored_bytes", "journal_seq"}) {
    EXPECT_THAT(error_without(member, nullptr), ::testing::HasSubstr(member));
    EXPECT_THAT(error_without(member, "[]"), ::testing::HasSubstr(member));
  }
  EXPECT_THAT(error_without("time_ns", "9223372036854775808"), ::testing::HasSubstr("time_ns"));
  EXPECT_THAT(error_without("inodes", "-1"), ::testing::HasSubstr("inodes"));
  EXPECT_THAT(error_without("root", "\"abc\""), ::testing::HasSubstr("root"));
  EXPECT_EQ(error_without("signature", "{\"key\":[1,2]}"), "") << "unknown members are kept";
}

TEST(TimeText, FormatsInUtcWithMilliseconds) {
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_time(1'795'170'785 * kSecond + 123'999'999), "2026-11-20T10:33:05.123Z");
  EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999Z");
}

TEST(TimeText, ParsesWhatItFormatsAndShorterForms) {
  const std::int64_t t = 1'795'170'785 * kSecond;
  EXPECT_EQ(parse_time("2026-11-20T10:33:05.123Z", 0), t + 123'000'000);
  EXPECT_EQ(parse_time("2026-11-20 10:33:05", 0), t);
  EXPECT_EQ(parse_time("2026-11-20T10:33", 0), t - 5 * kSecond);
  EXPECT_EQ(parse_time("2026-11-20T12:33:05+02:00", 0), t);
  EXPECT_EQ(parse_time("2026-11-20T08:33:05-0200", 0), t);
  EXPECT_EQ(parse_time("2026-11-20", 0), t - (10 * 3600 + 33 * 60 + 5) * kSecond);
  EXPECT_EQ(parse_time("now-90s", t), t - 90 * kSecond);
  EXPECT_EQ(parse_time("now-2h", t), t - 7200 * kSecond);
  EXPECT_EQ(parse_time("now", t), t);
}

TEST(TimeText, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "yesterday",
                           "2026",
                           "2026-13-01",
                           "2026-02-30",
                           "2026-11-20T",
                           "2026-11-20T25:00",
                           "2026-11-20T10",
                           "2026-11-20T10:33:05.",
                           "2026-11-20T10:33:05Zx",
                           "now-",
                           "now-5",
                           "now-5y",
                           "now--5s",
                           "99999999999999999999-01-01",
                           "2026-11-20T10:33+99:00",
                           "2026-11-20T10:33.5",
                           "1677-12-31",
                           "2262-01-01",
                           "2026-11-20T10:60",
                           "2026-11-20T10:33:61",
                           "2026-1-2"}) {
    EXPECT_FALSE(parse_time(text, 0)) << text;
  }
}

TEST(TimeText, EveryMillisecondItFormatsIsParsedBack) {
  std::mt19937_64 random(testing::test_seed());
  constexpr std::int64_t kLast = 9'200'000'000'000'000'000;
  std::uniform_int_distribution<std::int64_t> any(-kLast, kLast);
  for (int i = 0; i < 20'000; ++i) {
    const std::int64_t ms = any(random) / 1'000'000;
    EXPECT_EQ(parse_time(format_time(ms * 1'000'000), 0), ms * 1'000'000);
  }
}

}  // namespace
}  // namespace amberfs
