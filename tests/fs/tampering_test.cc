// SPDX-License-Identifier: Apache-2.0
#include "fs/tampering.h"

#include "tests/support/fs_client.h"

namespace amberfs {
namespace {

using testing::FsClient;

class TamperingTest : public ::testing::Test, public FsClient {
 protected:
  TamperingTest() {
    who = {.request_id = 1, .uid = 1000, .gid = 100, .pid = 7, .command = "intruder"};
    store.watch({.ignore = default_ignore_globs()});
  }
  void TearDown() override {
    EXPECT_EQ(store.problems(), "");
    store.commit();
    EXPECT_EQ(store.problems(), "");
  }

  struct Event {
    Ino number = kNoIno;
    Evidence evidence;
  };
  // What the map holds, oldest number first.
  std::vector<Event> events() {
    std::vector<Event> found;
    const auto view = fs().view();
    auto cursor = view->cursor();
    EXPECT_TRUE(cursor->seek(range_begin(kNoIno, Tag::kEvidence)));
    while (cursor->valid() && cursor->key() < range_end(kNoIno, Tag::kEvidence)) {
      const auto evidence = decode_evidence(cursor->value());
      EXPECT_TRUE(evidence);
      found.push_back({parse_key(cursor->key())->number, *evidence});
      EXPECT_TRUE(cursor->next());
    }
    return found;
  }
  Bytes kept(const Event& event) {
    return read(event.number, event.evidence.begin, event.evidence.end - event.evidence.begin);
  }
  int unlink(ByteView name) { return testing::errno_of(fs().unlink(who, kRootIno, name)); }
  int rename(ByteView from, ByteView to) { return FsClient::rename(kRootIno, from, kRootIno, to); }
  Ino log(ByteView name, ByteView content) {
    const Ino ino = file(name);
    write(ino, 0, content);
    return ino;
  }
};

TEST_F(TamperingTest, AppendingIsNoTampering) {
  const Ino f = log("app.log", "one\n");
  write(f, 4, "two\n");
  store.commit();
  write(f, 8, "three\n");
  EXPECT_TRUE(events().empty());
}

TEST_F(TamperingTest, TheSameBytesAgainAreNoTampering) {
  const Ino f = log("app.log", "one\ntwo\n");
  write(f, 4, "two\nthree\n");  // as the kernel writes the last page again
  store.commit();
  write(f, 0, "one\ntwo\nthree\nfour\n");
  EXPECT_TRUE(events().empty());
  EXPECT_EQ(read(f), "one\ntwo\nthree\nfour\n");
}

TEST_F(TamperingTest, AnOverwriteIsRecordedWithItsBytesAndWhoMadeIt) {
  const Ino f = log("app.log", "user eve logged in\n");
  write(f, 0, "user bob logged in\n");
  ASSERT_EQ(events().size(), 1U);
  const Event event = events().front();
  EXPECT_EQ(event.evidence.kind, RemovalKind::kOverwritten);
  EXPECT_EQ(event.evidence.begin, 5U);
  EXPECT_EQ(event.evidence.end, 8U);
  EXPECT_EQ(event.evidence.kept_bytes, 3U);
  EXPECT_EQ(event.evidence.path, "app.log");
  EXPECT_EQ(event.evidence.uid, 1000U);
  EXPECT_EQ(event.evidence.pid, 7U);
  EXPECT_EQ(event.evidence.command, "intruder");
  EXPECT_FALSE(event.evidence.rotation);
  EXPECT_EQ(kept(event), "eve");
  store.commit();
  EXPECT_EQ(kept(events().front()), "eve");
  store.reopen();
  EXPECT_EQ(kept(events().front()), "eve");
  EXPECT_EQ(read(f), "user bob logged in\n");
}

TEST_F(TamperingTest, OverwritesOfOneFileAreOneEventUntilOneHitsTheSameBytes) {
  const Ino f = log("app.log", "aaaabbbbcccc");
  write(f, 0, "AAAA");
  write(f, 8, "CCCC");
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].evidence.count, 2U);
  EXPECT_EQ(kept(events()[0]), Bytes("aaaa\0\0\0\0cccc", 12));
  write(f, 0, "1111");  // what was put there is removed in turn
  ASSERT_EQ(events().size(), 2U);
  EXPECT_EQ(kept(events()[1]), "AAAA");
  EXPECT_EQ(kept(events()[0]), Bytes("aaaa\0\0\0\0cccc", 12));
}

