// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_scan.h"

#include <algorithm>
#include <optional>

namespace amberfs {
namespace {

// The window of a pack that a scan looks through.
class ScanWindow {
 public:
  ScanWindow(File& file, std::uint64_t end) : file_(file), end_(end) {}

  // `size` bytes at `offset`; fewer at the end of the range. Valid until the next call.
  Result<ByteView> view(std::uint64_t offset, std::size_t size) {
    size = std::min<std::uint64_t>(size, end_ - offset);
    if (offset < begin_ || offset + size > begin_ + bytes_.size()) {
      // One bad sector must not hide what is readable before it.
      if (!load(offset, std::max<std::uint64_t>(size, kWindowSize))) TRY(load(offset, size));
    }
    return ByteView(bytes_).substr(offset - begin_, size);
  }

 private:
  static constexpr std::size_t kWindowSize = kMiB;

  Status load(std::uint64_t offset, std::uint64_t size) {
    size = std::min(size, end_ - offset);
    begin_ = offset;
    Status status;
    bytes_.resize_and_overwrite(size, [&](char* target, std::size_t wanted) -> std::size_t {
      auto got = file_.pread_some(target, wanted, offset);
      if (!got) status = fail(std::move(got).error());
      return status ? *got : 0;
    });
    return status;
  }

  File& file_;
  const std::uint64_t end_;
  std::uint64_t begin_ = 0;
  Bytes bytes_;
};

class Scan {
 public:
  Scan(File& file, const PackId& id, const ScanRange& range)
      : id_(id), range_(range), window_(file, range.end) {}

  Status run(FrameVisitor& visitor) {
    std::uint64_t offset = range_.begin;
    std::optional<FrameGap> gap;
    while (offset < range_.end) {
      FrameSpot spot{offset, {}};
      auto stored = frame_at(spot);
      if (stored) {
        if (gap) TRY(visitor.on_gap(*gap));
        gap.reset();
        TRY(visitor.on_frame(spot, *stored));
        offset += frame_size(spot.header);
        continue;
      }
      if (!gap) gap = FrameGap{offset, offset, stored.error().tried};
      offset = next_candidate(spot);
      gap->end = offset;
    }
    return gap ? visitor.on_gap(*gap) : ok();
  }

 private:
  // How far a scan skips where nothing can be read.
  static constexpr std::uint64_t kUnreadableStep = 4 * kKiB;
  static constexpr std::size_t kSearchSize = 64 * kKiB;

  // The stored bytes of the frame at spot.offset if it is valid; fills in its header.
  Result<ByteView> frame_at(FrameSpot& spot) {
    TRY_ASSIGN(ByteView raw_header, window_.view(spot.offset, kFrameHeaderSize));
    TRY_ASSIGN(spot.header, decode_frame_header(raw_header));
    const std::uint64_t size = frame_size(spot.header);
    if (size > range_.end - spot.offset) {
      return fail(Errc::kCorrupt, 0, "frame is cut short by the end of the pack");
    }
    TRY_ASSIGN(ByteView raw, window_.view(spot.offset, size));
    if (raw.size() != size) {
      return fail(Errc::kCorrupt, 0, "frame is cut short by the end of the pack");
    }
    const ByteView stored = raw.substr(kFrameHeaderSize);
    TRY(check_frame(id_, raw, stored));
    return stored;
  }

  // Where the next valid frame may begin, behind an invalid one.
  std::uint64_t next_candidate(const FrameSpot& damaged) {
    if (range_.footer != nullptr) {
      auto next = std::ranges::upper_bound(*range_.footer, damaged.offset, {}, &FrameSpot::offset);
      return next == range_.footer->end() ? range_.end : next->offset;
    }
    // Only the stored bytes rotted: the frame still says where it ends.
    FrameSpot behind{damaged.offset + frame_size(damaged.header), {}};
    const bool plausible = damaged.header.stored_size > 0 && behind.offset < range_.end;
    if (plausible && frame_at(behind)) return behind.offset;
    return search_magic(damaged.offset + 1);
  }

  std::uint64_t search_magic(std::uint64_t offset) {
    while (offset < range_.end) {
      auto bytes = window_.view(offset, kSearchSize);
      if (!bytes) bytes = window_.view(offset, kUnreadableStep);
      if (!bytes) {
        offset += kUnreadableStep;
        continue;
      }
      const std::size_t found = bytes->find(kFrameMagic);
      if (found != ByteView::npos) return offset + found;
      if (bytes->size() < kFrameMagic.size()) break;
      offset += bytes->size() - (kFrameMagic.size() - 1);  // a magic may straddle two windows
    }
    return range_.end;
  }

  const PackId id_;
  const ScanRange range_;
  ScanWindow window_;
};

}  // namespace

Status scan_frames(File& file, const PackId& id, const ScanRange& range, FrameVisitor& visitor) {
  return Scan(file, id, range).run(visitor);
}

}  // namespace amberfs
