// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fs_client.h"

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;

class Data : public ::testing::Test, public FsClient {
 protected:
  void TearDown() override { EXPECT_EQ(store.problems(), ""); }
  Status fallocate(Ino ino, Preallocate how, std::uint64_t offset, std::uint64_t size) {
    return fs().preallocate(who, ino, how, offset, size);
  }
  Result<std::uint64_t> copy(Ino source, std::uint64_t from, Ino target, std::uint64_t to,
                             std::uint64_t size) {
    return fs().copy_range(who, {source, from, target, to, size});
  }
};

TEST_F(Data, ReadsBackWhatWasWrittenInAnyOrder) {
  const Ino f = file("f");
  write(f, 6, "world");
  EXPECT_EQ(read(f), Bytes("\0\0\0\0\0\0world", 11));
  write(f, 0, "hello ");
  EXPECT_EQ(read(f), "hello world");
  write(f, 3, "LO WO");
  EXPECT_EQ(read(f), "helLO WOrld");
  EXPECT_EQ(read(f, 9, 100), "ld");
  EXPECT_EQ(read(f, 11, 100), "");
}

TEST_F(Data, SplitsAnExtentThatIsOverwrittenInTheMiddle) {
  const Ino f = file("f");
  write(f, 0, "aaaaaaaaaa");
  store.commit();
  write(f, 4, "bb");
  EXPECT_EQ(extent_count(f), 3U);
  EXPECT_EQ(read(f), "aaaabbaaaa");
}

TEST_F(Data, OnlyTheOriginalEndOfACutExtentIsACut) {
  FileExtent whole{100, 200, {}};
  whole.extent.length = 100;
  whole.extent.ends_at_cut = true;
  whole.extent.block_offset = 7;
  EXPECT_FALSE(slice(whole, 100, 150).ends_at_cut);
  EXPECT_TRUE(slice(whole, 150, 200).ends_at_cut);
  EXPECT_EQ(slice(whole, 150, 180).length, 30U);
  EXPECT_EQ(slice(whole, 150, 180).block_offset, 57U);
}

// A commit cuts extents anew: what programs do meanwhile must not depend on the old cuts.
TEST_F(Data, ChangesDuringACommitHoldWhateverTheCommitMakesOfTheExtentsBelow) {
  const Ino f = file("f");
  std::string model;
  const auto append = [&](char c, std::size_t size) {
    write(f, model.size(), Bytes(size, c));
    model += std::string(size, c);
  };
  append('a', 100);
  store.commit();
  append('b', 100);  // goes on with the open tail: the commit makes one extent of a and b
  append('c', 100);
  append('d', 100);
  Frozen frozen = store.begin_commit();
  const auto overwrite = [&](std::size_t at, char c, std::size_t size) {
    write(f, at, Bytes(size, c));
    model.replace(at, size, size, c);
  };
  overwrite(150, 'X', 50);   // the end of an extent that the commit merges into another
  overwrite(350, 'Y', 10);   // the middle of the last one
  overwrite(0, 'Z', 10);     // what is in the tree below
  ASSERT_TRUE(fs().preallocate({}, f, Preallocate::kPunchHole, 200, 100));
  model.replace(200, 100, 100, '\0');
  store.finish_commit(std::move(frozen));
  EXPECT_EQ(read(f), model);
  store.reopen();
  EXPECT_EQ(read(f), model) << "replayed above the new tree";
  store.commit();
  EXPECT_EQ(read(f), model);
  EXPECT_EQ(store.problems(), "");
  frozen = store.begin_commit();
  SetAttr shorter;
  shorter.size_bytes = 120;
  ASSERT_TRUE(fs().setattr({}, f, shorter));
  model.resize(120);
  append('e', 300);
  store.finish_commit(std::move(frozen));
  EXPECT_EQ(read(f), model);
  store.commit();
  EXPECT_EQ(read(f), model);
  EXPECT_EQ(store.problems(), "");
}

TEST_F(Data, RemovesSmallExtentsUnderALargeWrite) {
  const Ino f = file("f");
  for (unsigned i = 0; i < 100; ++i) write(f, i, "x");
  write(f, 0, Bytes(100, 'y'));
  EXPECT_EQ(extent_count(f), 1U);
}

TEST_F(Data, SplitsAWriteThatNoBatchCanHold) {
  const Ino f = file("f");
  Bytes large(30 * kMiB, 'a');
  for (std::size_t i = 0; i < large.size(); i += 4096) large[i] = static_cast<char>(i >> 12);
  write(f, 3, large);
  EXPECT_EQ(stat(f).size_bytes, large.size() + 3);
  EXPECT_EQ(read(f, 3, large.size()), large);
}