TEST_F(TamperingTest, AFileWithManyEventsKeepsWhatWasThereFirstAndCountsTheRest) {
  const Ino f = log("state", Bytes(8, '0'));
  for (int i = 1; i <= 200; ++i) write(f, 0, Bytes(8, static_cast<char>('0' + i % 70)));
  const auto list = events();
  EXPECT_EQ(list.size(), 64U);
  EXPECT_EQ(kept(list.front()), Bytes(8, '0'));
  EXPECT_EQ(list.back().evidence.count, 200U - 63U);
  EXPECT_EQ(list.back().evidence.missed_bytes, (200U - 64U) * 8U);
}

TEST_F(TamperingTest, WhatIsCutOffIsKept) {
  const Ino f = log("app.log", "0123456789");
  resize(f, 4);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].evidence.kind, RemovalKind::kTruncated);
  EXPECT_EQ(kept(events()[0]), "456789");
  write(f, 4, "new");
  resize(f, 0);
  ASSERT_EQ(events().size(), 2U);
  EXPECT_EQ(kept(events()[1]), "0123new");
  resize(f, 100);  // growing takes nothing away
  EXPECT_EQ(events().size(), 2U);
}

TEST_F(TamperingTest, HolesAreNoBytes) {
  const Ino f = file("app.log");
  resize(f, 1000);
  write(f, 500, "late");
  resize(f, 600);
  EXPECT_TRUE(events().empty());
}

TEST_F(TamperingTest, ClearedRangesAreKept) {
  const Ino f = log("app.log", "0123456789");
  ASSERT_TRUE(fs().preallocate(who, f, Preallocate::kPunchHole, 2, 3));
  ASSERT_TRUE(fs().preallocate(who, f, Preallocate::kZeroRange, 7, 2));
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].evidence.kind, RemovalKind::kCleared);
  EXPECT_EQ(kept(events()[0]), Bytes("234\0\0", 5) + "78");
}

TEST_F(TamperingTest, BytesThatAreCopiedOverAreKept) {
  const Ino f = log("app.log", "0123456789");
  const Ino other = log("x", "XXXX");
  ASSERT_TRUE(fs().copy_range(who, {other, 0, f, 3, 4}));
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(kept(events()[0]), "3456");
  EXPECT_EQ(read(f), "012XXXX789");
}

TEST_F(TamperingTest, ADeletedFileStaysAsEvidence) {
  const Ino f = log("app.log", "secret");
  store.commit();
  write(f, 6, " and more");
  EXPECT_EQ(unlink("app.log"), 0);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].number, f);
  EXPECT_EQ(events()[0].evidence.kind, RemovalKind::kDeleted);
  EXPECT_EQ(kept(events()[0]), "secret and more");
  store.commit();
  store.reopen();
  ASSERT_TRUE(fs().drop_orphans());
  EXPECT_EQ(kept(events()[0]), "secret and more");
}

TEST_F(TamperingTest, ADeletedFileThatIsOpenStaysAndIsStillWatched) {
  const Ino f = log("app.log", "secret");
  ASSERT_TRUE(fs().open(f, false, who));
  EXPECT_EQ(unlink("app.log"), 0);
  EXPECT_EQ(store.problems(), "");
  write(f, 6, " late");
  resize(f, 0);
  ASSERT_EQ(events().size(), 2U);
  EXPECT_EQ(kept(events()[1]), "secret late");
  EXPECT_EQ(events()[1].evidence.path, "app.log");
  EXPECT_EQ(store.problems(), "");
  ASSERT_TRUE(fs().release(f));
  EXPECT_EQ(store.problems(), "");
  EXPECT_EQ(events().size(), 2U);
}

