// SPDX-License-Identifier: Apache-2.0
#include "fs/journal.h"

#include "fs/journal_reader.h"
#include "tests/fs/journal_support.h"
#include "tests/support/fault_io.h"

#include <gtest/gtest.h>

#include <barrier>
#include <thread>

namespace amberfs {
namespace {

using testing::append_named;
using testing::open_journal;
using testing::OpenedJournal;
using testing::read_bytes;
using testing::segment_files;
using testing::try_open_journal;
using testing::write_bytes;

using Names = std::vector<std::string>;

class JournalTest : public ::testing::Test {
 protected:
  OpenedJournal open(const JournalPosition& from = {}) {
    return open_journal(*io_, dir_.path(), options_, from);
  }
  std::string path(std::uint64_t number) { return dir_ / segment_file_name(number); }
  // Overwrites bytes of a segment file.
  void poke(std::uint64_t number, std::uint64_t offset, ByteView bytes) {
    Bytes content = read_bytes(path(number));
    ASSERT_LE(offset + bytes.size(), content.size());
    content.replace(offset, bytes.size(), bytes);
    write_bytes(path(number), content);
  }
  void flip(std::uint64_t number, std::uint64_t offset) {
    const Bytes content = read_bytes(path(number));
    poke(number, offset, Bytes(1, static_cast<char>(content.at(offset) ^ 1)));
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  JournalOptions options_ = testing::tiny_segments();
};

TEST_F(JournalTest, ReplaysWhatWasAppended) {
  JournalPosition tail;
  {
    OpenedJournal opened = open();
    EXPECT_EQ(opened.journal->tail(), JournalPosition{});
    Batch batch(OpKind::kWrite, {99, 1, 2, 3, "cat"});
    batch.set_time_ns(12345);
    batch.add_totals(2, -7);
    const Bytes data = "some data";
    Extent extent{ExtentKind::kJournal, 9};
    extent.position = batch.append_data(data);
    batch.put(extent_key(5, 9), encode(extent));
    batch.remove("gone");
    auto appended = opened.journal->append(batch);
    ASSERT_TRUE(appended);
    EXPECT_EQ(appended->seq, 1U);
    EXPECT_EQ(appended->segment, 1U);
    append_named(*opened.journal, "b");
    tail = opened.journal->tail();
    EXPECT_EQ(opened.journal->durable_seq(), 0U);
    EXPECT_GT(opened.journal->appended_bytes(), 2 * RecordHeader::kSize);
  }
  std::vector<Batch> seen;
  auto journal = Journal::open(*io_, dir_.path(), options_, {},
                               [&](const Batch& batch, const Appended&) -> Status {
                                 seen.push_back(batch);
                                 return ok();
                               });
  ASSERT_TRUE(journal) << journal.error().to_string();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].kind(), OpKind::kWrite);
  EXPECT_EQ(seen[0].time_ns(), 12345);
  EXPECT_EQ(seen[0].inode_delta(), 2);
  EXPECT_EQ(seen[0].byte_delta(), -7);
  EXPECT_EQ(seen[0].origin().request_id, 99U);
  EXPECT_EQ(seen[0].origin().command, "cat");
  ASSERT_EQ(seen[0].changes().size(), 2U);
  EXPECT_FALSE(seen[0].changes()[1].value);
  const Extent extent = *decode_extent(*seen[0].changes()[0].value);
  EXPECT_EQ(extent.segment, 1U);
  Bytes data(9, '\0');
  ASSERT_TRUE((*journal)->read(extent.segment, extent.position, data.data(), data.size()));
  EXPECT_EQ(data, "some data");
  EXPECT_EQ((*journal)->tail(), tail);
  EXPECT_EQ((*journal)->durable_seq(), 2U);
}

TEST_F(JournalTest, ReplaysFromAPositionInTheMiddle) {
  JournalPosition middle;
  {
    OpenedJournal opened = open();
    for (int i = 0; i < 100; ++i) {
      if (i == 60) middle = opened.journal->tail();
      append_named(*opened.journal, std::to_string(i), 100);
    }
    EXPECT_GT(segment_files(dir_.path()).size(), 4U);
  }
  OpenedJournal opened = open(middle);
  ASSERT_EQ(opened.seen.size(), 40U);
  EXPECT_EQ(opened.seen.front().seq, 61U);
  EXPECT_EQ(opened.seen.front().changes.front().key, "60");
}

TEST_F(JournalTest, GoesOnAfterEachOfManyReopens) {
  Names expected;
  for (int round = 0; round < 12; ++round) {
    OpenedJournal opened = open();
    ASSERT_EQ(opened.names(), expected);
    for (int i = 0; i < round % 4; ++i) {
      expected.push_back(std::to_string(round) + "-" + std::to_string(i));
      append_named(*opened.journal, expected.back(), 1500);
    }
    ASSERT_TRUE(opened.journal->close());
  }
}

TEST_F(JournalTest, MountsWithoutAppendsMakeNoSegments) {
  { append_named(*open().journal, "a"); }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(open().names(), Names{"a"});
  EXPECT_EQ(segment_files(dir_.path()).size(), 1U);
}

TEST_F(JournalTest, GivesABatchLargerThanASegmentItsOwn) {
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "small");
    append_named(*opened.journal, "large", 100 * kKiB);
    append_named(*opened.journal, "after");
    EXPECT_EQ(opened.journal->size_bytes(),
              2 * options_.segment_size_bytes + std::filesystem::file_size(path(2)));
  }
  EXPECT_EQ(open().names(), (Names{"small", "large", "after"}));
}

