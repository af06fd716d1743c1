// SPDX-License-Identifier: Apache-2.0
// Hostile packs. Whatever one holds, header, footer, scan, blocks and heads are read without a
// crash, an unbounded allocation or an endless loop. The first byte chooses: 0 takes the rest for a
// pack file; 1 for a list of frames that are put into a pack with all checksums right, so that the
// fuzzer gets behind them; 2 the same, encrypted, so that it gets behind the authentication as
// well (which only who has the key can: an older or broken program, say).
//
//   list: of frames (u8 type, u8 codec, u16 flags, u32 plain size, u8 whether its id is right,
//         u16 how many, as many encoded bytes), a byte 0, then of changes to the footer's entries
//         (u8 which, u8 field, u32 value)
#include "blockstore/base/coding.h"
#include "blockstore/group_format.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"
#include "blockstore/pack_writer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"

#include <algorithm>

namespace amberfs {
namespace {

using fuzz::require;

// Offsets and sizes must tile what is behind the table.
void check_members(const std::vector<GroupMember>& members, std::size_t size) {
  std::uint64_t end = kGroupHeadSize + kGroupEntrySize * members.size();
  for (const GroupMember& member : members) {
    require(member.offset == end);
    end += member.size;
  }
  require(end == size);
}

// Frames and gaps must tile the range that was scanned, and what is visited must decode safely.
class Checker final : public FrameVisitor {
 public:
  Checker(File& file, const PackId& id, const FrameCipher& frames)
      : file_(file), id_(id), frames_(frames) {}
  Status on_frame(const FrameSpot& spot, ByteView stored) override {
    require(spot.offset == end && stored.size() == spot.header.stored_size);
    end += frame_size(spot.header);
    if (auto plain = read_block(file_, id_, spot, frames_)) {
      require(plain->size() <= Blocks::kBlockSizeMax);
      require(spot.header.type == FrameType::kEncrypted || plain->size() == spot.header.plain_size);
      (void)decode_head(*plain);
      if (auto members = decode_group(*plain)) check_members(*members, plain->size());
    }
    (void)read_group(file_, id_, spot.offset, spot.header.stored_size, frames_);
    return ok();
  }
  Status on_gap(const FrameGap& gap) override {
    require(gap.begin == end && gap.end > gap.begin);
    end = gap.end;
    return ok();
  }
  std::uint64_t end = kPackHeaderSize;

