// SPDX-License-Identifier: Apache-2.0
// The journal on a disk that fails: full, broken at the n-th call, or cut from power.
#include "fs/journal.h"
#include "tests/fs/journal_support.h"
#include "tests/support/fault_io.h"
#include "tests/support/pass_io.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

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

TEST_F(JournalFaultTest, AFailedWriteIsTriedAgainInARewrittenSegment) {
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a");
  io_.arm({.at = 1, .sys_errno = EIO, .torn_percent = 50});
  append_named(*opened.journal, "b");
  EXPECT_TRUE(io_.fired());
  EXPECT_FALSE(opened.journal->broken());
  EXPECT_EQ(opened.journal->durable_seq(), 1U);  // by the rewriting; "b" came after it
  EXPECT_TRUE(opened.journal->sync_to(2));
  ASSERT_TRUE(opened.journal->close());
  EXPECT_EQ(open_journal(*posix_, dir_.path(), options_).names(), (Names{"a", "b"}));
}

TEST_F(JournalFaultTest, ADiskThatIsGoneMakesItReadOnlyForGood) {
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a");
  ASSERT_TRUE(opened.journal->sync_to(1));
  io_.arm({.at = 1, .sys_errno = EIO, .torn_percent = 50, .sticky = true});
  auto failed = opened.journal->append(named_batch("b"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::kBroken);
  EXPECT_EQ(failed.error().to_errno(), EIO);
  io_.disarm();
  const auto refused = opened.journal->append(named_batch("c"));
  EXPECT_EQ(refused.error().code, Errc::kReadOnlyDisk);
  EXPECT_EQ(refused.error().to_errno(), EROFS);
  EXPECT_EQ(opened.journal->sync_to(1).error().code, Errc::kBroken);
  EXPECT_TRUE(opened.journal->broken());
  EXPECT_FALSE(opened.journal->close());
  EXPECT_EQ(open_journal(*posix_, dir_.path(), options_).names(), Names{"a"});
}

TEST_F(JournalFaultTest, AFailedSyncIsNeverRetriedIntoASuccess) {
  // With a disk that lost the pages: what was written is not what can be read any more.
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a");
  const std::string path = testing::segment_files(dir_.path()).front();
  Bytes bytes = testing::read_bytes(path);
  bytes.replace(SegmentHeader::kRecordsOffset, 512, 512, '\0');
  testing::write_bytes(path, bytes);
  io_.count(testing::io_ops({IoOp::kSync}));
  io_.arm({.at = 1, .sys_errno = EIO});
  EXPECT_EQ(opened.journal->sync_to(1).error().code, Errc::kBroken);
  EXPECT_EQ(opened.journal->sync_to(1).error().code, Errc::kBroken);
  EXPECT_EQ(opened.journal->durable_seq(), 0U);
  EXPECT_EQ(opened.journal->append(named_batch("b")).error().code, Errc::kReadOnlyDisk);
  // No reader gets what the disk made of it.
  char byte = 0;
  EXPECT_EQ(opened.journal->read(1, SegmentHeader::kRecordsOffset + 200, &byte, 1).error().code,
            Errc::kJournalDamaged);
}

// After a sync that failed, and a rewriting that did not: durable is what was really written again.
TEST_F(JournalFaultTest, WhatAFailedSyncLeftIsRewrittenAndDurable) {
  for (bool two_segments : {false, true}) {
    testing::TempDir dir;
    io_.disarm();
    io_.track_unsynced();
    OpenedJournal opened = open_journal(io_, dir.path(), options_);
    append_named(*opened.journal, "a", 3000);
    if (two_segments) append_named(*opened.journal, "b", 3000);
    io_.count(testing::io_ops({IoOp::kSync}));
    io_.arm({.at = 1, .sys_errno = EIO});
    const Status failed = opened.journal->sync_to(9);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Errc::kIo);
    EXPECT_FALSE(opened.journal->broken());
    const Names expected = two_segments ? Names{"a", "b"} : Names{"a"};
    EXPECT_EQ(opened.journal->durable_seq(), expected.size());
    append_named(*opened.journal, "never synced");
    opened.journal.reset();
    ASSERT_TRUE(io_.lose_unsynced());
    EXPECT_EQ(open_journal(*posix_, dir.path(), options_).names(), expected);
  }
}

TEST_F(JournalFaultTest, ASegmentIsRewrittenOnAFullDiskFromTheReserve) {
  int asked = 0;
  options_.make_room = [&] { return ++asked == 1; };
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a");
  io_.count(testing::io_ops({IoOp::kSync, IoOp::kAllocate}));
  io_.arm({.at = 1, .sys_errno = ENOSPC, .sticky = false});
  EXPECT_FALSE(opened.journal->sync_to(1));  // delayed allocation: a sync may say it, too
  EXPECT_FALSE(opened.journal->broken());
  EXPECT_EQ(opened.journal->durable_seq(), 1U);
  EXPECT_TRUE(opened.journal->sync_to(1));
}

TEST_F(JournalFaultTest, TakesASegmentOutOfTheReserve) {
  int asked = 0;
  options_.make_room = [&] { return ++asked == 1; };
  OpenedJournal opened = open_journal(io_, dir_.path(), options_);
  append_named(*opened.journal, "a", 3000);
  io_.count(testing::io_ops({IoOp::kAllocate}));
  io_.arm({.at = 1, .sys_errno = ENOSPC});
  append_named(*opened.journal, "b", 3000);
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(io_.fired());
}

// A sync that does not end before it is told how.
class SlowSyncIo final : public testing::PassIo {
 public:
  using PassIo::PassIo;
  void fail_next_sync() { armed_ = true; }
  void wait_until_syncing() {
    while (!syncing_) std::this_thread::yield();
  }
  void let_it_fail() { released_ = true; }
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    TRY_ASSIGN(auto file, PassIo::open(path, mode));
    return std::unique_ptr<File>(new SlowFile(*this, std::move(file)));
  }

 private:
  class SlowFile final : public testing::PassFile {
   public:
    SlowFile(SlowSyncIo& io, std::unique_ptr<File> below) : PassFile(std::move(below)), io_(io) {}
    Status sync_data() override {
      if (!io_.armed_.exchange(false)) return PassFile::sync_data();
      io_.syncing_ = true;
      while (!io_.released_) std::this_thread::yield();
      return fail(Errc::kIo, EIO, "sync", path());
    }

   private:
    SlowSyncIo& io_;
  };
  std::atomic<bool> armed_{false};
  std::atomic<bool> syncing_{false};
  std::atomic<bool> released_{false};
};

TEST_F(JournalFaultTest, EveryWaiterHearsOfAFailedSync) {
  SlowSyncIo slow(*posix_);
  OpenedJournal opened = open_journal(slow, dir_.path(), options_);
  append_named(*opened.journal, "a");
  slow.fail_next_sync();
  std::atomic<int> failed{0};
  std::atomic<int> entered{0};
  std::vector<std::thread> waiters;
  waiters.emplace_back([&] { failed += opened.journal->sync_to(1) ? 0 : 1; });
  slow.wait_until_syncing();
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      ++entered;
      failed += opened.journal->sync_to(1) ? 0 : 1;
    });
  }
  while (entered < 4) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // they wait for the flush by now
  slow.let_it_fail();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(failed, 5);
  EXPECT_TRUE(opened.journal->sync_to(1));  // who asks now: it is durable, in another file
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