TEST_F(JournalTest, RefusesABatchBeyondTheLimitAndGoesOn) {
  OpenedJournal opened = open();
  const Bytes data(Journal::kBatchSizeMax, 'x');
  Batch batch;
  batch.append_data(data);
  batch.put("k", "v");
  auto appended = opened.journal->append(batch);
  ASSERT_FALSE(appended);
  EXPECT_EQ(appended.error().code, Errc::kBadRequest);
  EXPECT_EQ(append_named(*opened.journal, "next").seq, 1U);
}

TEST_F(JournalTest, RecyclesReleasedSegmentsWithoutTheirOldRecords) {
  JournalPosition from;
  Names expected;
  {
    OpenedJournal opened = open();
    for (int i = 0; i < 300; ++i) {
      if (i % 50 == 0) {
        from = opened.journal->tail();
        ASSERT_TRUE(opened.journal->release_before(from.segment));
        expected.clear();
      }
      expected.push_back(std::to_string(i));
      append_named(*opened.journal, expected.back(), 200);
    }
    // Three or four segments in use, never more files than those and the spares.
    EXPECT_LE(segment_files(dir_.path()).size(), 5U + options_.spare_segments_max);
  }
  EXPECT_EQ(open(from).names(), expected);
}

TEST_F(JournalTest, ReleaseKeepsTheSegmentOfTheTail) {
  OpenedJournal opened = open();
  const Appended last = append_named(*opened.journal, "a");
  ASSERT_TRUE(opened.journal->release_before(1000));
  char byte = 0;
  EXPECT_TRUE(opened.journal->read(last.segment, last.data_position - 1, &byte, 1));
}

TEST_F(JournalTest, ReadRefusesWhatIsNotThere) {
  OpenedJournal opened = open();
  append_named(*opened.journal, "a");
  char byte = 0;
  EXPECT_EQ(opened.journal->read(9, 4096, &byte, 1).error().code, Errc::kJournalDamaged);
  EXPECT_FALSE(opened.journal->read(1, options_.segment_size_bytes, &byte, 1));
  EXPECT_FALSE(opened.journal->read(1, ~std::uint64_t{0}, &byte, 1));
}

