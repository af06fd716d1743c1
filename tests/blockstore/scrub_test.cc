// SPDX-License-Identifier: Apache-2.0
// Scrubbing a store: parity comes and goes with its packs, damage is healed or marked, marks and
// the place of a pass survive a restart, and no new data relies on what is lost.
#include "blockstore/pack_reader.h"
#include "blockstore/parity_format.h"
#include "blockstore/scrub_state.h"
#include "tests/blockstore/collect_support.h"
#include "tests/blockstore/store_fixture.h"

#include <algorithm>
#include <filesystem>

namespace amberfs {
namespace {

using testing::collect;
using testing::live_list;
using testing::log_text;
using testing::must;
using testing::random_text;

class Scrub : public testing::StoreFixture {
 protected:
  // Several sealed packs and the open one.
  void make_packs(unsigned percent) {
    options.parity_percent = percent;
    options.pack_size_bytes = 256 * kKiB;
    reopen();
    for (std::uint64_t i = 0; i < 60; ++i) {
      Bytes bytes = random_text(i + 1, 20'000);
      blocks[put(bytes)] = bytes;
    }
    must(store->publish("head"));
    must(store->protect({}));
    for (const std::string& path : pack_paths()) {
      if (must(io->exists(parity_of(path)))) sealed.push_back(path);
    }
  }
  static std::string parity_of(const std::string& pack) {
    return pack.substr(0, pack.size() - 4) + "parity";
  }
  ScrubReport scrub() { return must(store->scrub({})); }
  // The block in the middle of a pack, and where its frame is.
  FrameSpot middle_of(const std::string& path) {
    auto file = must(io->open(path, OpenMode::kRead));
    const Footer footer = must(read_footer(*file, must(read_pack_header(*file)).id));
    return footer.frames.at(footer.frames.size() / 2);
  }
  // Beyond parity: all of a frame, and more.
  void wreck(const std::string& path, const FrameSpot& spot) {
    Bytes bytes = bytes_of(path);
    bytes.replace(spot.offset, frame_size(spot.header), Bytes(frame_size(spot.header), '\0'));
    overwrite(path, bytes);
  }
  // So that reads go to the disk.
  void drop_cache() { reopen(); }

  std::map<BlockId, Bytes> blocks;
  std::vector<std::string> sealed;
};

TEST_P(Scrub, MakesParityOfEverySealedPackAndOfNoOther) {
  make_packs(3);
  EXPECT_GE(sealed.size(), 3U);
  const BlockStoreStats stats = must(store->stats());
  EXPECT_EQ(sealed.size() + 1, stats.pack_count);
  EXPECT_EQ(stats.packs_without_parity, 0U);
  std::uint64_t size = 0;
  for (const std::string& path : sealed) size += bytes_of(parity_of(path)).size();
  EXPECT_EQ(stats.parity_bytes, size);
  reopen();
  EXPECT_EQ(must(store->stats()).parity_bytes, size);
  EXPECT_EQ(scrub().parity_written, 0U);
  must(io->unlink(parity_of(sealed[0])));
  EXPECT_EQ(scrub().parity_written, 1U);
}

TEST_P(Scrub, HealsWhatParityBringsBack) {
  make_packs(3);
  const Bytes whole = bytes_of(sealed[1]);
  flip(sealed[1], 70'000);
  drop_cache();
  const ScrubReport report = scrub();
  EXPECT_EQ(report.repaired.size(), 1U);
  EXPECT_TRUE(report.lost.empty());
  EXPECT_TRUE(bytes_of(sealed[1]) == whole);
  expect_all(blocks);
}

TEST_P(Scrub, HealsAPackInWhichAReadMetDamage) {
  make_packs(3);
  const Bytes whole = bytes_of(sealed[1]);
  const FrameSpot spot = middle_of(sealed[1]);
  flip(sealed[1], spot.offset + 100);
  drop_cache();
  EXPECT_FALSE(store->get(spot.header.id));
  EXPECT_EQ(must(store->stats()).damaged_blocks, 1U);
  must(store->protect({}));
  EXPECT_EQ(must(store->stats()).damaged_blocks, 0U);
  EXPECT_TRUE(bytes_of(sealed[1]) == whole);
  expect_all(blocks);
}

TEST_P(Scrub, MarksWhatIsLostAndStoresItAgainAfterARestart) {
  make_packs(3);
  const FrameSpot spot = middle_of(sealed[0]);
  wreck(sealed[0], spot);
  drop_cache();
  const ScrubReport report = scrub();
  ASSERT_EQ(report.lost.size(), 1U);
  EXPECT_EQ(report.lost[0].file, sealed[0]);
  EXPECT_LE(report.lost[0].offset, spot.offset);
  EXPECT_EQ(must(store->stats()).damaged_blocks, 1U);
  reopen();
  EXPECT_EQ(must(store->stats()).damaged_blocks, 1U);
  EXPECT_FALSE(store->get(spot.header.id));
  must(store->put(blocks.at(spot.header.id), BlockKind::kData));
  must(store->publish("again"));
  EXPECT_EQ(must(store->stats()).damaged_blocks, 0U);
  reopen();
  expect_all(blocks);
}

TEST_P(Scrub, ReadsABlockBeforeNewDataReliesOnItWhenItsPackWasNotLookedAtForLong) {
  options.check_age_s = 1;
  make_packs(0);
  std::ranges::copy_if(pack_paths(), std::back_inserter(sealed),
                       [&](const std::string& path) { return bytes_of(path).size() > 200'000; });
  const FrameSpot spot = middle_of(sealed.at(0));
  wreck(sealed[0], spot);
  drop_cache();
  // Looked at, or made, a moment ago: a pack that is made is noted in the file when it is saved.
  must(io->unlink(dir / "scrub.state"));
  reopen();
  must(store->put(blocks.at(spot.header.id), BlockKind::kData));
  must(store->publish("again"));
  drop_cache();
  expect_all(blocks);
}

TEST_P(Scrub, GoesOnWhereAPassWasStopped) {
  make_packs(0);
  std::vector<std::uint64_t> looked_at;
  for (int round = 0; round < 100; ++round) {
    int asked = 0;
    ScrubOptions scheduled{.is_scheduled = true, .keep_going = [&] { return ++asked < 20; }};
    const ScrubReport report = must(store->scrub(scheduled));
    looked_at.push_back(report.pass.bytes);
    if (!report.stopped) break;
    EXPECT_NE(store->scrub_passes().current.begin_ns, 0);
    reopen();
  }
  EXPECT_GT(looked_at.size(), 2U);
  EXPECT_LT(looked_at.size(), 50U);
  EXPECT_EQ(store->scrub_passes().current.begin_ns, 0);
  EXPECT_NE(store->scrub_passes().last.end_ns, 0);
  EXPECT_TRUE(std::ranges::is_sorted(looked_at));
}

TEST_P(Scrub, ParityGoesWithItsPack) {
  make_packs(3);
  std::map<BlockId, Bytes> live(blocks.begin(), std::next(blocks.begin(), 10));
  must(collect(*store, live_list(live)));
  must(store->protect({}));
  for (const std::string& path : sealed) {
    EXPECT_EQ(must(io->exists(path)), must(io->exists(parity_of(path)))) << path;
  }
  EXPECT_EQ(must(store->stats()).packs_without_parity, 0U);
  // One whose pack nobody knows, and one that was being written.
  const std::string orphan = dir / "packs/ab/ab000000000000000000000000000000.parity";
  std::filesystem::create_directories(dir / "packs/ab");
  must(io->replace_file(orphan, "x"));
  must(io->replace_file(orphan + ".new", "x"));
  reopen();
  EXPECT_FALSE(must(io->exists(orphan)));
  EXPECT_FALSE(must(io->exists(orphan + ".new")));
  expect_all(live);
}

TEST_P(Scrub, IsOpenedWithoutAStateThatIsDamaged) {
  make_packs(3);
  scrub();
  ASSERT_TRUE(must(io->exists(dir / "scrub.state")));
  flip(dir / "scrub.state", 30);
  reopen();
  EXPECT_EQ(store->scrub_passes().last.begin_ns, 0);
  expect_all(blocks);
}

INSTANTIATE_TEST_SUITE_P(Forms, Scrub, testing::both_forms(), testing::form_name);

TEST(ScrubState, IsWhatWasWrittenAndNothingElse) {
  ScrubState state;
  state.current = {.begin_ns = 1, .bytes = 2, .repaired = 3, .lost = 4};
  state.place = {PackId{9}, 77};
  state.verify = {.begin_ns = 5};
  state.verify_place = {PackId{8}, 66};
  state.checked_ns = {{PackId{1}, 10}, {PackId{2}, 20}};
  state.damaged = {BlockId{sha256("a")}, BlockId{sha256("b")}};
  const Bytes raw = encode_scrub_state(state);
  EXPECT_EQ(must(decode_scrub_state(raw)), state);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    Bytes flipped = raw;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(decode_scrub_state(flipped)) << i;
    EXPECT_FALSE(decode_scrub_state(ByteView(raw).substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace amberfs
