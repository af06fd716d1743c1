// SPDX-License-Identifier: Apache-2.0
// What had been durable and is not there any more: it is found, said, kept as far as there is
// anything to keep, and the journal goes on.
#include "blockstore/base/coding.h"
#include "fs/durable_mark.h"
#include "fs/segment.h"
#include "tests/fs/journal_support.h"
#include "tests/support/fault_io.h"

#include <map>

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
using OnDamage = JournalOptions::OnDamage;

class JournalLossTest : public ::testing::Test {
 protected:
  OpenedJournal open(OnDamage on_damage = OnDamage::kRefuse) {
    options_.on_damage = on_damage;
    return open_journal(*io_, dir_.path(), options_);
  }
  // Appends these, durably, as one life of a server; returns where each begins.
  std::vector<JournalPosition> write(const Names& names, std::size_t value_size = 10) {
    std::vector<JournalPosition> places;
    OpenedJournal opened = open();
    for (const std::string& name : names) {
      places.push_back(opened.journal->tail());
      append_named(*opened.journal, name, value_size);
      // Each record says that the one before was durable.
      EXPECT_TRUE(opened.journal->sync_to(opened.journal->tail().next_seq - 1));
    }
    places.push_back(opened.journal->tail());
    return places;
  }
  std::string path(std::uint64_t number) { return dir_ / segment_file_name(number); }
  void change(std::uint64_t number, std::uint64_t from, std::uint64_t to, char with = '\0') {
    Bytes content = read_bytes(path(number));
    std::fill(content.begin() + static_cast<std::ptrdiff_t>(from),
              content.begin() + static_cast<std::ptrdiff_t>(to), with);
    write_bytes(path(number), content);
  }
  std::map<std::string, Bytes> all_files() {
    std::map<std::string, Bytes> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
      if (entry.is_regular_file()) files[entry.path().string()] = read_bytes(entry.path().string());
    }
    return files;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  JournalOptions options_ = testing::tiny_segments();
};

TEST_F(JournalLossTest, ADurableRecordZeroedAtTheEndIsALoss) {
  const auto places = write({"a", "b", "c"});
  change(1, places[1].offset, places[3].offset);
  {
    OpenedJournal opened = open();
    EXPECT_EQ(opened.names(), Names{"a"});
    const auto loss = opened.journal->loss();
    ASSERT_TRUE(loss);
    EXPECT_EQ(loss->first_seq, 2U);
    EXPECT_EQ(loss->last_seq, 3U);
    EXPECT_GT(loss->durable_ns, 0);
    append_named(*opened.journal, "d");
  }
  // It is known until somebody says that it is.
  OpenedJournal opened = open();
  EXPECT_EQ(opened.names(), (Names{"a", "d"}));
  ASSERT_TRUE(opened.journal->loss());
  EXPECT_EQ(opened.journal->loss()->first_seq, 2U);
  ASSERT_TRUE(opened.journal->forget_loss());
  EXPECT_FALSE(opened.journal->loss());
  opened.journal.reset();
  EXPECT_FALSE(open().journal->loss());
}

TEST_F(JournalLossTest, ALaterLossDoesNotHideAnEarlierOne) {
  const auto places = write({"a", "b", "c", "d"});
  change(1, places[1].offset, places[4].offset);
  ASSERT_TRUE(open().journal->loss());
  JournalPosition last;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "B");
    ASSERT_TRUE(opened.journal->sync_to(2));
    last = opened.journal->tail();
    append_named(*opened.journal, "C");
    ASSERT_TRUE(opened.journal->sync_to(3));
  }
  change(last.segment, last.offset, last.offset + 60);
  const auto loss = open().journal->loss();
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->first_seq, 2U);
  EXPECT_EQ(loss->last_seq, 4U);
  EXPECT_NE(loss->why.find("batches 2 to 4 were lost before"), std::string::npos) << loss->why;
}

TEST_F(JournalLossTest, ADurableRecordCutOffIsALoss) {
  const auto places = write({"a", "b"});
  std::filesystem::resize_file(path(1), places[2].offset - 3);
  OpenedJournal opened = open();
  EXPECT_EQ(opened.names(), Names{"a"});
  EXPECT_TRUE(opened.journal->loss());
}

TEST_F(JournalLossTest, AnyFlippedBitOfTheLastDurableRecordIsALossAndItsBytesAreKept) {
  const auto places = write({"a", "b"});
  const auto whole = all_files();
  for (std::uint64_t at = places[1].offset; at < places[2].offset; at += 7) {
    for (const auto& [name, content] : whole) write_bytes(name, content);
    Bytes flipped = whole.at(path(1));
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    write_bytes(path(1), flipped);
    OpenedJournal opened = open();
    ASSERT_EQ(opened.names(), Names{"a"}) << at;
    const auto loss = opened.journal->loss();
    ASSERT_TRUE(loss) << at;
    const Bytes kept = read_bytes(loss->kept_in + "/" + segment_file_name(1));
    ASSERT_EQ(kept, flipped.substr(0, flipped.find_last_not_of('\0') + 1)) << at;
  }
}

