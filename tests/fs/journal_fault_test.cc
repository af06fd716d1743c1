// SPDX-License-Identifier: Apache-2.0
// The journal on a disk that fails: full, broken at the n-th call, or cut from power.
#include "fs/journal.h"
#include "tests/fs/journal_support.h"
#include "tests/support/fault_io.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace amberfs {
namespace {

using testing::append_named;
using testing::Fault;
using testing::FaultIo;
using testing::IoOp;
using testing::named_batch;
using testing::open_journal;
using testing::OpenedJournal;
using testing::try_open_journal;

using Names = std::vector<std::string>;

class JournalFaultTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  std::unique_ptr<Io> posix_ = make_posix_io();
  FaultIo io_{*posix_};
  JournalOptions options_ = testing::tiny_segments();
};

TEST_F(JournalFaultTest, GoesOnAfterAFullDiskRefusedASegment) {
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a", 3000);
  for (IoOp op : {IoOp::kCreate, IoOp::kAllocate, IoOp::kWrite, IoOp::kSyncDirectory}) {
    io_.count(testing::io_ops({op}));
    io_.arm({.at = 1, .sys_errno = ENOSPC});
    auto appended = opened.journal->append(named_batch("b", 3000));
    ASSERT_TRUE(io_.fired());
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().code, Errc::kNoSpace);
    EXPECT_FALSE(opened.journal->broken());
    EXPECT_EQ(testing::segment_files(dir_.path()).size(), 1U);
  }
  io_.disarm();
  EXPECT_EQ(append_named(*opened.journal, "c", 3000).seq, 2U);
  ASSERT_TRUE(opened.journal->close());
  EXPECT_EQ(open_journal(*posix_, dir_.path(), options_).names(), (Names{"a", "c"}));
}

TEST_F(JournalFaultTest, WritesOverARecordThatAFullDiskTore) {
  for (unsigned torn : {0U, 50U, 100U}) {
    for (std::size_t next_size : {10U, 2000U, 4000U}) {
      testing::TempDir dir;
      io_.disarm();
      OpenedJournal opened = open_journal(io_, dir.path(), options_);
      append_named(*opened.journal, "a");
      io_.count(testing::io_ops({IoOp::kWrite}));
      io_.arm({.at = 1, .sys_errno = ENOSPC, .torn_percent = torn});
      auto appended = opened.journal->append(named_batch("b", 3000));
      ASSERT_FALSE(appended);
      EXPECT_EQ(appended.error().code, Errc::kNoSpace);
      // A kill now must not bring "b" back, the program was told that it failed.
      EXPECT_EQ(open_journal(*posix_, dir.path(), options_).names(), Names{"a"});
      EXPECT_EQ(append_named(*opened.journal, "c", next_size).seq, 2U);
      EXPECT_EQ(open_journal(*posix_, dir.path(), options_).names(), (Names{"a", "c"}))
          << torn << " " << next_size;
    }
  }
}