TEST_F(JournalTest, DropsATailTornAtAnyByte) {
  JournalPosition last;
  std::uint64_t end = 0;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    append_named(*opened.journal, "b");
    last = opened.journal->tail();
    append_named(*opened.journal, "c", 40);
    end = opened.journal->tail().offset;
  }
  const Bytes whole = read_bytes(path(1));
  while (whole[end - 1] == '\0') --end;  // a tag may end so: cutting that off tears nothing
  for (std::uint64_t cut = last.offset; cut < end; ++cut) {
    Bytes torn = whole;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), '\0');
    write_bytes(path(1), torn);
    std::filesystem::remove(dir_ / "durable");  // a power cut behind the first sync
    {
      OpenedJournal opened = open();
      ASSERT_FALSE(opened.journal->loss());
      ASSERT_EQ(opened.names(), (Names{"a", "b"})) << cut;
      ASSERT_EQ(append_named(*opened.journal, "d").seq, 3U);
    }
    ASSERT_EQ(open().names(), (Names{"a", "b", "d"})) << cut;
    std::filesystem::remove(path(2));
  }
}

TEST_F(JournalTest, DropsATailCutOffFromTheFile) {
  std::uint64_t end = 0;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    append_named(*opened.journal, "b");
    end = opened.journal->tail().offset;
  }
  std::filesystem::resize_file(path(1), end - 3);
  EXPECT_EQ(open().names(), Names{"a"});
}

TEST_F(JournalTest, RefusesARecordWithAnyFlippedBit) {
  JournalPosition last;
  std::uint64_t end = 0;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    last = opened.journal->tail();
    append_named(*opened.journal, "b", 5);
    end = opened.journal->tail().offset;
  }
  const Bytes whole = read_bytes(path(1));
  for (std::uint64_t bit = last.offset * 8; bit < end * 8; ++bit) {
    Bytes flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(path(1), flipped);
    auto segment = open_segment(*io_, path(1), 1);
    ASSERT_TRUE(segment);
    RecordReader reader(*segment);
    auto record = reader.read(last.offset);
    ASSERT_TRUE(record && !record->has_value()) << bit;
    std::filesystem::remove(dir_ / "durable");
    ASSERT_TRUE(bit % 100 != 0 || open().names() == Names{"a"}) << bit;
  }
}

// A power cut can keep a later record and lose an earlier one. The later one must be dead for good,
// also when what is written next has exactly the size of the lost one.
TEST_F(JournalTest, RecordsBehindATornOneNeverComeToLifeAgain) {
  JournalPosition torn;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    torn = opened.journal->tail();
    append_named(*opened.journal, "b");
    append_named(*opened.journal, "c");
    append_named(*opened.journal, "d");
  }
  flip(1, torn.offset + 5);
  Names expected{"a"};
  for (const char* name : {"B", "C", "D", "E"}) {
    OpenedJournal opened = open();
    ASSERT_EQ(opened.names(), expected);
    append_named(*opened.journal, name);
    expected.emplace_back(name);
  }
  EXPECT_EQ(open().names(), expected);
}

// The first segment's end is lost, the second segment survives: its first record has a sequence
// that the new records reach one day.
TEST_F(JournalTest, SegmentsBehindATornOneNeverComeToLifeAgain) {
  JournalPosition torn;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a", 1500);
    torn = opened.journal->tail();
    append_named(*opened.journal, "b", 1500);
    append_named(*opened.journal, "c", 1500);  // segment 2
    append_named(*opened.journal, "d", 1500);
    append_named(*opened.journal, "e", 1500);  // segment 3
    EXPECT_EQ(opened.journal->tail().segment, 3U);
  }
  flip(1, torn.offset + 5);
  {
    OpenedJournal opened = open();
    ASSERT_EQ(opened.names(), Names{"a"});
    EXPECT_EQ(segment_files(dir_.path()).size(), 1U);
    for (const char* name : {"B", "C", "D"}) append_named(*opened.journal, name, 1000);
    EXPECT_EQ(opened.journal->tail().segment, 2U);
  }
  // The old segment 3 began with sequence 5, which is the next one now.
  EXPECT_EQ(open().names(), (Names{"a", "B", "C", "D"}));
}

