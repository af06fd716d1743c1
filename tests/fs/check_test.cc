// SPDX-License-Identifier: Apache-2.0
// A check that finds nothing proves nothing: every test here damages a good tree in one way.
#include "fs/check.h"

#include "tests/support/memory_blocks.h"

#include "fs/inode_edit.h"
#include "tests/support/fs_client.h"

#include <gmock/gmock.h>

namespace amberfs {
namespace {

using testing::FsClient;
using ::testing::HasSubstr;

class Check : public ::testing::Test, public FsClient {
 protected:
  void SetUp() override {
    d_ = dir("d");
    f_ = file("f", d_);
    write(f_, 0, "0123456789");
    ASSERT_TRUE(fs().symlink(who, kRootIno, "l", "x"));
    ASSERT_EQ(store.problems(), "");
  }
  // Applies a change that no operation would make.
  template <class Change>
  std::string after(Change&& change) {
    {
      Mutation mutation(store.live(), OpKind::kOther);
      change(mutation.batch());
      EXPECT_TRUE(mutation.apply());
    }
    return store.problems();
  }
  std::string with_record(Ino ino, const std::function<void(InodeRecord&)>& edit) {
    InodeRecord record = stat(ino);
    edit(record);
    return after([&](Batch& batch) { put_inode(batch, ino, record); });
  }
  static Bytes extent(std::uint32_t length) {
    Extent made;
    made.length = length;
    return encode(made);
  }

  Ino d_ = kNoIno;
  Ino f_ = kNoIno;
};

TEST_F(Check, FindsAnEntryWithoutAnInode) {
  EXPECT_THAT(after([&](Batch& b) { b.remove(inode_key(f_)); }), HasSubstr("missing"));
}

TEST_F(Check, FindsANameThatIsKnownOnOneSideOnly) {
  EXPECT_THAT(after([&](Batch& b) { b.remove(parent_key(f_, d_, "f")); }),
              HasSubstr("not known to inode"));
}

TEST_F(Check, FindsAnInodeOutOfReach) {
  EXPECT_THAT(after([&](Batch& b) { b.remove(dirent_key(d_, "f")); }),
              HasSubstr("does not have it"));
}

TEST_F(Check, FindsWrongLinkCounts) {
  EXPECT_THAT(with_record(f_, [](InodeRecord& r) { r.nlink = 2; }), HasSubstr("counts 2 links"));
}

TEST_F(Check, FindsWrongSubdirectoryCounts) {
  EXPECT_THAT(with_record(kRootIno, [](InodeRecord& r) { r.nlink = 2; }),
              HasSubstr("1 subdirectories"));
}

TEST_F(Check, FindsANamelessInodeThatIsNotListed) {
  EXPECT_THAT(after([&](Batch& b) {
                remove_name(b, d_, "f", f_);
                InodeRecord record = stat(f_);
                record.nlink = 0;
                put_inode(b, f_, record);
              }),
              HasSubstr("not listed as an orphan"));
}

TEST_F(Check, FindsBytesBehindTheEnd) {
  EXPECT_THAT(with_record(f_, [](InodeRecord& r) { r.size_bytes = 9; }),
              HasSubstr("behind its size"));
}

TEST_F(Check, FindsOverlappingExtents) {
  // In a tree: an overlay cannot hold such a thing, what is put there takes its range over.
  testing::MemoryBlocks blocks;
  std::vector<Change> changes;
  InodeRecord record = stat(f_);
  changes.push_back({inode_key(f_), encode(record)});
  changes.push_back({extent_key(f_, 6), extent(6)});
  changes.push_back({extent_key(f_, 8), extent(4)});
  const Result<Tree> tree = Tree(blocks, BlockId{}).apply(changes);
  ASSERT_TRUE(tree);
  const Result<CheckReport> report = check_view(View({}, *tree));
  ASSERT_TRUE(report);
  std::string text;
  for (const CheckFinding& finding : report->findings) text += finding.what + "\n";
  EXPECT_THAT(text, HasSubstr("overlap"));
}

TEST_F(Check, FindsWrongTotals) {
  EXPECT_THAT(after([&](Batch& b) {
                b.put(xattr_key(f_, "user.a"), "v");
                b.add_totals(1, 5);
              }),
              HasSubstr("totals say"));
}

TEST_F(Check, FindsADirectoryThatContainsItself) {
  const Ino inner = dir("inner", d_);
  EXPECT_THAT(after([&](Batch& b) {
                remove_name(b, kRootIno, "d", d_);
                put_name(b, inner, "loop", {d_, DT_DIR});
                InodeRecord root = stat(kRootIno);
                root.nlink -= 1;
                put_inode(b, kRootIno, root);
                InodeRecord record = stat(inner);
                record.nlink += 1;
                put_inode(b, inner, record);
              }),
              HasSubstr("does not lead up to the root"));
}

TEST_F(Check, FindsTheWrongTypeInAnEntry) {
  EXPECT_THAT(after([&](Batch& b) {
                b.put(dirent_key(d_, "f"), encode(Dirent{f_, DT_FIFO}));
              }),
              HasSubstr("another type"));
}

TEST_F(Check, FindsEntriesWithoutAnInode) {
  EXPECT_THAT(after([&](Batch& b) { b.put(xattr_key(4711, "user.a"), "v"); }),
              HasSubstr("without an inode"));
}

TEST_F(Check, KeepsABoundedNumberOfFindings) {
  after([&](Batch& b) {
    for (Ino ino = 5000; ino < 5100; ++ino) b.put(xattr_key(ino, "user.a"), "v");
  });
  Result<CheckReport> report = check_view(*store.live().view(), {.findings_max = 10});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->findings.size(), 10U);
  EXPECT_EQ(report->finding_count, 100U);
}

}  // namespace
}  // namespace amberfs
