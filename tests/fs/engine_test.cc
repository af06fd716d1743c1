// SPDX-License-Identifier: Apache-2.0
// Engine: commit, snapshot, rollback, recovery, driven without a mount.
#include "fs/engine.h"

#include "tests/support/both_forms.h"
#include "tests/support/fault_io.h"
#include "tests/support/pass_io.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace amberfs {
namespace {

const Origin kNobody;

std::string small_config() {
  std::string text = testing::test_config_text(std::string(32, '0'));
  auto set = [&](std::string_view from, std::string_view to) {
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  };
  set("average = \"1MiB\"", "average = \"64KiB\"");
  set("min = \"256KiB\"", "min = \"16KiB\"");
  set("max = \"4MiB\"", "max = \"256KiB\"");
  set("segment = \"64MiB\"", "segment = \"32MiB\"");
  return text;
}

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status made = testing::create_store(*io_, store_, small_config());
    ASSERT_TRUE(made) << made.error().to_string();
    open(store_);
  }

  void open(const std::string& store) {
    engine_.reset();
    auto opened = testing::open_engine(io(), store);
    ASSERT_TRUE(opened) << opened.error().to_string();
    engine_ = *std::move(opened);
  }
  // What a kill -9 leaves: the files as they are, without a clean close.
  void kill_and_open() {
    const std::string copy = dir_ / ("copy" + std::to_string(++copies_));
    std::filesystem::copy(engine_->store(), copy, std::filesystem::copy_options::recursive);
    open(copy);
  }

  Io& io() { return fault_ ? static_cast<Io&>(*fault_) : *io_; }
  FileSystem& fs() { return engine_->filesystem(); }

  Ino make_file(ByteView name, Ino directory = kRootIno) {
    auto made = fs().make(kNobody, directory, name, {.mode = S_IFREG | 0644});
    EXPECT_TRUE(made) << made.error().to_string();
    return made ? made->ino : kNoIno;
  }
  void append(Ino ino, ByteView data) {
    auto attr = fs().getattr(ino);
    ASSERT_TRUE(attr);
    const Status written = fs().write(kNobody, ino, attr->record.size_bytes, data, {});
    ASSERT_TRUE(written) << written.error().to_string();
  }
  static Result<Bytes> content(Engine& engine, const View& view, std::string_view path) {
    TRY_ASSIGN(Ino ino, view.resolve_path(path));
    TRY_ASSIGN(InodeRecord inode, view.inode(ino));
    Bytes bytes(inode.size_bytes, '\0');
    TRY_ASSIGN(std::size_t got, engine.data().read(view, ino, 0, bytes.data(), bytes.size()));
    bytes.resize(got);
    return bytes;
  }
  Bytes live_content(std::string_view path) {
    auto bytes = content(*engine_, *engine_->live_view(), path);
    EXPECT_TRUE(bytes) << path << ": " << bytes.error().to_string();
    return bytes ? *bytes : Bytes{};
  }
  Manifest snapshot(const SnapshotRequest& request = {}) {
    auto taken = engine_->snapshot(request);
    EXPECT_TRUE(taken) << taken.error().to_string();
    return taken ? taken->manifest : Manifest{};
  }

  testing::TempDir dir_;
  std::string store_ = dir_ / "store";
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<testing::FaultIo> fault_;
  std::unique_ptr<Engine> engine_;
  int copies_ = 0;
};

Bytes log_text(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes text;
  while (text.size() < size) {
    text += "2026-11-20T10:00:00Z host app[" + std::to_string(random() % 900) + "]: request " +
            std::to_string(random()) + " took " + std::to_string(random() % 5000) + " ms\n";
  }
  text.resize(size);
  return text;
}

TEST_F(EngineTest, NewStoreHasAnEmptyRootDirectory) {
  const auto root = fs().getattr(kRootIno);
  ASSERT_TRUE(root);
  EXPECT_TRUE(S_ISDIR(root->record.mode));
  EXPECT_EQ(root->record.nlink, 2U);
  EXPECT_EQ(engine_->live().totals().inode_count, 1U);
}

TEST_F(EngineTest, RefusesToMakeAStoreWhereOneIs) {
  const Status again = testing::create_store(*io_, store_, small_config());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kStoreExists);
}

