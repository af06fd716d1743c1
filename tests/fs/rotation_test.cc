// SPDX-License-Identifier: Apache-2.0
#include "fs/rotation.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

Bytes stem_of(ByteView name) {
  const auto generation = parse_generation(name);
  return generation ? generation->stem : Bytes("-");
}

TEST(Rotation, NamesOfGenerations) {
  EXPECT_EQ(stem_of("app.log.1"), "app.log");
  EXPECT_EQ(stem_of("app.log.12.gz"), "app.log");
  EXPECT_EQ(stem_of("app.log-20261121"), "app.log");
  EXPECT_EQ(stem_of("app.log-20261121-1763700000.xz"), "app.log");
  EXPECT_EQ(stem_of("app.log.2026-11-21"), "app.log");
  EXPECT_EQ(stem_of("app-20261121.log"), "app.log");
  EXPECT_EQ(stem_of("app.1.log.zst"), "app.log");
  EXPECT_EQ(stem_of("syslog.old"), "syslog");
  EXPECT_EQ(stem_of("app.log"), "-");
  EXPECT_EQ(stem_of("app.log.gz"), "-");
  EXPECT_EQ(stem_of("1"), "-");
  EXPECT_EQ(stem_of(".1"), "-");
  EXPECT_EQ(stem_of("log5"), "-");
  EXPECT_EQ(stem_of(""), "-");
  EXPECT_EQ(stem_of(".gz"), "-");
}

TEST(Rotation, NumbersGrowWithAgeAndDatesShrink) {
  const auto older = [](ByteView a, ByteView b) {
    return parse_generation(a)->older_than(*parse_generation(b));
  };
  EXPECT_TRUE(older("a.10", "a.9.gz"));
  EXPECT_FALSE(older("a.9", "a.10"));
  EXPECT_TRUE(older("a-20260101", "a-20260102"));
  EXPECT_TRUE(older("a-2026-01-31", "a-2026-02-01"));
  EXPECT_FALSE(older("a-20260101", "a-20260101"));
}

TEST(Rotation, AnHourSeesAtMostHalfOfTheGenerationsGo) {
  RemovalPace pace;
  EXPECT_TRUE(pace.removed(1, "log", 3));
  EXPECT_TRUE(pace.removed(1, "log", 2));
  EXPECT_FALSE(pace.removed(1, "log", 1));
  pace.rotated(1, "log");
  EXPECT_TRUE(pace.removed(1, "log", 2)) << "one came";
  EXPECT_FALSE(pace.removed(1, "log", 2));
  EXPECT_TRUE(pace.removed(1, "other", 1));
  EXPECT_FALSE(pace.removed(1, "last", 0));
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(pace.may_look(2, "log", 1'000));
  EXPECT_FALSE(pace.may_look(2, "log", 2'000));
  EXPECT_TRUE(pace.may_look(2, "log", 3'700'000'000'000));
}

}  // namespace
}  // namespace amberfs
