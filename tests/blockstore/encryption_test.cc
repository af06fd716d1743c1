// SPDX-License-Identifier: Apache-2.0
// What somebody without the key can do to an encrypted store: read nothing, and change nothing
// unnoticed, although every checksum can be computed anew.
#include "blockstore/index_format.h"
#include "blockstore/pack_reader.h"
#include "tests/blockstore/collect_support.h"
#include "tests/blockstore/store_fixture.h"

#include <algorithm>
#include <filesystem>

namespace amberfs {
namespace {

using testing::cipher_of;
using testing::Form;
using testing::log_text;
using testing::must;

constexpr PackId kPack{1, 2, 3};

Bytes flipped(ByteView bytes, std::size_t bit) {
  Bytes changed(bytes);
  changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
  return changed;
}

StoredFrame frame_of(const FrameCipher& frames, ByteView plain, FrameType type = FrameType::kData) {
  const FrameHeader header{.type = type,
                           .plain_size = static_cast<std::uint32_t>(plain.size()),
                           .id = frames.id_of(plain)};
  return frames.store(kPack, header, plain);
}

TEST(FrameCipher, OpensWhatItStored) {
  for (const Form form : {Form::kPlain, Form::kEncrypted}) {
    const FrameCipher frames(cipher_of(form));
    for (const FrameType type :
         {FrameType::kData, FrameType::kNode, FrameType::kHead, FrameType::kGroup}) {
      for (const ByteView plain : {ByteView(""), ByteView("x"), ByteView("a longer block")}) {
        const StoredFrame frame = frame_of(frames, plain, type);
        EXPECT_TRUE(check_frame(kPack, frame.raw_header, frame.stored()));
        EXPECT_EQ(must(decode_frame_header(frame.raw_header)), frame.header);
        OpenedFrame opened = must(frames.open(kPack, frame.header, frame.stored()));
        EXPECT_EQ(opened.header.type, type);
        EXPECT_EQ(opened.header.stored_size, frame.header.stored_size);
        EXPECT_EQ(must(opened.decode()), plain);
        Bytes raw = frame.raw_header + Bytes(frame.stored());
        opened = must(frames.open(kPack, frame.header, ByteView(raw).substr(kFrameHeaderSize)));
        EXPECT_EQ(must(std::move(opened).decode_in_place(std::move(raw))), plain);
      }
    }
  }
}

TEST(FrameCipher, ShowsNothingButIdAndSize) {
  const FrameCipher frames(cipher_of('k'));
  const StoredFrame frame = frame_of(frames, "some block", FrameType::kNode);
  EXPECT_EQ(frame.header, (FrameHeader{.type = FrameType::kEncrypted,
                                       .stored_size = 10 + kEncryptedOverhead,
                                       .id = frames.id_of("some block")}));
  EXPECT_NE(frame_of(frames, "some block").stored(), frame_of(frames, "some block").stored());
}

TEST(FrameCipher, RefusesEveryFlippedBitWhateverTheChecksum) {
  const FrameCipher frames(cipher_of('k'));
  const StoredFrame frame = frame_of(frames, "some block");
  for (std::size_t bit = 0; bit < frame.stored().size() * 8; ++bit) {
    const auto opened = frames.open(kPack, frame.header, flipped(frame.stored(), bit));
    ASSERT_FALSE(opened) << "stored bit " << bit;
    EXPECT_EQ(opened.error().code, Errc::kCorrupt);
  }
  std::size_t still_headers = 0;
  for (std::size_t bit = 0; bit < kFrameFieldsSize * 8; ++bit) {
    const auto header = decode_frame_header(flipped(frame.raw_header, bit));
    if (!header) continue;
    ++still_headers;
    EXPECT_FALSE(frames.open(kPack, *header, frame.stored())) << "header bit " << bit;
  }
  EXPECT_GT(still_headers, 256U);
  EXPECT_FALSE(frames.open(PackId{9}, frame.header, frame.stored()));
  EXPECT_FALSE(FrameCipher(cipher_of('l')).open(kPack, frame.header, frame.stored()));
}

TEST(FrameCipher, RefusesFramesOfTheOtherKindOfStore) {
  const FrameCipher plain(nullptr);
  const FrameCipher encrypted(cipher_of('k'));
  for (const auto& [writer, reader] : {std::pair(&plain, &encrypted), {&encrypted, &plain}}) {
    const StoredFrame frame = frame_of(*writer, "some block");
    const auto opened = reader->open(kPack, frame.header, frame.stored());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::kCorrupt);
  }
}

class Encryption : public testing::StoreFixture {
 protected:
  struct Place {
    std::string path;
    PackId pack{};
    std::uint64_t offset = 0;
    FrameHeader header;
    Bytes stored;
  };
  // Every frame of every pack, as anybody can see them.
  std::vector<Place> places() {
    std::vector<Place> all;
    for (const std::string& path : pack_paths()) {
      const Bytes bytes = bytes_of(path);
      const PackId pack = must(decode_pack_header(bytes)).id;
      for (std::uint64_t at = kPackHeaderSize;;) {
        const auto header = decode_frame_header(ByteView(bytes).substr(std::min(at, bytes.size())));
        if (!header) break;
        all.push_back(
            {path, pack, at, *header, bytes.substr(at + kFrameHeaderSize, header->stored_size)});
        at += frame_size(*header);
      }
    }
    return all;
  }
  Place place_of(const BlockId& id) {
    for (const Place& place : places()) {
      if (place.header.id == id) return place;
    }
    ADD_FAILURE() << "no frame of " << id.to_hex();
    return {};
  }
  // With a checksum that holds.
  void write(const Place& at, const FrameHeader& header, const Bytes& stored) {
    Bytes bytes = bytes_of(at.path);
    bytes.replace(at.offset, kFrameHeaderSize + stored.size(),
                  encode_frame_header(at.pack, header, stored) + stored);
    overwrite(at.path, bytes);
  }
  void expect_refused(const BlockId& id) {
    const auto got = store->get(id);
    ASSERT_FALSE(got) << "a forged frame was read";
    EXPECT_EQ(got.error().code, Errc::kCorrupt);
    const auto damage = must(store->verify({}));
    EXPECT_TRUE(std::ranges::count(damage, std::optional(id), &Damage::block) == 1);
  }
  Bytes all_bytes() {
    Bytes all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path())) {
      all += entry.path().string();
      if (entry.is_regular_file()) all += bytes_of(entry.path());
    }
    return all;
  }
  void SetUp() override {
    options.zstd_level = 0;  // so that nothing is hidden by compression only
    StoreFixture::SetUp();
  }
};

