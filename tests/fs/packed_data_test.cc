// SPDX-License-Identifier: Apache-2.0
#include "fs/packed_data.h"

#include "fs/overlay.h"
#include "tests/fs/journal_support.h"
#include "tests/support/fault_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace amberfs {
namespace {

const Packing kPacking{.zstd_level = 1, .size_min = 100};

Bytes log_lines(std::size_t size) {
  Bytes lines;
  for (int i = 0; lines.size() < size; ++i) {
    lines += "2026-11-21T10:00:00Z web-01 sshd[800]: session " + std::to_string(i) + " opened\n";
  }
  lines.resize(size);
  return lines;
}

Result<Bytes> unpack(ByteView area) {
  TRY_ASSIGN(const PackedSizes sizes,
             decode_packed_sizes(area.substr(0, PackedSizes::kHeaderSize)));
  return unpack_data(sizes, area.substr(PackedSizes::kHeaderSize));
}

TEST(PackedData, GivesBackWhatWasPacked) {
  const Bytes plain = log_lines(300'000);
  Bytes buffer;
  const ByteView packed = pack_data(plain, kPacking, buffer);
  ASSERT_FALSE(packed.empty());
  EXPECT_LT(packed.size(), plain.size() / 4);
  const auto unpacked = unpack(packed);
  ASSERT_TRUE(unpacked) << unpacked.error().to_string();
  EXPECT_EQ(*unpacked, plain);
}

TEST(PackedData, LeavesAloneWhatIsSmallOrDoesNotShrink) {
  Bytes buffer;
  EXPECT_TRUE(pack_data(log_lines(99), kPacking, buffer).empty());
  EXPECT_TRUE(pack_data(random_bytes(100'000), kPacking, buffer).empty());
  EXPECT_TRUE(pack_data(log_lines(9'000), {.zstd_level = 0, .size_min = 1}, buffer).empty());
}

TEST(PackedData, RefusesWhatIsNoPackedArea) {
  Bytes buffer;
  const Bytes plain = log_lines(10'000);
  const Bytes packed(pack_data(plain, kPacking, buffer));
  EXPECT_FALSE(decode_packed_sizes(ByteView(packed).substr(0, 7)));
  EXPECT_FALSE(decode_packed_sizes(Bytes(8, '\0')));
  EXPECT_FALSE(decode_packed_sizes(Bytes(8, '\x11'))) << "a frame as large as what it holds";
  EXPECT_FALSE(unpack(ByteView(packed).substr(0, packed.size() - 1)));
  for (const std::size_t at : {std::size_t{4}, std::size_t{5}, std::size_t{8}, std::size_t{12}}) {
    Bytes wrong = packed;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x40);
    const auto unpacked = unpack(wrong);
    EXPECT_FALSE(unpacked) << "byte " << at;
  }
}

TEST(PackedCache, KeepsTheNewestWithinItsBounds) {
  PackedCache cache;
  constexpr std::size_t kCount = 20;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    cache.insert({1, i}, std::make_shared<const Bytes>(kMiB, 'x'));
    EXPECT_TRUE(cache.find({1, 0})) << "it is used each time, after " << i;
  }
  std::size_t kept = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) kept += cache.find({1, i}) ? 1 : 0;
  EXPECT_EQ(kept, 16U);
  EXPECT_TRUE(cache.find({1, kCount - 1}));
  EXPECT_FALSE(cache.find({2, 0}));
}

TEST(PackedCache, HoldsABoundedNumberOfSmallOnes) {
  PackedCache cache;
  constexpr std::uint64_t kCount = 100'000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    cache.insert({1, i}, std::make_shared<const Bytes>("x"));
  }
  std::size_t kept = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) kept += cache.find({1, i}) ? 1 : 0;
  EXPECT_EQ(kept, 4096U);
  EXPECT_TRUE(cache.find({1, kCount - 1}));
}

class PackedJournal : public ::testing::Test {
 protected:
  // Appends `plain` packed, as an extent of inode 5 that ends at its size.
  Appended append(Journal& journal, ByteView plain) {
    Bytes buffer;
    Batch batch(OpKind::kWrite);
    Extent extent{ExtentKind::kPacked, static_cast<std::uint32_t>(plain.size())};
    extent.position = batch.append_data(pack_data(plain, kPacking, buffer));
    batch.put(extent_key(5, plain.size()), encode(extent));
    return journal.append(batch).value();
  }
  static Bytes read(Journal& journal, const Extent& extent, std::uint64_t skip, std::size_t size) {
    Bytes bytes(size, '?');
    const Status got = journal.read_packed({extent.segment, extent.position},
                                           extent.packed_offset + skip, bytes.data(), size);
    return got ? bytes : got.error().to_string();
  }
  // The extents that replay gives.
  std::vector<Extent> replayed() {
    std::vector<Extent> extents;
    const auto note = [&](const Batch& batch, const Appended&) -> Status {
      extents.push_back(decode_extent(*batch.changes().front().value).value());
      return ok();
    };
    auto opened = Journal::open(*io_, dir_.path(), options_, {}, note);
    EXPECT_TRUE(opened) << opened.error().to_string();
    if (opened) journal_ = *std::move(opened);
    return extents;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  JournalOptions options_ = testing::tiny_segments();
  std::unique_ptr<Journal> journal_;
};

TEST_F(PackedJournal, ReadsAnyPieceAlsoAfterReplay) {
  const Bytes plain = log_lines(20'000);
  const Bytes other = log_lines(5'000);
  {
    const auto opened = testing::open_journal(*io_, dir_.path(), options_, {});
    append(*opened.journal, plain);
    append(*opened.journal, other);
  }
  const std::vector<Extent> extents = replayed();
  ASSERT_EQ(extents.size(), 2U);
  EXPECT_EQ(extents[0].kind, ExtentKind::kPacked);
  EXPECT_EQ(read(*journal_, extents[0], 0, plain.size()), plain);
  EXPECT_EQ(read(*journal_, extents[0], 777, 1000), plain.substr(777, 1000));
  EXPECT_EQ(read(*journal_, extents[1], 4'999, 1), other.substr(4'999));
  const FileExtent whole{0, plain.size(), extents[0]};
  EXPECT_EQ(read(*journal_, slice(whole, 300, 400), 50, 50), plain.substr(350, 50));
}

TEST_F(PackedJournal, NamesWhatCannotBeRead) {
  const auto opened = testing::open_journal(*io_, dir_.path(), options_, {});
  const Bytes plain = log_lines(20'000);
  const Appended where = append(*opened.journal, plain);
  Extent extent{ExtentKind::kPacked, 1};
  extent.segment = where.segment;
  extent.position = where.data_position;
  EXPECT_THAT(read(*opened.journal, extent, 19'999, 2), ::testing::HasSubstr("ends before"));
  extent.position += 1;
  EXPECT_THAT(read(*opened.journal, extent, 0, 1), ::testing::HasSubstr("journal"));
  extent.position = 1U << 30;
  EXPECT_THAT(read(*opened.journal, extent, 0, 1), ::testing::HasSubstr("journal"));
}

}  // namespace
}  // namespace amberfs
