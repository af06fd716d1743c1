// SPDX-License-Identifier: Apache-2.0
// The worked examples of docs/format/pack.md and index.md are what the code writes and reads.
#include "blockstore/group_format.h"
#include "blockstore/index_format.h"
#include "blockstore/pack_scan.h"
#include "blockstore/parity_writer.h"
#include "blockstore/scrub_state.h"
#include "tests/blockstore/store_fixture.h"

#include <cstdio>
#include <fstream>
#include <sstream>

namespace amberfs {
namespace {

using testing::must;

constexpr PackId kPack{0xab, 0xcd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

// The bytes of the hex dump that follows the line `marker`, up to the end of its code block.
Bytes documented(const std::string& file, const std::string& marker) {
  std::ifstream in(std::string(AMBERFS_DOCS) + "/format/" + file);
  std::string line;
  while (std::getline(in, line) && line != marker) {
  }
  EXPECT_TRUE(in) << marker << " is not in " << file;
  Bytes bytes;
  while (std::getline(in, line) && line != "```") {
    std::istringstream words(line.substr(line.find("  ") + 2));  // behind the offset
    for (std::string word; words >> word && word.size() == 2;) {
      bytes.push_back(static_cast<char>(std::stoul(word, nullptr, 16)));
    }
  }
  return bytes;
}

std::string hex_dump(ByteView bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 16) {
    char offset[32];
    std::snprintf(offset, sizeof offset, "%04zx ", i);
    text += offset;
    const std::string hex = to_hex(bytes.substr(i, 16));
    for (std::size_t j = 0; j < hex.size(); j += 2) text += " " + hex.substr(j, 2);
    text += "\n";
  }
  return text;
}

void append(Bytes& pack, std::vector<FrameSpot>& spots, FrameType type, const Bytes& plain) {
  const auto size = static_cast<std::uint32_t>(plain.size());
  const FrameHeader header{
      .type = type, .stored_size = size, .plain_size = size, .id = BlockId{sha256(plain)}};
  spots.push_back({pack.size(), header});
  pack += encode_frame_header(kPack, header, plain) + plain;
}

Bytes example_pack() {
  Bytes pack = encode_pack_header({.id = kPack, .created_ns = 1'795'168'800'000'000'000});
  std::vector<FrameSpot> spots;
  append(pack, spots, FrameType::kData, "hello, amberfs\n");
  append(pack, spots, FrameType::kHead, encode_head({1, "root"}));
  return pack + encode_footer(kPack, spots, pack.size());
}

Bytes example_group() {
  GroupBuilder builder;
  for (const ByteView block : {"hello, amberfs\n", "hello, world\n"}) {
    builder.add(BlockId{sha256(block)}, BlockKind::kData, block);
  }
  return builder.take().plain;
}

// An open pack of an encrypted store.
Bytes example_encrypted_pack(const FrameCipher& frames) {
  const Bytes plain = "hello, amberfs\n";
  const FrameHeader header{.plain_size = static_cast<std::uint32_t>(plain.size()),
                           .id = frames.id_of(plain)};
  const StoredFrame frame = frames.store_with("ABCDEFGHIJKLMNOPQRSTUVWX", kPack, header, plain);
  return encode_pack_header({.id = kPack,
                             .version = kPackVersionEncrypted,
                             .flags = kPackEncryptedFlag,
                             .created_ns = 1'795'168'800'000'000'000}) +
         frame.raw_header + Bytes(frame.stored());
}

TEST(PackGolden, DocumentShowsTheEncryptedPackThatIsWritten) {
  const FrameCipher frames(testing::cipher_of('\5'));
  const Bytes written = example_encrypted_pack(frames);
  const Bytes read = documented("pack.md", "```hex encrypted");
  EXPECT_EQ(read, written) << hex_dump(written);
  ASSERT_TRUE(frames.check_pack(must(decode_pack_header(read))));
  const ByteView frame = ByteView(read).substr(kPackHeaderSize);
  const FrameHeader seen = must(decode_frame_header(frame));
  must(check_frame(kPack, frame, frame.substr(kFrameHeaderSize)));
  const OpenedFrame opened = must(frames.open(kPack, seen, frame.substr(kFrameHeaderSize)));
  EXPECT_EQ(opened.header.type, FrameType::kData);
  EXPECT_EQ(must(opened.decode()), "hello, amberfs\n");
}

TEST(PackGolden, DocumentShowsTheGroupThatIsWritten) {
  EXPECT_EQ(documented("pack.md", "```hex group"), example_group()) << hex_dump(example_group());
  EXPECT_EQ(must(decode_group(documented("pack.md", "```hex group"))).size(), 2U);
}

TEST(PackGolden, DocumentShowsWhatIsWritten) {
  EXPECT_EQ(documented("pack.md", "```hex"), example_pack()) << hex_dump(example_pack());
}

TEST(PackGolden, DocumentedPackIsValid) {
  testing::TempDir dir;
  auto io = make_posix_io();
  const Bytes bytes = documented("pack.md", "```hex");
  auto file = must(io->open(dir / "pack", OpenMode::kCreateNew));
  must(file->pwrite(bytes, 0));
  class Counter final : public FrameVisitor {
   public:
    Status on_frame(const FrameSpot&, ByteView stored) override {
      seen.emplace_back(stored);
      return ok();
    }
    Status on_gap(const FrameGap& gap) override { return fail(Errc::kCorrupt, 0, gap.what); }
    std::vector<Bytes> seen;
  } counter;
  must(scan_frames(*file, kPack, {.begin = 64, .end = 64 + 71 + 68}, counter));
  ASSERT_EQ(counter.seen.size(), 2U);
  EXPECT_EQ(counter.seen[0], "hello, amberfs\n");
  EXPECT_EQ(must(decode_head(counter.seen[1])).head, "root");
}

// Its header and checksums, which say what all the rest is.
TEST(ParityGolden, DocumentShowsWhatIsWritten) {
  testing::TempDir dir;
  auto io = make_posix_io();
  must(io->make_directory(dir / "ab"));
  auto file = must(io->open(dir / pack_file_name(kPack), OpenMode::kCreateNew));
  must(file->pwrite(example_pack(), 0));
  Pace pace;
  must(write_parity(*io, dir.path(), kPack, example_pack().size(), 3, pace));
  const Bytes parity = must(io->read_file(dir / parity_file_name(kPack), kMiB));
  const ParityGeometry geometry = choose_parity_geometry(example_pack().size(), 3);
  EXPECT_EQ(parity.size(), geometry.file_size());
  const Bytes begin = parity.substr(0, geometry.rows_offset());
  EXPECT_EQ(documented("parity.md", "```hex"), begin) << hex_dump(begin);
}

TEST(ScrubStateGolden, DocumentShowsWhatIsWritten) {
  ScrubState state;
  state.current = {.begin_ns = 1'795'168'800'000'000'000, .bytes = 300};
  state.place = {kPack, 0x40};
  state.checked_ns[kPack] = 1'795'168'800'000'000'000;
  state.damaged = {BlockId{sha256("hello, amberfs\n")}};
  const Bytes raw = encode_scrub_state(state);
  EXPECT_EQ(documented("scrub.md", "```hex"), raw) << hex_dump(raw);
}

TEST(IndexGolden, DocumentShowsWhatIsWritten) {
  const Bytes location = encode_location(
      {.pack = 3, .offset = 64, .stored_size = 15, .plain_size = 15, .kind = BlockKind::kData});
  EXPECT_EQ(documented("index.md", "```hex blocks"), location) << hex_dump(location);
  const auto cipher = testing::cipher_of('\5');
  const Bytes sealed =
      IndexValues(cipher).seal("blocks", cipher->id_of("hello, amberfs\n").view(), location);
  EXPECT_EQ(documented("index.md", "```hex encrypted"), sealed) << hex_dump(sealed);
  const Bytes grouped = encode_location({.pack = 4,
                                         .offset = 64,
                                         .stored_size = 90,
                                         .plain_size = 13,
                                         .kind = BlockKind::kData,
                                         .codec = Codec::kZstd,
                                         .group_offset = 93,
                                         .group_size = 106});
  EXPECT_EQ(documented("index.md", "```hex grouped"), grouped) << hex_dump(grouped);
  const Bytes row = encode_pack_row({3, kPack, 347, true});
  EXPECT_EQ(documented("index.md", "```hex packs"), row) << hex_dump(row);
  const Bytes totals = encode_totals({1, 15, 0});
  EXPECT_EQ(documented("index.md", "```hex totals"), totals) << hex_dump(totals);
  EXPECT_EQ(documented("index.md", "```hex head"), encode_head({1, "root"}))
      << hex_dump(encode_head({1, "root"}));
}

}  // namespace
}  // namespace amberfs