TEST_F(Data, RefusesBytesBehindTheLargestFile) {
  const Ino f = file("f");
  EXPECT_EQ(errno_of(fs().write(who, f, kFileSizeMax - 1, "ab", {})), EFBIG);
  EXPECT_EQ(errno_of(fs().write(who, f, ~std::uint64_t{0}, "ab", {})), EFBIG);
  EXPECT_TRUE(fs().write(who, f, kFileSizeMax - 2, "ab", {}));
  EXPECT_EQ(stat(f).size_bytes, kFileSizeMax);
  EXPECT_EQ(read(f, kFileSizeMax - 4, 10), Bytes("\0\0ab", 4));
  EXPECT_EQ(errno_of(fs().write(who, kRootIno, 0, "ab", {})), EISDIR);
  EXPECT_EQ(errno_of(fallocate(f, Preallocate::kAllocate, kFileSizeMax, 1)), EFBIG);
}

TEST_F(Data, TakesPrivilegesOnWritesButNeverFromLatePages) {
  const Ino f = file("f");
  chmod(f, 06755);
  ASSERT_TRUE(fs().write(who, f, 0, "x", {.from_page_cache = true, .kill_suid_sgid = true}));
  EXPECT_EQ(stat(f).mode & 07777U, 06755U);
  ASSERT_TRUE(fs().set_xattr(who, f, "security.capability", "caps", FileSystem::XattrMode::kAny));
  ASSERT_TRUE(fs().write(who, f, 0, "x", {.from_page_cache = false, .kill_suid_sgid = true}));
  EXPECT_EQ(stat(f).mode & 07777U, 0755U);
  EXPECT_EQ(errno_of(fs().get_xattr(f, "security.capability")), ENODATA);
}

TEST_F(Data, PunchesHolesWithoutChangingTheSize) {
  const Ino f = file("f");
  write(f, 0, "0123456789");
  ASSERT_TRUE(fallocate(f, Preallocate::kPunchHole, 2, 3));
  EXPECT_EQ(read(f), Bytes("01\0\0\0"
                           "56789",
                           10));
  ASSERT_TRUE(fallocate(f, Preallocate::kPunchHole, 8, 100));
  EXPECT_EQ(read(f), Bytes("01\0\0\0"
                           "567\0\0",
                           10));
  ASSERT_TRUE(fallocate(f, Preallocate::kPunchHole, 50, 100));
  EXPECT_EQ(stat(f).size_bytes, 10U);
}