TEST_F(TamperingTest, AFileWithAnotherNameIsNotLost) {
  const Ino f = log("app.log", "secret");
  ASSERT_TRUE(fs().link(who, f, kRootIno, "other"));
  EXPECT_EQ(unlink("app.log"), 0);
  EXPECT_TRUE(events().empty());
  EXPECT_EQ(unlink("other"), 0);
  EXPECT_EQ(events().size(), 1U);
}

TEST_F(TamperingTest, IgnoredFilesAndTheServersOwnWorkAreNotWatched) {
  const Ino f = log("data.sqlite", "0123456789");
  write(f, 0, "X");
  resize(f, 3);
  EXPECT_EQ(unlink("data.sqlite"), 0);
  const Ino g = log("app.log", "0123456789");
  who.request_id = 0;
  write(g, 0, "X");
  EXPECT_EQ(unlink("app.log"), 0);
  EXPECT_TRUE(events().empty());
}

TEST_F(TamperingTest, ALogDoesNotEscapeThroughAnIgnoredName) {
  log("app.log", "secret");
  EXPECT_EQ(rename("app.log", "x.tmp"), 0);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].evidence.kind, RemovalKind::kHidden);
  EXPECT_EQ(events()[0].evidence.path, "app.log");
  EXPECT_EQ(events()[0].evidence.other, "x.tmp");
  EXPECT_EQ(unlink("x.tmp"), 0);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(kept(events()[0]), "secret");
}

TEST_F(TamperingTest, AnEditorsRenameIsTamperingUnlessItOnlyAppended) {
  log("app.log", "one\ntwo\n");
  log("fresh", "one\ntwo\nthree\n");
  EXPECT_EQ(rename("fresh", "app.log"), 0);
  EXPECT_TRUE(events().empty());
  log("fresh", "one\nthree\n");
  EXPECT_EQ(rename("fresh", "app.log"), 0);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].evidence.kind, RemovalKind::kReplaced);
  EXPECT_EQ(events()[0].evidence.other, "fresh");
  EXPECT_EQ(kept(events()[0]), "one\ntwo\nthree\n");
}

TEST_F(TamperingTest, RotationByRenamingAndDroppingTheOldestIsNoTampering) {
  for (int round = 0; round < 3; ++round) {
    log("app.log", "lines " + std::to_string(round));
    const int moved = round < 2 ? ENOENT : 0;
    EXPECT_EQ(rename("app.log.2", "app.log.3"), moved);
    EXPECT_EQ(rename("app.log.1", "app.log.2"), round < 1 ? ENOENT : 0);
    EXPECT_EQ(rename("app.log", "app.log.1"), 0);
  }
  EXPECT_EQ(unlink("app.log.3"), 0);
  EXPECT_TRUE(events().empty());
  EXPECT_EQ(unlink("app.log.1"), 0) << "the newest is no rotation";
  EXPECT_EQ(events().size(), 1U);
  EXPECT_EQ(unlink("app.log.2"), 0) << "nor is the last one";
  EXPECT_EQ(events().size(), 2U);
}

TEST_F(TamperingTest, DroppingOneGenerationAfterTheOtherIsTampering) {
  for (int i = 1; i <= 8; ++i) log("app.log." + std::to_string(i), "lines");
  for (int i = 8; i >= 1; --i) EXPECT_EQ(unlink("app.log." + std::to_string(i)), 0);
  EXPECT_EQ(events().size(), 4U);
}

TEST_F(TamperingTest, ANewGenerationRenamedOverTheOldestIsNoTampering) {
  log("app.log.0", "new");
  log("app.log.1", "old");
  EXPECT_EQ(rename("app.log.0", "app.log.1"), 0);
  EXPECT_TRUE(events().empty());
  log("app.log.3", "a");
  log("app.log.2", "b");
  EXPECT_EQ(rename("app.log.2", "app.log.1"), 0) << "the wrong way";
  EXPECT_EQ(events().size(), 1U);
}