TEST_F(JournalLossTest, WhatWasNeverDurableIsNoLoss) {
  JournalPosition last;
  {
    OpenedJournal opened = open();
    append_named(*opened.journal, "a");
    ASSERT_TRUE(opened.journal->sync_to(1));
    last = opened.journal->tail();
    append_named(*opened.journal, "b");
  }
  change(1, last.offset, last.offset + 100);
  OpenedJournal opened = open();
  EXPECT_EQ(opened.names(), Names{"a"});
  EXPECT_FALSE(opened.journal->loss());
}

TEST_F(JournalLossTest, WithoutAMarkOrWithADamagedOneTheJournalOpens) {
  write({"a", "b"});
  const Bytes mark = read_bytes(dir_ / "durable");
  std::filesystem::remove(dir_ / "durable");
  EXPECT_EQ(open().names(), (Names{"a", "b"}));
  write_bytes(dir_ / "durable", Bytes(mark.size(), '\x55'));
  EXPECT_EQ(open().names(), (Names{"a", "b"}));
  write_bytes(dir_ / "durable", "");
  EXPECT_EQ(open().names(), (Names{"a", "b"}));
}

TEST_F(JournalLossTest, OneSlotOfTheMarkIsEnough) {
  const auto places = write({"a", "b", "c"});
  const auto whole = all_files();
  for (const std::uint64_t slot : {std::uint64_t{0}, DurableMark::kSlotDistance}) {
    for (const auto& [name, content] : whole) write_bytes(name, content);
    Bytes mark = whole.at(dir_ / "durable");
    mark[slot + 20] = static_cast<char>(mark[slot + 20] ^ 1);
    write_bytes(dir_ / "durable", mark);
    change(1, places[1].offset, places[3].offset);
    EXPECT_TRUE(open().journal->loss()) << slot;
  }
}

TEST_F(JournalLossTest, AMarkOfANewerFormatIsNotTouched) {
  write({"a"});
  Bytes mark = read_bytes(dir_ / "durable");
  for (const std::uint64_t slot : {std::uint64_t{0}, DurableMark::kSlotDistance}) {
    store_le<std::uint32_t>(mark.data() + slot + 4, 2);
    store_le(mark.data() + slot + 80, xxh3(ByteView(mark).substr(slot, 80)));
  }
  write_bytes(dir_ / "durable", mark);
  EXPECT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kNewerFormat);
  EXPECT_EQ(read_bytes(dir_ / "durable"), mark);
}

TEST_F(JournalLossTest, ThatTheMarkCannotBeWrittenFailsNoSync) {
  testing::FaultIo faults(*io_);
  OpenedJournal opened = open_journal(faults, dir_.path(), options_);
  append_named(*opened.journal, "a");
  constexpr std::uint64_t kBehindTheSync = 2;
  faults.arm({.at = kBehindTheSync});
  EXPECT_TRUE(opened.journal->sync_to(1));
  EXPECT_TRUE(faults.fired());
  EXPECT_EQ(opened.journal->durable_seq(), 1U);
}

TEST_F(JournalLossTest, TheDocumentedMarkIsWhatIsWritten) {
  DurableState state{.generation = 7,
                     .end = {.segment = 3, .offset = 0x2345, .next_seq = 43},
                     .time_ns = 1'795'738'096'789'000'000};
  state.loss.emplace();
  state.loss->first_seq = 41;
  state.loss->last_seq = 42;
  state.loss->found_ns = state.time_ns - 1'000'000'000;
  state.loss->durable_ns = state.time_ns - 2'000'000'000;
  const Bytes encoded = encode_durable_state(state);
  ASSERT_EQ(encoded.size(), DurableMark::kSlotSize);
  constexpr int kBlock = 3;
  EXPECT_EQ(to_hex(encoded),
            to_hex(testing::hex_block(read_bytes(AMBERFS_JOURNAL_FORMAT_DOC), kBlock)));
  const auto decoded = decode_durable_state(encoded);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->end, state.end);
  EXPECT_EQ(decoded->loss->last_seq, 42U);
  for (std::size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    Bytes flipped = encoded;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_durable_state(flipped)) << bit;
  }
  for (std::size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_FALSE(decode_durable_state(ByteView(encoded).substr(0, size))) << size;
  }
}

// Somebody has to decide: what is behind the damage can still be read.
class JournalSetAsideTest : public JournalLossTest {
 protected:
  Names read_behind(OnDamage on_damage, OpenedJournal& opened) {
    Names behind;
    options_.set_aside = [&](const Batch& batch) {
      behind.push_back(batch.changes().empty() ? "" : batch.changes().front().key);
    };
    opened = open(on_damage);
    options_.set_aside = {};
    return behind;
  }
};