TEST_F(EngineTest, ANewStoreCanHaveSparesOfTheJournalAndUsesThem) {
  const std::string store = dir_ / "with-spares";
  ASSERT_TRUE(testing::create_store(*io_, store, small_config(), 2));
  const auto blocks = [&](int number) {
    struct stat st {};
    const std::string path = fmt::format("{}/journal/{:012}.wal", store, number);
    return ::stat(path.c_str(), &st) == 0 ? st.st_blocks * 512 : 0;
  };
  constexpr off_t kSegment = 32 * kMiB;
  EXPECT_GE(blocks(1), kSegment);
  EXPECT_GE(blocks(2), kSegment);
  open(store);
  append(make_file("f"), "a line\n");
  ASSERT_TRUE(engine_->journal().sync_to(engine_->live().last_seq()));
  // A spare under its new name; not yet the other one.
  EXPECT_GE(blocks(3), kSegment);
  EXPECT_EQ((blocks(1) > 0) + (blocks(2) > 0), 1);
  kill_and_open();
  EXPECT_EQ(live_content("f"), "a line\n");
  ASSERT_TRUE(engine_->commit());
  append(make_file("g"), "another\n");
  kill_and_open();
  EXPECT_EQ(live_content("f") + live_content("g"), "a line\nanother\n");
}

TEST_F(EngineTest, AStoreWithoutRoomForSparesHasFewer) {
  testing::FaultIo full(*io_);
  for (int at : {4, 40}) {
    const std::string store = dir_ / ("no-room" + std::to_string(at));
    full.count(testing::io_ops({testing::IoOp::kWrite}));
    full.arm({.at = static_cast<unsigned>(at), .sys_errno = ENOSPC});
    const Status made = testing::create_store(full, store, small_config(), 2);
    ASSERT_TRUE(full.fired());
    ASSERT_TRUE(made) << made.error().to_string();
    open(store);
    EXPECT_EQ(std::filesystem::exists(store + "/journal/000000000001.wal"), at == 40);
    append(make_file("f"), "a line\n");
    kill_and_open();
    EXPECT_EQ(live_content("f"), "a line\n");
  }
}

TEST_F(EngineTest, SecondOpenIsLockedOut) {
  const auto second = testing::open_engine(*io_, store_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kStoreLocked);
}

TEST_F(EngineTest, CommittedAndUncommittedChangesSurviveAKill) {
  const Ino log = make_file("a.log");
  append(log, "committed\n");
  ASSERT_TRUE(engine_->commit());
  append(log, "only in the journal\n");
  make_file("b.log");
  kill_and_open();
  EXPECT_EQ(live_content("a.log"), "committed\nonly in the journal\n");
  EXPECT_EQ(live_content("b.log"), "");
  const Ino after = make_file("c.log");
  EXPECT_GT(after, log + 1) << "inode numbers are never reused";
}

TEST_F(EngineTest, CleanCloseLeavesNothingToReplay) {
  append(make_file("a.log"), "text");
  ASSERT_TRUE(engine_->close());
  open(store_);
  EXPECT_FALSE(engine_->live().dirty());
  EXPECT_EQ(live_content("a.log"), "text");
}

TEST_F(EngineTest, SnapshotKeepsWhatWasThere) {
  const Ino log = make_file("a.log");
  append(log, "one\n");
  const Manifest first = snapshot({.name = "first"});
  append(log, "two\n");
  ASSERT_TRUE(fs().unlink(kNobody, kRootIno, "a.log"));
  const Manifest second = snapshot();
  EXPECT_EQ(second.previous_id, first.id);
  EXPECT_EQ(second.sequence, first.sequence + 1);
  EXPECT_GT(second.time_ns, first.time_ns);
  const auto old = content(*engine_, *engine_->view_of(first).view, "a.log");
  ASSERT_TRUE(old) << old.error().to_string();
  EXPECT_EQ(*old, "one\n");
  EXPECT_FALSE(content(*engine_, *engine_->view_of(second).view, "a.log"));
}

TEST_F(EngineTest, UnchangedTreeIsNotSnapshottedTwiceWhenAsked) {
  append(make_file("a.log"), "one\n");
  const Manifest first = snapshot();
  const auto again = engine_->snapshot({.skip_if_unchanged = true});
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->manifest.id, first.id);
  make_file("b.log");
  EXPECT_TRUE(engine_->snapshot({.skip_if_unchanged = true})->created);
}