TEST_F(TamperingTest, ACompressedFileIsKeptButNoTampering) {
  log("app.log.1", "lines");
  log("app.log.1.gz", "compressed");
  EXPECT_EQ(unlink("app.log.1"), 0);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_TRUE(events()[0].evidence.rotation);
  EXPECT_EQ(kept(events()[0]), "lines");
}

TEST_F(TamperingTest, CuttingOffWhatWasCopiedIsNoTampering) {
  const Ino f = log("app.log", "one\ntwo\n");
  log("app.log.1", "one\ntwo\n");
  resize(f, 0);
  EXPECT_TRUE(events().empty());
  write(f, 0, "three\n");
  log("app.log-20261121", "thrXe\n");
  resize(f, 0);
  EXPECT_EQ(events().size(), 1U) << "a copy that differs";
}

TEST_F(TamperingTest, WhatLiesAboveMoreExtentsThanABatchKeepsIsWrittenInSeveral) {
  store.watch({.pieces_max = 3});
  const Ino f = file("app.log");
  Bytes before;
  for (int i = 0; i < 10; ++i) {  // each write an extent
    write(f, before.size(), Bytes(100, static_cast<char>('a' + i)));
    before += Bytes(100, static_cast<char>('a' + i));
  }
  const Bytes after(1200, 'X');
  write(f, 0, after);
  EXPECT_EQ(read(f), after);
  const auto same = [&] {
    ASSERT_EQ(events().size(), 1U);
    EXPECT_EQ(events()[0].evidence.count, 4U);
    EXPECT_EQ(events()[0].evidence.kept_bytes, 1000U);
    EXPECT_EQ(kept(events()[0]), before);
  };
  same();
  store.reopen();
  EXPECT_EQ(read(f), after);
  same();
}

TEST_F(TamperingTest, SaysHowManyNoticesWereTooManyAtOnce) {
  constexpr std::size_t kNoticesMax = 10'000;
  constexpr std::size_t kMore = 3;
  for (std::size_t i = 0; i < kNoticesMax + kMore; ++i) {
    log(std::to_string(i), "line\n");
    ASSERT_EQ(unlink(std::to_string(i)), 0);
  }
  EXPECT_EQ(store.tampering().take_notices().size(), kNoticesMax);
  EXPECT_EQ(store.tampering().take_left_out(), kMore);
  EXPECT_EQ(store.tampering().take_left_out(), 0U);
  EXPECT_EQ(events().size(), kNoticesMax + kMore) << "the evidence of all is kept";
}

TEST_F(TamperingTest, DroppedEvidenceIsGone) {
  const Ino f = log("app.log", "secret");
  resize(f, 0);
  log("b.log", "other");
  EXPECT_EQ(unlink("b.log"), 0);
  store.commit();
  for (const Event& event : events()) ASSERT_TRUE(fs().drop_evidence(event.number));
  EXPECT_TRUE(events().empty());
  EXPECT_EQ(store.problems(), "");
}

TEST_F(TamperingTest, LatePagesBelongToWhoHasTheFileOpen) {
  const Ino f = log("app.log", "0123456789");
  store.tampering().set_writers([](Ino) {
    return std::vector<Writer>{
        {{.uid = 3, .gid = 3, .pid = 30, .command = "dd"}, false},
        {{.uid = 2, .gid = 2, .pid = 20, .command = "rsyslogd"}, true},
    };
  });
  who = {.request_id = 9};
  write(f, 0, "X");
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].evidence.command, "dd") << "who appends cannot overwrite";
  EXPECT_EQ(events()[0].evidence.pid, 30U);
  EXPECT_FALSE(events()[0].evidence.one_of);
}

TEST_F(TamperingTest, WhoAsksForWritersHoldsNoLockThatOthersNeed) {
  const Ino f = log("app.log", "0123456789");
  bool asked = false;
  store.tampering().set_writers([&](Ino) {
    asked = true;
    EXPECT_FALSE(store.tampering().is_open(1));  // stands still if it is not so
    return std::vector<Writer>{};
  });
  who = {.request_id = 9};
  write(f, 0, "X");
  EXPECT_TRUE(asked);
}

}  // namespace
}  // namespace amberfs