Bytes random_letters(std::uint64_t number, std::size_t size) {
  std::mt19937_64 random(number);
  Bytes letters(size, ' ');
  for (char& letter : letters) letter = static_cast<char>('a' + random() % 26);
  return letters;
}

TEST_P(Encryption, LeavesNothingReadableInAnyFile) {
  std::vector<Bytes> words;
  for (std::uint64_t i = 0; i < 64; ++i) words.push_back(random_letters(i, 8));
  std::vector<BlockId> live;
  for (std::uint64_t i = 0; i < 48; ++i) {
    live.push_back(put("record " + words[i] + " of a log\n",
                       i % 2 == 0 ? BlockKind::kData : BlockKind::kNode));
    if (i % 8 == 7) must(store->publish("head " + words[i]));
  }
  auto compact = testing::small_groups();
  compact.zstd_level = 0;
  must(testing::collect(*store, testing::live_list(live), compact));
  for (std::uint64_t i = 48; i < 64; ++i) put(words[i]);
  must(store->publish("head " + words[63]));
  close();
  const Bytes all = all_bytes();
  std::size_t readable = 0;
  for (const Bytes& word : words) readable += all.contains(word) ? 1 : 0;
  readable += all.contains(ByteView("of a log")) ? 1 : 0;
  EXPECT_EQ(readable, encrypted() ? 0U : 65U);
}

TEST_P(Encryption, IdsDoNotTellWhatABlockHolds) {
  const BlockId id = put("a block that somebody else has, too");
  EXPECT_EQ(id == BlockId{sha256("a block that somebody else has, too")}, !encrypted());
}

TEST_P(Encryption, IsAskedForTheRightKey) {
  publish_blocks(0, 3);
  close();
  auto other = options;
  other.cipher = encrypted() ? nullptr : cipher_of('k');
  const auto without = BlockStore::open(*io, dir.path(), other);
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().code, encrypted() ? Errc::kKeyMissing : Errc::kBadRequest);
  const Bytes index = bytes_of(dir / "index/data.mdb");
  const auto rebuilt = BlockStore::rebuild_index(*io, dir.path(), other);
  ASSERT_FALSE(rebuilt);
  EXPECT_EQ(rebuilt.error().code, Errc::kKeyMissing);
  if (encrypted()) {
    other.cipher = cipher_of('w');
    EXPECT_EQ(BlockStore::open(*io, dir.path(), other).error().code, Errc::kIndexDamaged);
    EXPECT_EQ(BlockStore::rebuild_index(*io, dir.path(), other).error().code, Errc::kKeyMissing);
  }
  EXPECT_EQ(bytes_of(dir / "index/data.mdb"), index) << "the good index was replaced";
}

class Tampering : public Encryption {};

TEST_P(Tampering, OfAFrameIsNoticed) {
  const auto blocks = publish_blocks(0, 3, 40);
  const BlockId victim = blocks.begin()->first;
  const Place place = place_of(victim);
  for (std::size_t bit = 0; bit < place.stored.size() * 8; bit += 7) {
    reopen();
    write(place, place.header, flipped(place.stored, bit));
    expect_refused(victim);
  }
  write(place, place.header, place.stored);
  reopen();
  expect_all(blocks);
}

TEST_P(Tampering, ByExchangingTwoBlocksIsNoticed) {
  const auto blocks = publish_blocks(0, 2);
  const Place a = place_of(blocks.begin()->first);
  const Place b = place_of(blocks.rbegin()->first);
  ASSERT_EQ(a.stored.size(), b.stored.size());
  write(a, a.header, b.stored);
  write(b, b.header, a.stored);
  reopen();
  expect_refused(a.header.id);
  expect_refused(b.header.id);
}