TEST_F(Data, AllocatesAndZeroesRanges) {
  const Ino f = file("f");
  write(f, 0, "0123");
  ASSERT_TRUE(fallocate(f, Preallocate::kAllocate, 0, 6));
  EXPECT_EQ(read(f), Bytes("0123\0\0", 6));
  ASSERT_TRUE(fallocate(f, Preallocate::kKeepSize, 0, 60));
  EXPECT_EQ(stat(f).size_bytes, 6U);
  ASSERT_TRUE(fallocate(f, Preallocate::kZeroRangeKeepSize, 3, 60));
  EXPECT_EQ(read(f), Bytes("012\0\0\0", 6));
  ASSERT_TRUE(fallocate(f, Preallocate::kZeroRange, 1, 7));
  EXPECT_EQ(read(f), Bytes("0\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(errno_of(fallocate(f, Preallocate::kAllocate, 0, 0)), EINVAL);
  EXPECT_EQ(errno_of(fallocate(kRootIno, Preallocate::kAllocate, 0, 1)), EISDIR);
}

TEST_F(Data, SeeksDataAndHoles) {
  const Ino f = file("f");
  write(f, 10, "data");
  write(f, 14, "more");
  resize(f, 30);
  EXPECT_EQ(*fs().seek(f, 0, true), 10U);
  EXPECT_EQ(*fs().seek(f, 12, true), 12U);
  EXPECT_EQ(*fs().seek(f, 0, false), 0U);
  EXPECT_EQ(*fs().seek(f, 10, false), 18U);
  EXPECT_EQ(errno_of(fs().seek(f, 18, true)), ENXIO);
  EXPECT_EQ(*fs().seek(f, 29, false), 29U);
  EXPECT_EQ(errno_of(fs().seek(f, 30, false)), ENXIO);
  resize(f, 16);
  EXPECT_EQ(*fs().seek(f, 12, false), 16U);  // the hole at the end of every file
}

TEST_F(Data, CopiesByShareJustTheRange) {
  const Ino source = file("s");
  const Ino target = file("t");
  write(source, 0, "abcdef");
  write(source, 10, "klm");
  store.commit();
  write(source, 6, "gh");  // some in blocks, some in the journal, a hole between
  write(target, 0, Bytes(20, '-'));
  EXPECT_EQ(*copy(source, 2, target, 5, 10), 10U);
  EXPECT_EQ(read(target), Bytes("-----cdefgh\0\0kl-----", 20));
  store.commit();
  EXPECT_EQ(read(target), Bytes("-----cdefgh\0\0kl-----", 20));
  ASSERT_TRUE(fs().unlink(who, kRootIno, "s"));
  store.commit();
  store.reopen();
  EXPECT_EQ(read(target), Bytes("-----cdefgh\0\0kl-----", 20));
}

TEST_F(Data, ClipsCopiesToTheSource) {
  const Ino source = file("s");
  const Ino target = file("t");
  write(source, 0, "abc");
  EXPECT_EQ(*copy(source, 1, target, 4, 100), 2U);
  EXPECT_EQ(read(target), Bytes("\0\0\0\0bc", 6));
  EXPECT_EQ(*copy(source, 3, target, 0, 10), 0U);
  EXPECT_EQ(*copy(source, 0, source, 3, 3), 3U);
  EXPECT_EQ(read(source), "abcabc");
  EXPECT_EQ(errno_of(copy(source, 0, source, 2, 3)), EINVAL);
  EXPECT_EQ(errno_of(copy(source, 0, target, kFileSizeMax - 1, 3)), EFBIG);
  EXPECT_EQ(errno_of(copy(source, 0, kRootIno, 0, 3)), EISDIR);
}

TEST_F(Data, CopiesABoundedPartAtATime) {
  const Ino source = file("s");
  const Ino target = file("t");
  for (unsigned i = 0; i < 5000; ++i) write(source, i, "x");
  EXPECT_EQ(*copy(source, 0, target, 0, 5000), 4096U);
  EXPECT_EQ(*copy(source, 4096, target, 4096, 904), 904U);
  EXPECT_EQ(read(target), Bytes(5000, 'x'));
}

TEST_F(Data, CopiesOverAScatteredTargetAPartAtATime) {
  constexpr std::uint64_t kSize = 66'000;
  const Ino source = file("s");
  const Ino target = file("t");
  Bytes scattered(kSize, '\0');
  for (std::uint64_t i = 1; i < kSize; i += 2) {
    write(target, i, "t");
    scattered[i] = 't';
  }
  write(source, 0, Bytes(kSize, 's'));
  Result<std::uint64_t> copied = copy(source, 0, target, 0, kSize);
  ASSERT_TRUE(copied);
  EXPECT_LT(*copied, kSize);
  EXPECT_EQ(read(target), Bytes(*copied, 's') + scattered.substr(*copied));
  EXPECT_EQ(*copy(source, *copied, target, *copied, kSize), kSize - *copied);
  EXPECT_EQ(read(target), Bytes(kSize, 's'));
}

TEST_F(Data, KeepsJournalBytesThatWereSharedBeforeACommit) {
  const Ino source = file("s");
  write(source, 0, "in the journal");
  Frozen frozen = store.begin_commit();
  const Ino target = file("t");
  EXPECT_EQ(*copy(source, 0, target, 0, 14), 14U);
  write(source, 3, "THE");
  store.finish_commit(std::move(frozen));
  EXPECT_EQ(read(target), "in the journal");
  EXPECT_EQ(read(source), "in THE journal");
  store.reopen();
  EXPECT_EQ(read(target), "in the journal");
}

TEST_F(Data, GoesOnAfterACommitThatFailed) {
  const Ino f = file("f");
  write(f, 0, "before");
  static_cast<void>(store.begin_commit());
  write(f, 6, " after");
  store.abandon_commit();
  EXPECT_EQ(read(f), "before after");
  store.reopen();
  EXPECT_EQ(read(f), "before after");
}

TEST_F(Data, MovesTheTimesOfContentAndInode) {
  const Ino f = file("f");
  SetAttr old;
  old.mtime = old.ctime = Timestamp{1, 0};
  auto stamped = [&](auto&& change) {
    EXPECT_TRUE(fs().setattr(who, f, old));
    change();
    const InodeRecord record = stat(f);
    return record.mtime.seconds > 1 && record.ctime.seconds > 1;
  };
  EXPECT_TRUE(stamped([&] { write(f, 0, "abcdef"); }));
  EXPECT_TRUE(stamped([&] { resize(f, 3); }));
  EXPECT_TRUE(stamped([&] { EXPECT_TRUE(fallocate(f, Preallocate::kPunchHole, 0, 1)); }));
  EXPECT_TRUE(stamped([&] { EXPECT_TRUE(fallocate(f, Preallocate::kAllocate, 0, 99)); }));
  EXPECT_TRUE(stamped([&] { EXPECT_EQ(*copy(f, 0, f, 50, 9), 9U); }));
  EXPECT_FALSE(stamped([&] { read(f); }));
}

}  // namespace
}  // namespace amberfs
