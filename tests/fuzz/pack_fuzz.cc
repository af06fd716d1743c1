// SPDX-License-Identifier: Apache-2.0
// Hostile packs: the input is a pack file. Whatever it holds, header, footer, scan, blocks and
// heads are read without a crash, an unbounded allocation or an endless loop.
#include "blockstore/group_format.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"

#include <cstdlib>
#include <cstring>

namespace amberfs {
namespace {

class InputFile final : public File {
 public:
  explicit InputFile(ByteView bytes) : bytes_(bytes) {}
  Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t offset) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const ByteView part = bytes_.substr(offset, size);
    if (!part.empty()) std::memcpy(target, part.data(), part.size());
    return part.size();
  }
  Status pwritev(std::span<const ByteView>, std::uint64_t) override { return fail(Error{}); }
  Status sync_data() override { return fail(Error{}); }
  Status truncate(std::uint64_t) override { return fail(Error{}); }
  Status allocate(std::uint64_t, std::uint64_t) override { return fail(Error{}); }
  Result<std::uint64_t> size() override { return std::uint64_t{bytes_.size()}; }
  Status close() override { return ok(); }
  const std::string& path() const override { return path_; }

 private:
  ByteView bytes_;
  std::string path_ = "input";
};

// Offsets and sizes must tile what is behind the table.
void check_members(const std::vector<GroupMember>& members, std::size_t size) {
  std::uint64_t end = kGroupHeadSize + kGroupEntrySize * members.size();
  for (const GroupMember& member : members) {
    if (member.offset != end) std::abort();
    end += member.size;
  }
  if (end != size) std::abort();
}

// Frames and gaps must tile the range that was scanned, and what is visited must decode safely.
class Checker final : public FrameVisitor {
 public:
  Checker(InputFile& file, const PackId& id) : file_(file), id_(id) {}
  Status on_frame(const FrameSpot& spot, ByteView stored) override {
    if (spot.offset != end || stored.size() != spot.header.stored_size) std::abort();
    end += frame_size(spot.header);
    if (auto plain = read_block(file_, id_, spot)) {
      if (plain->size() != spot.header.plain_size) std::abort();
      (void)decode_head(*plain);
      if (auto members = decode_group(*plain)) check_members(*members, plain->size());
    }
    return ok();
  }
  Status on_gap(const FrameGap& gap) override {
    if (gap.begin != end || gap.end <= gap.begin) std::abort();
    end = gap.end;
    return ok();
  }
  std::uint64_t end = kPackHeaderSize;

 private:
  InputFile& file_;
  const PackId id_;
};

void run(ByteView input) {
  (void)decode_group(input);
  InputFile file(input);
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
    if (!scan_frames(file, id, range, checker)) std::abort();
    if (range.end > range.begin && checker.end != range.end) std::abort();
  }
}

}  // namespace
}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  amberfs::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