TEST_F(JournalTest, ReportsDamageInADurableRecord) {
  std::vector<JournalPosition> places;
  {
    OpenedJournal opened = open();
    for (const char* name : {"a", "b", "c"}) {
      places.push_back(opened.journal->tail());
      append_named(*opened.journal, name);
    }
    ASSERT_TRUE(opened.journal->sync_to(3));
    append_named(*opened.journal, "d");
    append_named(*opened.journal, "e");
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::uint64_t offset = std::max<std::uint64_t>(places[i].offset, 4096);
    flip(1, offset + 20);
    auto opened = try_open_journal(*io_, dir_.path(), options_);
    ASSERT_FALSE(opened) << i;
    EXPECT_EQ(opened.error().code, Errc::kJournalDamaged);
    EXPECT_NE(opened.error().to_string().find("offset " + std::to_string(offset)),
              std::string::npos)
        << opened.error().to_string();
    flip(1, offset + 20);
  }
  EXPECT_EQ(open().names().size(), 5U);
}

TEST_F(JournalTest, ReportsDamageThatALaterSegmentProves) {
  JournalPosition last;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a", 1500);
    last = opened.journal->tail();
    append_named(*opened.journal, "b", 1500);
    ASSERT_TRUE(opened.journal->sync_to(2));
    append_named(*opened.journal, "c", 1500);
    EXPECT_EQ(opened.journal->tail().segment, 2U);
  }
  flip(1, last.offset + 200);
  auto opened = try_open_journal(*io_, dir_.path(), options_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kJournalDamaged);
}

TEST_F(JournalTest, ReportsADamagedHeaderAndAMissingSegment) {
  JournalPosition from;
  {
    OpenedJournal opened = open();
    for (int i = 0; i < 6; ++i) append_named(*opened.journal, "a", 1500);
    ASSERT_TRUE(opened.journal->close());
  }
  const Bytes second = read_bytes(path(2));
  flip(2, 16);
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kJournalDamaged);
  std::filesystem::remove(path(2));
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kJournalDamaged);
  write_bytes(path(2), second);
  flip(1, 16);
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kJournalDamaged);
  std::filesystem::remove(path(1));
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kJournalDamaged);
  for (const auto& file : segment_files(dir_.path())) std::filesystem::remove(file);
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_, {5, 4096, 70}).error().code,
            Errc::kJournalDamaged);
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_, {0, 0, 0}).error().code,
            Errc::kJournalDamaged);
}

TEST_F(JournalTest, TouchesNothingOfANewerFormat) {
  { append_named(*open().journal, "a"); }
  Bytes content = read_bytes(path(1));
  store_le<std::uint32_t>(content.data() + 8, SegmentHeader::kVersion + 1);
  store_le(content.data() + 56, xxh3(ByteView(content).substr(0, 56)));
  write_bytes(path(1), content);
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kNewerFormat);
  EXPECT_EQ(read_bytes(path(1)), content);
}

TEST_F(JournalTest, CheckFindsRotBetweenTwoPositions) {
  OpenedJournal opened = open();
  std::vector<JournalPosition> places;
  for (int i = 0; i < 20; ++i) {
    append_named(*opened.journal, std::to_string(i), 500);
    places.push_back(opened.journal->tail());
  }
  EXPECT_TRUE(opened.journal->check({}, places.back()));
  EXPECT_TRUE(opened.journal->check(places[3], places[17]));
  const JournalPosition& rotten = places[9];
  poke(rotten.segment, rotten.offset + 150, "rot");
  auto checked = opened.journal->check({}, places.back());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::kJournalDamaged);
  EXPECT_NE(checked.error().to_string().find(std::to_string(rotten.offset)), std::string::npos);
  EXPECT_TRUE(opened.journal->check({}, rotten));
  EXPECT_TRUE(opened.journal->check(places[10], places.back()));
}

TEST_F(JournalTest, StopsWithTheVisitorsError) {
  { append_named(*open().journal, "a"); }
  auto journal = Journal::open(
      *io_, dir_.path(), options_, {},
      [](const Batch&, const Appended&) -> Status { return fail(Errc::kUnsupported, 0, "no"); });
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, Errc::kUnsupported);
}