TEST_F(EngineTest, RollbackRestoresTheTreeAndCanBeRolledBack) {
  const Ino log = make_file("a.log");
  append(log, "good\n");
  const Manifest good = snapshot();
  ASSERT_TRUE(fs().unlink(kNobody, kRootIno, "a.log"));
  const Ino other = make_file("b.log");
  const auto rolled = engine_->rollback(good, false);
  ASSERT_TRUE(rolled) << rolled.error().to_string();
  EXPECT_EQ(live_content("a.log"), "good\n");
  EXPECT_FALSE(fs().lookup(kRootIno, "b.log"));
  EXPECT_GT(make_file("c.log"), other) << "I9: inode numbers are never reused";
  kill_and_open();
  EXPECT_EQ(live_content("a.log"), "good\n");
  const auto back = engine_->rollback(rolled->before, false);
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_TRUE(fs().lookup(kRootIno, "b.log"));
  EXPECT_FALSE(fs().lookup(kRootIno, "a.log"));
}

TEST_F(EngineTest, RollbackWithOpenFilesIsRefusedUnlessForced) {
  append(make_file("a.log"), "good\n");
  const Manifest good = snapshot();
  const Ino later = make_file("later.log");
  append(later, "unsaved\n");
  ASSERT_TRUE(fs().open(later, false, kNobody));
  const auto refused = engine_->rollback(good, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFilesOpen);
  EXPECT_EQ(live_content("later.log"), "unsaved\n");
  ASSERT_TRUE(engine_->rollback(good, true));
  EXPECT_FALSE(fs().lookup(kRootIno, "later.log"));
  Bytes still(8, '\0');
  const auto got = fs().read(later, 0, still.data(), still.size());
  ASSERT_TRUE(got) << "who had it open goes on with it: " << got.error().to_string();
  EXPECT_EQ(still, "unsaved\n");
  ASSERT_TRUE(fs().release(later));
  EXPECT_FALSE(fs().getattr(later));
}

std::vector<std::pair<std::uint64_t, BlockId>> extents_of(const View& view, Ino ino) {
  std::vector<std::pair<std::uint64_t, BlockId>> list;
  EXPECT_TRUE(view.extents(ino, 0, kFileSizeMax, [&](const View::FileExtent& extent) {
    list.emplace_back(extent.end, extent.extent.block);
    return true;
  }));
  return list;
}

TEST_F(EngineTest, LogThatGrewInManyCommitsIsCutLikeOneWrittenAtOnce) {
  const Bytes text = log_text(3 * kMiB, 1);
  const Ino grown = make_file("grown.log");
  std::mt19937 random(2);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = std::min<std::size_t>(text.size() - at, 1 + random() % 90'000);
    append(grown, ByteView(text).substr(at, size));
    at += size;
    ASSERT_TRUE(engine_->commit());
  }
  const Ino whole = make_file("whole.log");
  append(whole, text);
  ASSERT_TRUE(engine_->commit());
  EXPECT_EQ(live_content("grown.log"), text);
  auto a = extents_of(*engine_->live_view(), grown);
  auto b = extents_of(*engine_->live_view(), whole);
  ASSERT_GT(b.size(), 10U);
  // All but the unfinished tail is the same blocks at the same places.
  b.pop_back();
  ASSERT_GE(a.size(), b.size());
  a.resize(b.size());
  EXPECT_EQ(a, b);
}

