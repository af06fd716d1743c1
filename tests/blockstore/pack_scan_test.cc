// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_scan.h"

#include "blockstore/pack_reader.h"
#include "blockstore/pack_writer.h"
#include "tests/blockstore/store_fixture.h"

namespace amberfs {
namespace {

using testing::must;
using testing::random_text;

class Recorder final : public FrameVisitor {
 public:
  Status on_frame(const FrameSpot& spot, ByteView stored) override {
    frames.push_back(spot);
    stored_bytes.emplace_back(stored);
    return ok();
  }
  Status on_gap(const FrameGap& gap) override {
    gaps.push_back(gap);
    return ok();
  }
  std::vector<FrameSpot> frames;
  std::vector<Bytes> stored_bytes;
  std::vector<FrameGap> gaps;
};

class PackScan : public ::testing::Test {
 protected:
  void SetUp() override {
    must(io->make_directory(dir / "packs"));
    writer = must(PackWriter::create(*io, dir / "packs"));
  }
  FrameSpot append(const Bytes& stored) {
    const auto size = static_cast<std::uint32_t>(stored.size());
    const FrameHeader header{
        .stored_size = size, .plain_size = size, .id = BlockId{sha256(stored)}};
    const Bytes raw = encode_frame_header(writer->id(), header, stored);
    return {must(writer->append(header, raw, stored)), header};
  }
  Recorder scan(const std::vector<FrameSpot>* footer = nullptr) {
    auto file = must(io->open(writer->path(), OpenMode::kRead));
    Recorder recorder;
    must(scan_frames(*file, writer->id(), {kPackHeaderSize, writer->length(), footer}, recorder));
    return recorder;
  }
  void write(ByteView bytes, std::uint64_t offset) {
    auto file = must(io->open(writer->path(), OpenMode::kReadWrite));
    must(file->pwrite(bytes, offset));
  }

  testing::TempDir dir;
  std::unique_ptr<Io> io = make_posix_io();
  std::unique_ptr<PackWriter> writer;
};

TEST_F(PackScan, VisitsEveryFrameInOrder) {
  std::vector<FrameSpot> spots;
  for (std::size_t i = 0; i < 100; ++i) spots.push_back(append(random_text(i, i * 997)));
  append(random_text(1, 3'000'000));  // larger than what is read at once
  Recorder seen = scan();
  ASSERT_EQ(seen.frames.size(), 101U);
  EXPECT_TRUE(std::equal(spots.begin(), spots.end(), seen.frames.begin()));
  EXPECT_EQ(seen.stored_bytes[7], random_text(7, 7 * 997));
  EXPECT_EQ(seen.stored_bytes[100], random_text(1, 3'000'000));
  EXPECT_TRUE(seen.gaps.empty());
}

TEST_F(PackScan, GoesOnBehindDamagedStoredBytes) {
  append("first");
  const FrameSpot damaged = append(random_text(1, 5000));
  append("third");
  write("rot", damaged.offset + 1000);
  Recorder seen = scan();
  ASSERT_EQ(seen.frames.size(), 2U);
  EXPECT_EQ(seen.stored_bytes[1], "third");
  ASSERT_EQ(seen.gaps.size(), 1U);
  EXPECT_EQ(seen.gaps[0].begin, damaged.offset);
  EXPECT_EQ(seen.gaps[0].end, damaged.offset + frame_size(damaged.header));
}

TEST_F(PackScan, FindsTheNextFrameBehindADamagedHeader) {
  append("first");
  const FrameSpot damaged = append(random_text(1, 200'000));
  append("third");
  write(Bytes(kFrameHeaderSize, '\0'), damaged.offset);
  std::vector<FrameSpot> listed = scan().frames;
  ASSERT_EQ(listed.size(), 2U);
  // With a footer the next frame is looked for where the footer says.
  listed.insert(listed.begin() + 1, damaged);
  EXPECT_EQ(scan(&listed).frames.size(), 2U);
  EXPECT_EQ(scan(&listed).gaps.size(), 1U);
}

TEST_F(PackScan, FindsAFrameWhoseMagicStraddlesTwoSearches) {
  // 64 KiB are searched at once; each shift puts the magic elsewhere at the seam.
  for (std::size_t shift = 0; shift < 6; ++shift) {
    const std::uint64_t begin = writer->length();
    append(Bytes(64 * 1024 - kFrameHeaderSize - 2 + shift, '\0'));
    append("behind");
    write("XXXX", begin);
  }
  EXPECT_EQ(scan().frames.size(), 6U);
}

TEST_F(PackScan, StopsAtATornTail) {
  append("first");
  const FrameSpot torn = append(random_text(1, 5000));
  auto file = must(io->open(writer->path(), OpenMode::kReadWrite));
  must(file->truncate(torn.offset + 100));
  Recorder seen = scan();
  EXPECT_EQ(seen.frames.size(), 1U);
  ASSERT_EQ(seen.gaps.size(), 1U);
  EXPECT_EQ(seen.gaps[0].begin, torn.offset);
}

// A stored block may hold a whole pack: its frames are not frames of this one.
TEST_F(PackScan, TakesNoFrameOutOfADamagedBlock) {
  const PackId other{9};
  const Bytes inner = "inner";
  const FrameHeader header{.stored_size = 5, .plain_size = 5, .id = BlockId{sha256(inner)}};
  const FrameSpot outer =
      append(random_text(1, 100) + encode_frame_header(other, header, inner) + inner);
  write("XXXX", outer.offset);
  EXPECT_TRUE(scan().frames.empty());
}

TEST_F(PackScan, SealedPackListsItsFrames) {
  const std::vector<FrameSpot> spots{append("a"), append("bb"), append("ccc")};
  must(writer->seal());
  auto file = must(io->open(writer->path(), OpenMode::kRead));
  EXPECT_EQ(must(read_footer(*file, writer->id())).frames, spots);
}

TEST_F(PackScan, ContinuedPackListsEarlierFramesWhenSealed) {
  std::vector<FrameSpot> spots{append("a"), append("bb")};
  const std::uint64_t published = writer->length();
  append("never published");
  writer = must(PackWriter::resume(*io, dir / "packs", PackId(writer->id()), published,
                                   FrameCipher(nullptr)));
  spots.push_back(append("ccc"));
  must(writer->seal());
  auto file = must(io->open(writer->path(), OpenMode::kRead));
  EXPECT_EQ(must(read_footer(*file, writer->id())).frames, spots);
}

TEST_F(PackScan, ResumeRefusesAPackThatLostBytes) {
  append("a");
  auto resumed = PackWriter::resume(*io, dir / "packs", writer->id(), writer->length() + 1,
                                    FrameCipher(nullptr));
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace amberfs