// Data may hold copies of real records; they are skipped as data, not found as records.
TEST_F(JournalTest, DataThatLooksLikeRecordsIsData) {
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    const Bytes records = read_bytes(path(1)).substr(4096, 400);
    Batch batch;
    batch.append_data(records);
    batch.put("b", "v");
    ASSERT_TRUE(opened.journal->append(batch));
    append_named(*opened.journal, "c");
  }
  EXPECT_EQ(open().names(), (Names{"a", "b", "c"}));
}

// Bytes behind the end may be made by a program: it knows everything but the salt.
TEST_F(JournalTest, ForgedRecordsBehindTheEndProveNothing) {
  JournalPosition end;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    end = opened.journal->tail();
  }
  const SegmentHeader segment = *decode_segment_header(read_bytes(path(1)));
  RecordHeader forged;
  forged.segment = 1;
  forged.body_checksum = body_checksum("", {});
  for (std::uint64_t seq : {end.next_seq, end.next_seq + 7}) {
    forged.seq = seq;
    forged.durable_seq = seq;
    forged.salt = segment.salt ^ 1;
    poke(1, end.offset, encode_record_header(forged));
    EXPECT_EQ(open().names(), Names{"a"});
  }
  forged.salt = segment.salt;  // what the test would see without the salt
  poke(1, end.offset, encode_record_header(forged));
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kJournalDamaged);
}

// All append, then all sync: one flush covers them. Then rounds without any order between threads.
TEST_F(JournalTest, ThreadsShareFlushes) {
  testing::FaultIo io(*io_);
  options_.segment_size_bytes = kMiB;
  constexpr int kThreads = 8;
  constexpr int kRounds = 50;
  std::size_t syncs = 0;
  {
    OpenedJournal opened = open_journal(io, dir_.path(), options_);
    append_named(*opened.journal, "first");  // makes the segment, with syncs of its own
    io.record();
    std::barrier all_appended(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 2 * kRounds; ++i) {
          const Appended appended =
              append_named(*opened.journal, std::to_string(t) + "/" + std::to_string(i), 300);
          if (i < kRounds) all_appended.arrive_and_wait();
          EXPECT_TRUE(opened.journal->sync_to(appended.seq));
          EXPECT_GE(opened.journal->durable_seq(), appended.seq);
          if (i >= kRounds) continue;
          all_appended.arrive_and_wait();
          if (i + 1 == kRounds && t == 0) {
            syncs = static_cast<std::size_t>(
                std::ranges::count(io.take_calls(), testing::IoOp::kSync, &testing::IoCall::op));
          }
          all_appended.arrive_and_wait();
        }
      });
    }
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(syncs, static_cast<std::size_t>(kRounds));
  EXPECT_EQ(open().seen.size(), static_cast<std::size_t>(2 * kThreads * kRounds + 1));
}

TEST_F(JournalTest, SyncOfWhatIsNotThereYetReturns) {
  OpenedJournal opened = open();
  EXPECT_TRUE(opened.journal->sync_to(0));
  EXPECT_TRUE(opened.journal->sync_to(1000));
  append_named(*opened.journal, "a");
  EXPECT_TRUE(opened.journal->sync_to(1000));
  EXPECT_EQ(opened.journal->durable_seq(), 1U);
}

TEST_F(JournalTest, PreparesSegmentsAheadInTheBackground) {
  options_.prepare_ahead = true;
  Names expected;
  JournalPosition from;
  for (int round = 0; round < 3; ++round) {
    OpenedJournal opened = open(from);
    ASSERT_EQ(opened.names(), expected);
    for (int i = 0; i < 200; ++i) {
      if (i % 70 == 69) {
        from = opened.journal->tail();
        expected.clear();
        ASSERT_TRUE(opened.journal->release_before(from.segment));
      }
      expected.push_back(std::to_string(round) + "-" + std::to_string(i));
      append_named(*opened.journal, expected.back(), 400);
    }
    ASSERT_TRUE(opened.journal->close());
  }
  EXPECT_EQ(open(from).names(), expected);
}

}  // namespace
}  // namespace amberfs