TEST_F(EngineTest, TailOfASlowLogStaysInFewPieces) {
  const Ino log = make_file("slow.log");
  const Bytes text = log_text(100'000, 3);
  std::uint64_t worst = 0;
  for (std::size_t at = 0; at + 500 <= text.size(); at += 500) {
    append(log, ByteView(text).substr(at, 500));
    ASSERT_TRUE(engine_->commit());
    worst = std::max<std::uint64_t>(worst, extents_of(*engine_->live_view(), log).size());
  }
  EXPECT_LE(worst, 16U) << "pieces double in size";
  EXPECT_EQ(live_content("slow.log"), text.substr(0, text.size() / 500 * 500));
  const auto stats = engine_->blocks().stats();
  ASSERT_TRUE(stats);
  EXPECT_LT(stats->data_plain_bytes, text.size() * 16) << "each byte is rewritten O(log) times";
}

TEST_F(EngineTest, OverwriteInTheMiddleWritesOnlyTheNewBytes) {
  const Ino log = make_file("a.log");
  Bytes text = log_text(1 * kMiB, 4);
  append(log, text);
  ASSERT_TRUE(engine_->commit());
  const auto before = engine_->blocks().stats();
  ASSERT_TRUE(fs().write(kNobody, log, 500'000, Bytes(4096, 'X'), {}));
  text.replace(500'000, 4096, 4096, 'X');
  ASSERT_TRUE(engine_->commit());
  const auto after = engine_->blocks().stats();
  ASSERT_TRUE(before && after);
  EXPECT_EQ(after->data_plain_bytes - before->data_plain_bytes, 4096U);
  EXPECT_EQ(live_content("a.log"), text);
}

// Whatever call of a commit and snapshot fails: what was acknowledged is still read, at once and
// after a kill, and once the disk is well again everything goes on.
TEST_F(EngineTest, CommitsOutOfTheReserveOnAFullDisk) {
  fault_ = std::make_unique<testing::FaultIo>(*io_);
  open(store_);
  engine_->guard_space(1 * kMiB);
  const std::uint64_t reserve = engine_->space().refresh().reserve_bytes;
  ASSERT_GT(reserve, 0U);
  append(make_file("a"), log_text(100'000, 1));
  fault_->count(testing::io_ops({testing::IoOp::kWrite}));
  fault_->arm({.at = 1, .sys_errno = ENOSPC});  // the first write of the commit
  EXPECT_TRUE(engine_->commit());
  EXPECT_TRUE(fault_->fired());
  EXPECT_FALSE(engine_->live().dirty());
  EXPECT_EQ(engine_->space().refresh().reserve_bytes, reserve);  // taken again
}

TEST_F(EngineTest, ClosesCleanlyOnAFullDiskAndLosesNothing) {
  fault_ = std::make_unique<testing::FaultIo>(*io_);
  open(store_);
  append(make_file("a"), log_text(100'000, 1));
  fault_->count(testing::io_ops({testing::IoOp::kWrite}));
  fault_->arm({.at = 1, .sys_errno = ENOSPC, .sticky = true});
  const Status closed = engine_->close();
  EXPECT_TRUE(closed) << closed.error().to_string();
  EXPECT_TRUE(fault_->fired());
  fault_.reset();
  open(store_);
  EXPECT_EQ(live_content("a"), log_text(100'000, 1));
}

TEST_F(EngineTest, ChangesNotCommittedStayWithinTheMemoryBudget) {
  engine_.reset();
  std::string text = small_config();
  const std::string_view before = "budget = \"512MiB\"";
  text.replace(text.find(before), before.size(), "budget = \"64MiB\"");
  std::ofstream(store_ + "/config.toml") << text;
  open(store_);
  const std::uint64_t max = overlay_max_bytes(engine_->config());
  ASSERT_EQ(max, 8 * kMiB);
  EXPECT_LE(engine_->config().blocks.cache_size_bytes, 32 * kMiB);
  engine_->start_background();
  std::uint64_t peak = 0;
  std::uint64_t made = 0;  // what it would have taken
  for (int i = 0; made < 4 * max; ++i) {
    const std::uint64_t size = engine_->live().overlay_bytes();
    peak = std::max(peak, size);
    make_file("file" + std::to_string(i));
    const std::uint64_t after = engine_->live().overlay_bytes();
    made += after > size ? after - size : 0;
  }
  EXPECT_LT(peak, max + max / 4);
  EXPECT_GE(engine_->health().commits, 2U);
}

// A disk with bytes that cannot be read any more: some in the middle of each pack.
class BadSectorIo final : public testing::PassIo {
 public:
  using PassIo::PassIo;
  static constexpr std::uint64_t kBegin = 500'000;
  static constexpr std::uint64_t kEnd = 500'512;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    TRY_ASSIGN(auto file, PassIo::open(path, mode));
    if (!path.ends_with(".pack")) return file;
    return std::unique_ptr<File>(new BadFile(std::move(file)));
  }

 private:
  class BadFile final : public testing::PassFile {
   public:
    using PassFile::PassFile;
    Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t at) override {
      if (at < kEnd && kBegin < at + size) return fail(Errc::kIo, EIO, "read", path());
      return PassFile::pread_some(target, size, at);
    }
  };
};

TEST_F(EngineTest, FailsToReadExactlyWhatTheDiskCannotRead) {
  Bytes noise(2'000'000, '\0');  // not compressible: offsets in the pack are near those in the file
  std::mt19937 random(1);
  for (char& byte : noise) byte = static_cast<char>(random());
  append(make_file("a"), noise);
  ASSERT_TRUE(engine_->commit());
  engine_.reset();
  BadSectorIo bad(*io_);
  auto opened = testing::open_engine(bad, store_);
  ASSERT_TRUE(opened) << opened.error().to_string();
  const auto view = (*opened)->live_view();
  const auto ino = view->resolve_path("a");
  ASSERT_TRUE(ino);
  constexpr std::size_t kPiece = 1000;
  Bytes piece(kPiece, '\0');
  std::vector<std::size_t> failed;
  for (std::size_t at = 0; at < noise.size(); at += kPiece) {
    const auto got = (*opened)->data().read(*view, *ino, at, piece.data(), kPiece);
    if (got) {
      EXPECT_EQ(ByteView(piece), ByteView(noise).substr(at, kPiece)) << at;
      continue;
    }
    EXPECT_EQ(got.error().to_errno(), EIO);
    failed.push_back(at);
  }
  // One block, and all of it in one run.
  ASSERT_FALSE(failed.empty());
  EXPECT_LE(failed.size() * kPiece, 256 * 1024 + 2 * kPiece);
  EXPECT_EQ(failed.back() - failed.front(), (failed.size() - 1) * kPiece);
  // Writing goes on beside it, also over the bytes that are lost.
  const Status written = (*opened)->filesystem().write(kNobody, *ino, failed.front(),
                                                       ByteView(noise).substr(0, 10), {});
  EXPECT_TRUE(written);
}

TEST_F(EngineTest, FailureAtAnyDiskCallOfASnapshotLosesNothing) {
  const Bytes first = log_text(300'000, 5);
  const Bytes second = log_text(200'000, 6);
  for (std::uint64_t at = 1;; ++at) {
    const std::string store = dir_ / ("fault" + std::to_string(at));
    ASSERT_TRUE(testing::create_store(*io_, store, small_config()));
    engine_.reset();
    fault_ = std::make_unique<testing::FaultIo>(*io_);
    open(store);
    const Ino log = make_file("a.log");
    append(log, first);
    ASSERT_TRUE(engine_->commit());
    append(log, second);
    fault_->arm({.at = at, .sys_errno = at % 2 == 0 ? EIO : ENOSPC, .torn_percent = 50});
    const auto taken = engine_->snapshot({});
    const bool fired = fault_->fired();
    fault_->disarm();
    ASSERT_EQ(live_content("a.log"), first + second) << "failed call " << at;
    kill_and_open();
    ASSERT_EQ(live_content("a.log"), first + second) << "after a kill, failed call " << at;
    const auto later = engine_->snapshot({});
    ASSERT_TRUE(later) << "failed call " << at << ": " << later.error().to_string();
    const auto kept = content(*engine_, *engine_->view_of(later->manifest).view, "a.log");
    ASSERT_TRUE(kept);
    ASSERT_EQ(*kept, first + second);
    if (!fired) {
      EXPECT_TRUE(taken);
      EXPECT_GT(at, 5U) << "the harness must have failed something";
      break;
    }
  }
}

// The next commit would write over the snapshots that such an index does not know.
TEST_F(EngineTest, AnIndexThatSomebodyPutBackIsRefusedAndNothingIsCutOff) {
  const Ino ino = make_file("log");
  append(ino, Bytes(5000, 'a'));
  ASSERT_TRUE(engine_->snapshot({.name = "one"}));
  ASSERT_TRUE(engine_->close());
  const std::string index = store_ + "/index/data.mdb";
  const std::string old = dir_ / "old.mdb";
  std::filesystem::copy_file(index, old);
  open(store_);
  append(ino, Bytes(5000, 'b'));
  ASSERT_TRUE(engine_->snapshot({.name = "two"}));
  ASSERT_TRUE(engine_->close());
  std::filesystem::copy_file(old, index, std::filesystem::copy_options::overwrite_existing);
  engine_.reset();

  const auto opened = testing::open_engine(io(), store_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kIndexDamaged) << opened.error().to_string();
  BlockStoreOptions blocks;
  blocks.cipher = testing::test_cipher();
  ASSERT_TRUE(BlockStore::rebuild_index(*io_, store_, blocks));
  open(store_);
  const auto two = engine_->catalog().resolve("two");
  ASSERT_TRUE(two);
  const auto view = engine_->view_of(*two).view;
  const auto file = view->resolve_path("log");
  ASSERT_TRUE(file);
  EXPECT_EQ(view->inode(*file)->size_bytes, 10'000U);
}

}  // namespace
}  // namespace amberfs
