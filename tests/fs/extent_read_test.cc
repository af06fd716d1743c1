// SPDX-License-Identifier: Apache-2.0
#include "fs/extent_read.h"

#include "tests/fs/journal_support.h"
#include "tests/support/memory_block_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace amberfs {
namespace {

constexpr Ino kFile = 5;

class DataReaderTest : public ::testing::Test {
 protected:
  DataReaderTest()
      : opened_(testing::open_journal(*io_, dir_.path(), testing::tiny_segments())),
        reader_(blocks_, opened_.journal.get()) {}

  void set_size(std::uint64_t size) {
    InodeRecord record;
    record.mode = S_IFREG | 0644;
    record.size_bytes = size;
    put(inode_key(kFile), encode(record));
  }
  void put(Bytes key, Bytes value) {
    overlay_->apply(std::vector<Change>{{std::move(key), std::move(value)}});
  }
  // `bytes` of a block that begins with `before`, ending at `end` in the file.
  void put_block(std::uint64_t end, ByteView bytes, ByteView before = {}) {
    Extent extent;
    extent.length = static_cast<std::uint32_t>(bytes.size());
    extent.block_offset = static_cast<std::uint32_t>(before.size());
    extent.block = *blocks_.put(Bytes(before) + Bytes(bytes), BlockKind::kData);
    put(extent_key(kFile, end), encode(extent));
  }
  void put_journal(std::uint64_t end, ByteView bytes) {
    Batch batch(OpKind::kWrite);
    Extent extent;
    extent.kind = ExtentKind::kJournal;
    extent.length = static_cast<std::uint32_t>(bytes.size());
    extent.position = batch.append_data(bytes);
    batch.put(extent_key(kFile, end), encode(extent));
    auto appended = opened_.journal->append(batch);
    ASSERT_TRUE(appended);
    batch.resolve(appended->segment, appended->data_position);
    overlay_->apply(batch);
  }
  Result<Bytes> read(std::uint64_t offset, std::size_t size) {
    Bytes bytes(size, '?');
    TRY_ASSIGN(const std::size_t got, reader_.read(view_, kFile, offset, bytes.data(), size));
    bytes.resize(got);
    return bytes;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  testing::MemoryBlockStore blocks_;
  testing::OpenedJournal opened_;
  DataReader reader_;
  std::shared_ptr<Overlay> overlay_ = std::make_shared<Overlay>();
  View view_{{overlay_}, Tree(blocks_, BlockId{})};
};

// The reader decodes the first block that is not decoded yet itself: a thread that did so too would
// only do it twice.
TEST_F(DataReaderTest, TheBlocksBehindTheReadersOwnAreDecodedAhead) {
  set_size(12);
  put_block(4, "aaaa");
  put_block(8, "bbbb");
  put_block(12, "cccc");
  const BlockId a{sha256("aaaa")};
  const BlockId b{sha256("bbbb")};
  const BlockId c{sha256("cccc")};
  ASSERT_TRUE(read(0, 12));
  EXPECT_EQ(blocks_.take_prefetched(), (std::vector<BlockId>{b, c}));
  blocks_.set_cached(a);
  EXPECT_EQ(read(2, 10), "aabbbbcccc");
  EXPECT_EQ(blocks_.take_prefetched(), std::vector<BlockId>{c});
  blocks_.set_cached(b);
  ASSERT_TRUE(read(2, 6));
  EXPECT_TRUE(blocks_.take_prefetched().empty());
}

TEST_F(DataReaderTest, ReadsAnyRangeOfBlocksJournalAndHoles) {
  set_size(30);
  put_block(8, "ABCDEFGH", "xx");
  put_journal(13, "jkl");  // 8 … 10 is a hole
  put_block(20, "0123");   // 13 … 16 is a hole, 20 … 30 the hole at the end
  const Bytes whole =
      Bytes("ABCDEFGH") + Bytes(2, '\0') + "jkl" + Bytes(3, '\0') + "0123" + Bytes(10, '\0');
  for (std::size_t offset = 0; offset <= 32; ++offset) {
    for (std::size_t size = 0; size <= 34; ++size) {
      auto got = read(offset, size);
      ASSERT_TRUE(got) << got.error().to_string();
      ASSERT_EQ(*got, offset < whole.size() ? whole.substr(offset, size) : Bytes())
          << offset << " " << size;
    }
  }
}

TEST_F(DataReaderTest, ADamagedExtentFailsOnlyReadsThatTouchIt) {
  set_size(12);
  put_block(4, "good");
  Extent missing;
  missing.length = 4;
  missing.block = BlockId{sha256("missing")};
  put(extent_key(kFile, 8), encode(missing));
  put_block(12, "fine");
  EXPECT_EQ(*read(0, 4), "good");
  EXPECT_EQ(*read(8, 4), "fine");
  EXPECT_EQ(read(0, 5).error().code, Errc::kBlockMissing);
  EXPECT_EQ(read(7, 2).error().code, Errc::kBlockMissing);
}

TEST_F(DataReaderTest, ReportsWhatCannotBeRead) {
  Bytes target(8, '\0');
  EXPECT_EQ(reader_.read(view_, 99, 0, target.data(), 1).error().sys_errno, ESTALE);
  Extent extent;
  extent.length = 4;
  EXPECT_EQ(reader_.read_extent(extent, 3, target.data(), 2).error().code, Errc::kCorrupt);
  EXPECT_EQ(reader_.read_extent(extent, 5, target.data(), 0).error().code, Errc::kCorrupt);
  extent.kind = ExtentKind::kJournal;
  extent.segment = 9;
  EXPECT_EQ(reader_.read_extent(extent, 0, target.data(), 4).error().code, Errc::kJournalDamaged);
  EXPECT_EQ(DataReader(blocks_, nullptr).read_extent(extent, 0, target.data(), 4).error().code,
            Errc::kCorrupt);
}

}  // namespace
}  // namespace amberfs