TEST_P(Tampering, ByExchangingPacksIsNoticed) {
  options.pack_size_bytes = 1;
  reopen();
  auto blocks = publish_blocks(0, 1);
  blocks.merge(publish_blocks(50, 1));
  const Place a = place_of(blocks.begin()->first);
  const Place b = place_of(blocks.rbegin()->first);
  ASSERT_NE(a.path, b.path);
  // Each frame with the checksum of the pack it comes to.
  write(a, b.header, b.stored);
  write(b, a.header, a.stored);
  close();
  must(BlockStore::rebuild_index(*io, dir.path(), options));
  open();
  for (const auto& [id, bytes] : blocks) EXPECT_FALSE(must(store->contains(id)));
  EXPECT_EQ(must(store->verify({})).size(), 2U);
}

TEST_P(Tampering, ByAPlainFrameIsNoticed) {
  const auto blocks = publish_blocks(0, 1, 200);
  const Place place = place_of(blocks.begin()->first);
  FrameHeader forged = place.header;
  forged.type = FrameType::kData;
  forged.plain_size = forged.stored_size;
  reopen();
  write(place, forged, Bytes(place.stored.size(), 'x'));
  expect_refused(place.header.id);
}

TEST_P(Tampering, WithTheLastFrameIsNotTakenForATornTail) {
  const auto blocks = publish_blocks(0, 3);
  close();
  const Place last = places().back();  // the head
  write(last, last.header, flipped(last.stored, 5));
  const RebuildReport report = must(BlockStore::rebuild_index(*io, dir.path(), options));
  EXPECT_EQ(report.torn_bytes, 0U);
  EXPECT_FALSE(report.head_found);
  ASSERT_EQ(report.damage.size(), 1U);
  EXPECT_EQ(report.damage[0].offset, last.offset);
  EXPECT_EQ(report.damage[0].file, last.path);
}

TEST_P(Tampering, ByExchangingTwoIndexValuesIsNoticed) {
  const auto blocks = publish_blocks(0, 2);
  close();
  const IndexValues values(options.cipher);
  const std::string path = dir / "index/data.mdb";
  std::vector<Bytes> sealed;
  {
    auto index = must(open_lmdb_index(path, options.index_map_size_bytes, options.cipher));
    for (const auto& [id, bytes] : blocks) {
      const BlockLocation location = *must(index->lookup(id));
      sealed.push_back(values.seal("blocks", id.view(), encode_location(location)));
    }
    must(index->close());
  }
  Bytes file = bytes_of(path);
  const std::size_t first = file.find(sealed[0]);
  const std::size_t second = file.find(sealed[1]);
  ASSERT_NE(first, Bytes::npos);
  ASSERT_NE(second, Bytes::npos);
  file.replace(first, sealed[0].size(), sealed[1]);
  file.replace(second, sealed[1].size(), sealed[0]);
  overwrite(path, file);
  open();
  for (const auto& [id, bytes] : blocks) {
    const auto got = store->get(id);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Errc::kIndexDamaged);
  }
  close();
  must(BlockStore::rebuild_index(*io, dir.path(), options));
  open();
  expect_all(blocks);
}

TEST_P(Tampering, WithThePublishedHeadIsNoticed) {
  publish_blocks(0, 2);
  close();
  const std::string path = dir / "index/data.mdb";
  Bytes file = bytes_of(path);
  const Bytes sealed =
      IndexValues(options.cipher).seal("meta", "head", encode_head({1, "head after 2"}));
  const std::size_t at = file.find(sealed);
  ASSERT_NE(at, Bytes::npos);
  file[at] = static_cast<char>(file[at] ^ 1);
  overwrite(path, file);
  const auto opened = BlockStore::open(*io, dir.path(), options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kIndexDamaged);
}

TEST_P(Tampering, WithAPackHeaderDoesNotMakeThePackPlain) {
  const auto blocks = publish_blocks(0, 2);
  close();
  const std::string path = pack_paths().at(0);
  Bytes bytes = bytes_of(path);
  PackHeader header = must(decode_pack_header(bytes));
  ASSERT_TRUE(header.encrypted());
  header.flags = 0;
  overwrite(path, bytes.replace(0, kPackHeaderSize, encode_pack_header(header)));
  open();  // not continued, as it is damaged; what is in it can be read
  expect_all(blocks);
  ASSERT_EQ(must(store->verify({})).size(), 1U);
  EXPECT_EQ(must(store->verify({}))[0].offset, 0U);
  publish_blocks(50, 1);
  EXPECT_EQ(pack_paths().size(), 2U);
  close();
  const RebuildReport report = must(BlockStore::rebuild_index(*io, dir.path(), options));
  EXPECT_EQ(report.damage.size(), 1U);
  open();
  expect_all(blocks);
}

INSTANTIATE_TEST_SUITE_P(Forms, Encryption, testing::both_forms(), testing::form_name);
INSTANTIATE_TEST_SUITE_P(Forms, Tampering, ::testing::Values(Form::kEncrypted), testing::form_name);

}  // namespace
}  // namespace amberfs