 private:
  File& file_;
  const PackId id_;
  const FrameCipher& frames_;
};

std::shared_ptr<const StoreCipher> cipher() {
  // Never destroyed: OpenSSL may be gone before it at the end of the process.
  static const auto& cipher = *new std::shared_ptr<const StoreCipher>(
      StoreCipher::make(SecretBytes::copy_of(Bytes(kKeySize, 'T')).value()).value());
  return cipher;
}

// The frames of the list; each is whole.
Bytes put_frames(Decoder& d, const PackHeader& header, const FrameCipher& frames,
                 std::vector<FrameSpot>& spots) {
  Bytes pack = encode_pack_header(header);
  while (d.ok()) {
    const std::uint8_t type = d.u8();
    if (type == 0) break;
    FrameHeader frame{.type = FrameType{type}, .codec = Codec{d.u8()}, .flags = d.u16()};
    frame.plain_size = d.u32();
    const bool right_id = (d.u8() & 1) != 0;
    const ByteView encoded = d.bytes(d.u16());
    if (!d.ok()) break;
    const auto plain = decode_block(frame.codec, encoded, frame.plain_size);
    frame.id = right_id && plain ? frames.id_of(*plain) : BlockId{sha256(encoded)};
    const StoredFrame stored = frames.store(header.id, frame, encoded);
    spots.push_back({pack.size(), stored.header});
    pack += stored.raw_header;
    pack += stored.stored();
  }
  return pack;
}

void change_entries(Decoder& d, std::vector<FrameSpot>& spots) {
  while (d.ok() && d.remaining() > 0 && !spots.empty()) {
    FrameSpot& spot = spots[d.u8() % spots.size()];
    const std::uint8_t field = d.u8();
    const std::uint32_t value = d.u32();
    if (!d.ok()) return;
    switch (field % 5) {
      case 0:
        spot.offset = value;
        break;
      case 1:
        spot.header.stored_size = value;
        break;
      case 2:
        spot.header.plain_size = value;
        break;
      case 3:
        spot.offset = std::uint64_t{value} << 32;
        break;
      default:
        std::swap(spot, spots[value % spots.size()]);
    }
  }
}

Bytes pack_from_list(ByteView list, const FrameCipher& frames) {
  Decoder d(list);
  std::vector<FrameSpot> spots;
  PackHeader header{.version = frames.pack_version(true)};
  if (header.version == kPackVersionEncrypted) header.flags = kPackEncryptedFlag;
  Bytes pack = put_frames(d, header, frames, spots);
  change_entries(d, spots);
  return pack + encode_footer(header.id, spots, pack.size());
}

void run(ByteView input, const FrameCipher& frames) {
  (void)decode_group(input);
  testing::MemoryIo io;
  io.files()["input"] = std::make_shared<Bytes>(input);
  const auto opened = io.open("input", OpenMode::kRead);
  require(opened.has_value());
  File& file = **opened;
  PackId id{};
  if (auto header = read_pack_header(file)) id = header->id;
  (void)check_pack_header(file, id, frames);
  auto footer = read_footer(file, id);
  ScanRange range{.begin = kPackHeaderSize, .end = input.size(), .footer = nullptr};
  for (int with_footer = 0; with_footer < 2; ++with_footer) {
    if (with_footer == 1) {
      if (!footer) return;
      range.end = footer->offset;
      range.footer = &footer->frames;
    }
    Checker checker(file, id, frames);
    require(scan_frames(file, id, range, checker).has_value());
    require(range.end <= range.begin || checker.end == range.end);
  }
}

void append(PackWriter& pack, FrameType type, ByteView plain) {
  Bytes buffer;
  const Encoded encoded = encode_block(plain, 3, buffer);
  const FrameHeader header{.type = type,
                           .codec = encoded.codec,
                           .stored_size = static_cast<std::uint32_t>(encoded.stored.size()),
                           .plain_size = static_cast<std::uint32_t>(plain.size()),
                           .id = BlockId{sha256(plain)}};
  const Bytes raw_header = encode_frame_header(pack.id(), header, encoded.stored);
  require(pack.append(header, raw_header, encoded.stored).has_value());
}

Bytes pack_of(bool sealed) {
  testing::MemoryIo io;
  auto pack = PackWriter::create(io, "packs", kPackVersionGroups);
  require(pack.has_value());
  GroupBuilder builder;
  for (const char* text : {"one line\n", "two lines\ntwo lines\n"}) {
    append(**pack, FrameType::kData, Bytes(text) + Bytes(200, 'x'));
    builder.add(BlockId{sha256(text)}, BlockKind::kData, text);
  }
  append(**pack, FrameType::kGroup, builder.take().plain);
  append(**pack, FrameType::kHead, encode_head({.sequence = 3, .head = "head"}));
  require((sealed ? (*pack)->seal() : (*pack)->sync()).has_value());
  return *io.files().at((*pack)->path());
}

Bytes listed(FrameType type, ByteView plain, const Encoded& encoded) {
  Encoder e;
  e.u8(static_cast<std::uint8_t>(type)).u8(static_cast<std::uint8_t>(encoded.codec)).u16(0);
  e.u32(static_cast<std::uint32_t>(plain.size())).u8(1);
  e.u16(static_cast<std::uint16_t>(encoded.stored.size())).bytes(encoded.stored);
  return std::move(e).take();
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  add('\0' + pack_of(true));
  add('\0' + pack_of(false));
  GroupBuilder builder;
  builder.add(BlockId{sha256("a")}, BlockKind::kData, "a");
  builder.add(BlockId{sha256("b")}, BlockKind::kNode, "bb");
  const Bytes group = builder.take().plain;
  add('\0' + group);
  const Bytes text(300, 'x');
  Bytes buffer;
  const Bytes list = listed(FrameType::kData, text, encode_block(text, 3, buffer)) +
                     listed(FrameType::kGroup, group, {Codec::kRaw, group}) +
                     listed(FrameType::kHead, "head", {Codec::kRaw, "head"}) + '\0';
  Encoder changes;
  changes.u8(1).u8(0).u32(90).u8(2).u8(1).u32(7);
  for (const char choice : {'\1', '\2'}) {
    add(choice + list);
    add(choice + list + Bytes(changes.view()));
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 256 * kKiB) return 0;
  const ByteView input = fuzz::as_bytes(data + 1, size - 1);
  const FrameCipher plain(nullptr);
  const FrameCipher sealed(cipher());
  switch (data[0] % 3) {
    case 0:
      run(input, plain);
      break;
    case 1:
      run(pack_from_list(input, plain), plain);
      break;
    default: {
      const Bytes pack = pack_from_list(input, sealed);
      run(pack, sealed);
      run(pack, plain);
    }
  }
  return 0;
}