TEST_F(JournalFaultTest, AFailedWriteBreaksItForGood) {
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a");
  ASSERT_TRUE(opened.journal->sync_to(1));
  io_.arm({.at = 1, .sys_errno = EIO, .torn_percent = 50});
  auto failed = opened.journal->append(named_batch("b"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::kBroken);
  EXPECT_EQ(failed.error().to_errno(), EIO);
  io_.disarm();
  EXPECT_EQ(opened.journal->append(named_batch("c")).error().code, Errc::kBroken);
  EXPECT_EQ(opened.journal->sync_to(1).error().code, Errc::kBroken);
  EXPECT_TRUE(opened.journal->broken());
  EXPECT_FALSE(opened.journal->close());
  EXPECT_EQ(open_journal(*posix_, dir_.path(), options_).names(), Names{"a"});
}

TEST_F(JournalFaultTest, AFailedSyncIsNeverRetriedIntoASuccess) {
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a");
  io_.count(testing::io_ops({IoOp::kSync}));
  io_.arm({.at = 1, .sys_errno = EIO});
  EXPECT_EQ(opened.journal->sync_to(1).error().code, Errc::kBroken);
  EXPECT_EQ(opened.journal->sync_to(1).error().code, Errc::kBroken);
  EXPECT_EQ(opened.journal->durable_seq(), 0U);
  EXPECT_FALSE(opened.journal->append(named_batch("b")));
}

TEST_F(JournalFaultTest, SyncsTheOlderSegmentFirst) {
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a", 3000);
  append_named(*opened.journal, "b", 3000);
  append_named(*opened.journal, "c", 3000);
  io_.record();
  ASSERT_TRUE(opened.journal->sync_to(3));
  Names synced;
  for (const auto& call : io_.take_calls()) {
    if (call.op == IoOp::kSync) synced.push_back(call.path);
  }
  EXPECT_EQ(synced, testing::segment_files(dir_.path()));
  append_named(*opened.journal, "d", 100);
  ASSERT_TRUE(opened.journal->sync_to(4));
  std::size_t again = 0;
  for (const auto& call : io_.take_calls()) again += call.op == IoOp::kSync ? 1 : 0;
  EXPECT_EQ(again, 1U);  // left segments are synced once
}

struct Outcome {
  Names appended;            // what append() said is there
  Names failed;              // what it said is not
  std::size_t durable = 0;   // how many of `appended` a sync covered
  JournalPosition from;      // the head: what was released was published before
  std::size_t released = 0;  // how many of `appended` are before `from`
  bool opened = false;
};

// Appends, syncs and releases, and goes on whatever fails.
Outcome run_workload(FaultIo& io, const std::string& directory, const JournalOptions& options) {
  Outcome outcome;
  auto opened = try_open_journal(io, directory, options);
  if (!opened) return outcome;
  outcome.opened = true;
  Journal& journal = *opened->journal;
  for (int i = 0; i < 17; ++i) {
    const std::string name = std::to_string(i);
    if (journal.append(named_batch(name, 900))) {
      outcome.appended.push_back(name);
    } else {
      outcome.failed.push_back(name);
    }
    if (i % 5 == 4 && journal.sync_to(outcome.appended.size())) {
      outcome.durable = outcome.appended.size();
    }
    if (i % 10 == 9 && journal.durable_seq() == outcome.appended.size()) {
      // As a commit would: what is before `from` is in packs now.
      outcome.from = journal.tail();
      outcome.released = outcome.appended.size();
      EXPECT_TRUE(journal.release_before(outcome.from.segment) || io.fired());
    }
  }
  if (journal.close()) outcome.durable = outcome.appended.size();
  return outcome;
}

// Replays into a vector and compares: all that was appended (a kill) or a prefix that holds all
// that was durable (a power cut). One record whose append broke the journal may be there as well.
void expect_recovered(Io& io, const std::string& directory, const JournalOptions& options,
                      const Outcome& outcome, bool power_cut) {
  auto opened = try_open_journal(io, directory, options, outcome.from);
  ASSERT_TRUE(opened) << opened.error().to_string();
  Names promised(outcome.appended.begin() + static_cast<std::ptrdiff_t>(outcome.released),
                 outcome.appended.end());
  Names names = opened->names();
  const std::size_t least =
      power_cut ? outcome.durable - std::min(outcome.durable, outcome.released) : promised.size();
  ASSERT_GE(names.size(), least);
  if (names.size() > promised.size()) {
    ASSERT_EQ(names.size(), promised.size() + 1);
    ASSERT_FALSE(outcome.failed.empty());
    EXPECT_EQ(names.back(), outcome.failed.front());
    names.pop_back();
  }
  EXPECT_TRUE(std::equal(names.begin(), names.end(), promised.begin()));
  EXPECT_TRUE(opened->journal->append(named_batch("after")));
  EXPECT_TRUE(opened->journal->close());
}

TEST_F(JournalFaultTest, EveryCallMayFailOnce) {
  const bool sticky_choices[] = {false, true};
  for (int sys_errno : {EIO, ENOSPC}) {
    for (bool sticky : sticky_choices) {
      for (bool power_cut : {false, true}) {
        for (std::uint64_t n = 1;; ++n) {
          SCOPED_TRACE(
              fmt::format("errno {} sticky {} cut {} n {}", sys_errno, sticky, power_cut, n));
          testing::TempDir dir;
          FaultIo io(*posix_);
          if (power_cut) io.track_unsynced();
          io.arm({.at = n, .sys_errno = sys_errno, .torn_percent = 60, .sticky = sticky});
          const Outcome outcome = run_workload(io, dir.path(), options_);
          const bool fired = io.fired();
          io.disarm();
          ASSERT_TRUE(!power_cut || io.lose_unsynced());
          expect_recovered(*posix_, dir.path(), options_, outcome, power_cut);
          if (HasFatalFailure() || HasNonfatalFailure()) return;
          if (!fired) break;
        }
      }
    }
  }
}

// The power goes in the middle of a recovery, at each of its calls.
TEST_F(JournalFaultTest, RecoveryMayBeCutAtEveryCall) {
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    testing::TempDir dir;
    Outcome outcome;
    {
      FaultIo io(*posix_);
      outcome = run_workload(io, dir.path(), options_);
    }
    FaultIo io(*posix_);
    io.track_unsynced();
    io.arm({.at = n, .sys_errno = EIO, .sticky = true});
    if (auto opened = try_open_journal(io, dir.path(), options_, outcome.from)) {
      if (opened->journal->append(named_batch("more")) && opened->journal->close()) {
        outcome.appended.emplace_back("more");
        outcome.durable = outcome.appended.size();
      } else {
        outcome.failed.emplace_back("more");
      }
    }
    const bool fired = io.fired();
    io.disarm();
    ASSERT_TRUE(io.lose_unsynced());
    expect_recovered(*posix_, dir.path(), options_, outcome, true);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
    if (!fired) break;
  }
}

}  // namespace
}  // namespace amberfs
