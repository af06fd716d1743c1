// SPDX-License-Identifier: Apache-2.0
// Hostile packs: the input is a pack file. Whatever it holds, header, footer, scan, blocks and
// heads are read without a crash, an unbounded allocation or an endless loop.
#include "blockstore/group_format.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"
#include "blockstore/pack_writer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"

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
  Checker(File& file, const PackId& id) : file_(file), id_(id) {}
  Status on_frame(const FrameSpot& spot, ByteView stored) override {
    require(spot.offset == end && stored.size() == spot.header.stored_size);
    end += frame_size(spot.header);
    if (auto plain = read_block(file_, id_, spot, FrameCipher(nullptr))) {
      require(plain->size() == spot.header.plain_size);
      (void)decode_head(*plain);
      if (auto members = decode_group(*plain)) check_members(*members, plain->size());
    }
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
};

void run(ByteView input) {
  (void)decode_group(input);
  testing::MemoryIo io;
  io.files()["input"] = std::make_shared<Bytes>(input);
  const auto opened = io.open("input", OpenMode::kRead);
  require(opened.has_value());
  File& file = **opened;
  PackId id{};
  if (auto header = read_pack_header(file)) id = header->id;
  auto footer = read_footer(file, id);
  ScanRange range{.begin = kPackHeaderSize, .end = input.size(), .footer = nullptr};
  for (int with_footer = 0; with_footer < 2; ++with_footer) {
    if (with_footer == 1) {
      if (!footer) return;
      range.end = footer->offset;
      range.footer = &footer->frames;
    }
    Checker checker(file, id);
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

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  add(pack_of(true));
  add(pack_of(false));
  GroupBuilder builder;
  builder.add(BlockId{sha256("a")}, BlockKind::kData, "a");
  builder.add(BlockId{sha256("b")}, BlockKind::kNode, "bb");
  add(builder.take().plain);
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  amberfs::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
