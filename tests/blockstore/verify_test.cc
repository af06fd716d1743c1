// SPDX-License-Identifier: Apache-2.0
#include "blockstore/verify.h"

#include "blockstore/base/coding.h"
#include "blockstore/pack_reader.h"
#include "tests/blockstore/store_fixture.h"

#include <algorithm>

namespace amberfs {
namespace {

using testing::log_text;
using testing::must;

class Verify : public testing::StoreFixture {
 protected:
  std::vector<Damage> verify(bool full = false) {
    return must(store->verify({.full = full, .progress = {}}));
  }
  // Three packs, the first two sealed; their paths in order of making.
  void make_packs() {
    options.pack_size_bytes = 2 * kKiB;
    reopen();
    for (std::uint64_t i = 0; i < 2; ++i) {
      blocks.merge(publish_blocks(i * 100, 6));
      for (const std::string& path : pack_paths()) {
        if (std::ranges::find(made, path) == made.end()) made.push_back(path);
      }
    }
    ASSERT_GE(made.size(), 2U);
    close();
  }
  Footer footer_of(const std::string& path) {
    auto file = must(io->open(path, OpenMode::kRead));
    return must(read_footer(*file, must(read_pack_header(*file)).id));
  }

  std::map<BlockId, Bytes> blocks;
  std::vector<std::string> made;
};

TEST_P(Verify, FindsNothingInAWholeStore) {
  EXPECT_TRUE(verify(true).empty());
  make_packs();
  open();
  EXPECT_TRUE(verify(true).empty());
}

TEST_P(Verify, NamesADamagedFrameAndGoesOn) {
  make_packs();
  const std::vector<FrameSpot> frames = footer_of(made[0]).frames;
  ASSERT_GE(frames.size(), 3U);
  flip(made[0], frames[0].offset + 100);
  flip(made[0], frames[2].offset + 20);
  open();
  const auto damage = verify();
  ASSERT_EQ(damage.size(), 2U);
  EXPECT_EQ(damage[0].file, made[0]);
  EXPECT_EQ(damage[0].offset, frames[0].offset);
  EXPECT_EQ(damage[0].size, frame_size(frames[0].header));
  EXPECT_EQ(damage[0].block, frames[0].header.id);
  EXPECT_EQ(damage[0].what, "frame checksum does not match");
  EXPECT_EQ(damage[1].offset, frames[2].offset);
}

// A record of the index that cannot be read: named once, and all the rest is looked at.
TEST_P(Verify, NamesTheIndexWhereItIsDamaged) {
  make_packs();
  const std::string path = dir / "index/data.mdb";
  const ByteView id = blocks.begin()->first.view();
  Bytes index = bytes_of(path);
  constexpr std::size_t kKindAt = 20;
  for (std::size_t at = 0; (at = index.find(id, at)) != Bytes::npos; ++at) {
    index.at(at + id.size() + kKindAt) ^= '\x40';
  }
  overwrite(path, index);
  flip(made[1], footer_of(made[1]).frames[0].offset + 100);
  open();
  const auto damage = verify(true);
  const auto of_index = std::ranges::count(damage, path, &Damage::file);
  EXPECT_GE(of_index, 1);
  EXPECT_LE(of_index, 2);
  EXPECT_GE(std::ranges::count(damage, made[1], &Damage::file), 1);
  EXPECT_EQ(store->get(blocks.begin()->first).error().code, Errc::kIndexDamaged);
}

TEST_P(Verify, NamesEveryBlockOfAPackThatIsGone) {
  make_packs();
  std::size_t in_first = 0;
  for (const FrameSpot& spot : footer_of(made[0]).frames) {
    in_first += blocks.contains(spot.header.id) ? 1 : 0;
  }
  must(io->unlink(made[0]));
  open();
  const auto damage = verify();
  EXPECT_EQ(damage.size(), in_first);
  for (const Damage& finding : damage) {
    EXPECT_EQ(finding.what, "the pack is gone");
    EXPECT_TRUE(finding.block && blocks.contains(*finding.block));
  }
}

TEST_P(Verify, NamesAnyFlippedByteOfAPack) {
  make_packs();
  const Bytes bytes = bytes_of(made[0]);
  open();
  // Every region, and a prime step so that every field is met; each byte would take too long.
  for (std::size_t offset = 0; offset < bytes.size(); offset += offset < 200 ? 1 : 13) {
    flip(made[0], offset);
    EXPECT_FALSE(verify().empty()) << "byte " << offset << " of " << bytes.size();
    overwrite(made[0], bytes);
  }
  EXPECT_TRUE(verify().empty());
}

TEST_P(Verify, NamesATruncatedPack) {
  make_packs();
  const Bytes bytes = bytes_of(made[0]);
  for (std::size_t size : {std::size_t{0}, std::size_t{30}, bytes.size() / 2, bytes.size() - 1}) {
    overwrite(made[0], bytes.substr(0, size));
    open();
    EXPECT_FALSE(verify().empty()) << size;
    close();
  }
}

TEST_P(Verify, FindsInFullWhatNoChecksumShows) {
  // A frame whose checksum is right and whose bytes are not those of its id.
  const BlockId id = put(Bytes(1000, 'a'));
  must(store->publish("h"));
  const std::string path = pack_paths().at(0);
  PackId pack{};
  {
    auto file = must(io->open(path, OpenMode::kRead));
    pack = must(read_pack_header(*file)).id;
  }
  Bytes bytes = bytes_of(path);
  const FrameHeader seen = must(decode_frame_header(ByteView(bytes).substr(64)));
  const Bytes stored = bytes.substr(64 + kFrameHeaderSize, seen.stored_size);
  const OpenedFrame frame = must(frames().open(pack, seen, stored));
  Bytes buffer;
  const Encoded other = encode_block(Bytes(1000, 'b'), 3, buffer);
  const StoredFrame forged = frames().store(pack, frame.header, other.stored);
  ASSERT_EQ(forged.stored().size(), stored.size());
  bytes.replace(64, kFrameHeaderSize + stored.size(), forged.raw_header + Bytes(forged.stored()));
  overwrite(path, bytes);
  EXPECT_TRUE(verify(false).empty());
  const auto damage = verify(true);
  ASSERT_EQ(damage.size(), 1U);
  EXPECT_EQ(damage[0].block, id);
}

TEST_P(Verify, ReportsProgressUpToTheEnd) {
  make_packs();
  open();
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  const VerifyOptions with_progress{.full = false,
                                    .progress = [&](std::uint64_t now, std::uint64_t all) {
                                      EXPECT_GE(now, done);
                                      done = now;
                                      total = all;
                                    }};
  must(store->verify(with_progress));
  EXPECT_GT(total, 0U);
  EXPECT_EQ(done, total);
}

INSTANTIATE_TEST_SUITE_P(Forms, Verify, testing::both_forms(), testing::form_name);

}  // namespace
}  // namespace amberfs
