// SPDX-License-Identifier: Apache-2.0
// Every sequence of up to three operations, a crash behind every disk access, with what was not
// synced there, lost, reordered or torn; and bugs planted on purpose, each of which must be found.
// AMBERFS_CRASH_LONG=1: the long form (target crash_long).
#include "tests/crash/scenario.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>

namespace amberfs::testing {
namespace {

bool is_long() {
  const char* wanted = std::getenv("AMBERFS_CRASH_LONG");
  return wanted != nullptr && *wanted == '1';
}

std::vector<std::vector<Step>> sequences(int length_max) {
  std::vector<std::vector<Step>> all{{}};
  std::size_t from = 0;
  for (int length = 1; length <= length_max; ++length) {
    const std::size_t to = all.size();
    for (std::size_t i = from; i < to; ++i) {
      for (int step = 0; step < kStepCount; ++step) {
        all.push_back(all[i]);
        all.back().push_back(static_cast<Step>(step));
      }
    }
    from = to;
  }
  return all;
}

TEST(Crash, LeavesWhatWasPromised) {
  Scenario scenario;
  auto all = sequences(3);
  std::mt19937_64 random(4711);
  if (is_long()) {  // and some of four
    for (int i = 0; i < 1500; ++i) {
      std::vector<Step> steps(4);
      for (Step& step : steps) step = static_cast<Step>(random() % kStepCount);
      all.push_back(steps);
    }
  } else {  // the short ones all, of the long ones some
    std::shuffle(all.begin() + 1 + kStepCount, all.end(), random);
    all.resize(120);
  }
  CrashCounts counts;
  Scenario::Options options;
  if (is_long()) {
    options.random_choices = 6;
    options.single_choices = 12;
  }
  for (const auto& steps : all) {
    scenario.run(steps, options, counts);
    ASSERT_TRUE(counts.violations.empty()) << counts.violations.front();
  }
  // Times and random names make the disks of two recordings differ: this counts no more than that
  // states of one recording were not opened twice.
  std::printf("%zu sequences, %llu crash states, %llu of them different and opened, 0 violations\n",
              all.size(), static_cast<unsigned long long>(counts.states),
              static_cast<unsigned long long>(counts.distinct));
  EXPECT_GT(counts.distinct, is_long() ? 50'000U : 1'000U);
}

void try_on(Scenario::Base base) {
  Scenario scenario(base);
  CrashCounts counts;
  for (const auto& steps : sequences(1)) {
    scenario.run(steps, {}, counts);
    ASSERT_TRUE(counts.violations.empty()) << counts.violations.front();
  }
  EXPECT_GT(counts.distinct, 100U);
}

TEST(Crash, LeavesWhatWasPromisedWhenAPackIsFull) {
  try_on(Scenario::Base::kFullPack);
}

TEST(Crash, LeavesWhatWasPromisedWhenSegmentsAreReleasedAndUsedAgain) {
  try_on(Scenario::Base::kRotating);
}

// ---- planted bugs

bool is_journal(const std::string& path) {
  return path.ends_with(".wal") || path.ends_with("/journal");
}
bool is_pack(const std::string& path) {
  return path.find("/packs") != std::string::npos;
}
bool is_manifest(const std::string& path) {
  return path.find("/snapshots") != std::string::npos;
}

struct PlantedBug {
  const char* name;
  std::function<Mutation()> make;
  Scenario::Base base = Scenario::Base::kSmall;
  std::function<void(Scenario::Options&)> order = [](Scenario::Options&) {};
};

Mutation nothing() {
  return {};
}

// Leaves an event of this kind out when its path is one of those.
Mutation leave_out(Event::Kind kind, bool (*concerns)(const std::string&)) {
  return [kind, concerns](Event& event) { return event.kind != kind || !concerns(event.path); };
}

std::vector<PlantedBug> planted_bugs() {
  using Kind = Event::Kind;
  return {
      {"the journal is not synced", [] { return leave_out(Kind::kSyncFile, is_journal); }},
      {"packs are not synced", [] { return leave_out(Kind::kSyncFile, is_pack); }},
      {"manifests are not synced", [] { return leave_out(Kind::kSyncFile, is_manifest); }},
      {"the directory of snapshots is not synced",
       [] { return leave_out(Kind::kSyncDirectory, is_manifest); }},
      {"the directory of packs is not synced",
       [] { return leave_out(Kind::kSyncDirectory, is_pack); }, Scenario::Base::kFullPack},
      {"index commits reach the disk one late", nothing, Scenario::Base::kSmall,
       [](Scenario::Options& options) { options.stale_index = true; }},
      {"segments are released before the commit is durable", nothing, Scenario::Base::kRotating,
       [](Scenario::Options& options) { options.stale_index = true; }},
      {"the index is committed before the pack is synced", nothing, Scenario::Base::kSmall,
       [](Scenario::Options& options) { options.early_index = true; }},
      {"fsync and snapshot answer before their last disk access", nothing, Scenario::Base::kSmall,
       [](Scenario::Options& options) { options.early_promises = true; }},
      {"the journal's writes are lost", [] { return leave_out(Kind::kWrite, is_journal); }},
      {"the last sector of each journal write is lost",
       [] {
         return [](Event& event) {
           if (event.kind != Kind::kWrite || !is_journal(event.path)) return true;
           const std::size_t keep =
               event.bytes->size() > kSector ? event.bytes->size() - kSector : 0;
           event.bytes = std::make_shared<Bytes>(event.bytes->substr(0, keep));
           return true;
         };
       }},
      {"packs are written one byte off",
       [] {
         return [](Event& event) {
           if (event.kind == Kind::kWrite && is_pack(event.path)) ++event.offset;
           return true;
         };
       }},
      {"a bit of each pack write flips",
       [] {
         return [](Event& event) {
           if (event.kind != Kind::kWrite || !is_pack(event.path)) return true;
           Bytes bytes = *event.bytes;
           bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
           event.bytes = std::make_shared<Bytes>(std::move(bytes));
           return true;
         };
       }},
      {"every second sync of the journal does nothing",
       [] {
         return [count = 0](Event& event) mutable {
           if (event.kind != Kind::kSyncFile || !is_journal(event.path)) return true;
           return ++count % 2 == 0;
         };
       }},
      {"manifests are empty when they get their name",
       [] {
         return [](Event& event) {
           if (event.kind == Kind::kWrite && is_manifest(event.path)) {
             event.bytes = std::make_shared<Bytes>();
           }
           return true;
         };
       }},
      {"a manifest never gets its name", [] { return leave_out(Kind::kRename, is_manifest); }},
  };
}

TEST(Crash, PlantedBugsAreFound) {
  const auto all = sequences(2);
  int found = 0;
  for (const PlantedBug& bug : planted_bugs()) {
    Scenario scenario(bug.base);
    CrashCounts counts;
    Scenario::Options options;
    bug.order(options);
    for (const auto& steps : all) {
      options.mutation = bug.make();
      scenario.run(steps, options, counts);
      if (!counts.violations.empty()) break;
    }
    EXPECT_FALSE(counts.violations.empty()) << "not found: " << bug.name;
    if (counts.violations.empty()) continue;
    ++found;
    std::printf("found: %s\n   %.300s\n", bug.name, counts.violations.front().c_str());
  }
  EXPECT_GE(found, 10);
}

}  // namespace
}  // namespace amberfs::testing