TEST_F(JournalSetAsideTest, LooksWithoutChangingAnything) {
  const auto places = write({"a", "b", "c", "d"});
  change(1, places[1].offset + 20, places[1].offset + 21, '\x7f');
  ASSERT_EQ(try_open_journal(*io_, dir_.path(), options_).error().code, Errc::kJournalDamaged);
  const auto before = all_files();
  OpenedJournal opened;
  EXPECT_EQ(read_behind(OnDamage::kOnlyLook, opened), (Names{"c", "d"}));
  EXPECT_EQ(opened.names(), Names{"a"});
  ASSERT_TRUE(opened.journal->loss());
  EXPECT_EQ(opened.journal->loss()->first_seq, 2U);
  EXPECT_GE(opened.journal->loss()->last_seq, 3U);
  EXPECT_FALSE(opened.journal->append(testing::named_batch("x")));
  opened.journal.reset();
  EXPECT_EQ(all_files(), before);
}

TEST_F(JournalSetAsideTest, GoesOnBeforeTheDamageAndKeepsTheFiles) {
  const auto places = write({"a", "b", "c", "d", "e"}, 1500);  // three segments
  ASSERT_EQ(places.back().segment, 3U);
  change(places[1].segment, places[1].offset + 20, places[1].offset + 21, '\x7f');
  const auto before = all_files();
  {
    OpenedJournal opened;
    EXPECT_EQ(read_behind(OnDamage::kSetAside, opened), (Names{"c", "d", "e"}));
    EXPECT_EQ(opened.names(), Names{"a"});
    const auto loss = opened.journal->loss();
    ASSERT_TRUE(loss);
    for (const std::uint64_t number : {1U, 2U, 3U}) {
      Bytes original = before.at(path(number));
      original.resize(original.find_last_not_of('\0') + 1);
      Bytes kept = read_bytes(loss->kept_in + "/" + segment_file_name(number));
      kept.resize(kept.find_last_not_of('\0') + 1);
      EXPECT_EQ(kept, original) << number;
    }
    ASSERT_TRUE(opened.journal->forget_loss());
    append_named(*opened.journal, "B");
    ASSERT_TRUE(opened.journal->close());
  }
  // From now on it opens as any other.
  OpenedJournal opened = open();
  EXPECT_EQ(opened.names(), (Names{"a", "", "B"}));
  EXPECT_FALSE(opened.journal->loss());
}

TEST_F(JournalSetAsideTest, ADamagedFirstSegmentIsSetAsideAsAWhole) {
  write({"a", "b", "c"});
  const JournalPosition from{1, 4096, 1};
  change(1, 16, 17, '\x7f');
  ASSERT_EQ(try_open_journal(*io_, dir_.path(), options_, from).error().code,
            Errc::kJournalDamaged);
  options_.on_damage = OnDamage::kSetAside;
  OpenedJournal opened = open_journal(*io_, dir_.path(), options_, from);
  EXPECT_TRUE(opened.names().empty());
  ASSERT_TRUE(opened.journal->loss());
  EXPECT_TRUE(
      std::filesystem::exists(opened.journal->loss()->kept_in + "/" + segment_file_name(1)));
  // What is appended is found from a head that the caller publishes now, not from the old one.
  const JournalPosition published = opened.journal->tail();
  EXPECT_EQ(published.segment, 2U);
  append_named(*opened.journal, "A");
  ASSERT_TRUE(opened.journal->close());
  opened.journal.reset();
  options_.on_damage = OnDamage::kRefuse;
  EXPECT_EQ(open_journal(*io_, dir_.path(), options_, published).names(), Names{"A"});
}

// Whatever disk call fails on the way: afterwards it can be run again, and nothing more is lost.
TEST_F(JournalSetAsideTest, AnyDiskCallMayFail) {
  const auto places = write({"a", "b", "c", "d", "e"}, 1500);
  change(places[1].segment, places[1].offset + 20, places[1].offset + 21, '\x7f');
  const auto before = all_files();
  bool failed = true;
  for (std::uint64_t call = 1; failed; ++call) {
    ASSERT_LT(call, 200U);
    std::filesystem::remove_all(dir_.path());
    std::filesystem::create_directories(dir_.path());
    for (const auto& [name, content] : before) write_bytes(name, content);
    testing::FaultIo faults(*io_);
    faults.arm({.at = call});
    options_.on_damage = OnDamage::kSetAside;
    failed = !try_open_journal(faults, dir_.path(), options_);
    OpenedJournal opened = open(failed ? OnDamage::kSetAside : OnDamage::kRefuse);
    ASSERT_FALSE(opened.seen.empty()) << call;
    ASSERT_EQ(opened.names().front(), "a") << call;
    // Every segment as it was is somewhere.
    for (const auto& [name, content] : before) {
      if (!name.ends_with(".wal")) continue;
      Bytes wanted = content;
      wanted.resize(wanted.find_last_not_of('\0') + 1);
      const auto now = all_files();
      ASSERT_TRUE(std::ranges::any_of(
          now, [&](const auto& file) { return file.second.starts_with(wanted); }))
          << call << " " << name;
    }
  }
}

}  // namespace
}  // namespace amberfs
