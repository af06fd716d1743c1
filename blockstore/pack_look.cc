// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_look.h"

#include "blockstore/pack_reader.h"

#include <algorithm>

namespace amberfs {
namespace {

class Visitor final : public FrameVisitor {
 public:
  Visitor(PackLook& look, Pace& pace, const std::function<void(std::uint64_t)>& progress)
      : look_(look), pace_(pace), progress_(progress) {}

  Status on_frame(const FrameSpot& spot, ByteView) override {
    const std::uint64_t end = spot.offset + frame_size(spot.header);
    if (progress_) progress_(end);
    return keep_pace(frame_size(spot.header), end);
  }
  Status on_gap(const FrameGap& gap) override {
    look_.gaps.push_back(gap);
    return keep_pace(gap.end - gap.begin, gap.end);
  }

 private:
  Status keep_pace(std::uint64_t bytes, std::uint64_t end) {
    if (pace_.took(bytes)) return ok();
    look_.stopped = true;
    look_.stopped_at = end;
    return fail(Errc::kBroken, 0, "stopped");
  }

  PackLook& look_;
  Pace& pace_;
  const std::function<void(std::uint64_t)>& progress_;
};

}  // namespace

Result<PackLook> look_at_pack(File& file, const PackToLookAt& pack, Pace& pace,
                              const std::function<void(std::uint64_t)>& progress) {
  PackLook look;
  // Without the key of an encrypted store, which is not needed for this.
  const auto header = read_pack_header(file);
  if (!header && header.error().code == Errc::kNewerFormat) return fail(header.error());
  if (!header) look.header_error = header.error().tried;
  if (header && header->id != pack.id) look.header_error = "pack header names another pack";
  const auto size = file.size();
  const std::uint64_t there = std::min(size ? *size : 0, pack.length);
  ScanRange range{std::max<std::uint64_t>(pack.begin, kPackHeaderSize), there, nullptr};
  Footer footer;
  if (pack.sealed) {
    if (size) look.excess = *size - there;
    auto read = read_footer(file, pack.id);
    if (read) {
      footer = *std::move(read);
      range.end = std::min(there, footer.offset);
      range.footer = &footer.frames;
    } else {
      look.footer_error = read.error().tried;
    }
  }
  Visitor visitor(look, pace, progress);
  Status scanned = scan_frames(file, pack.id, range, visitor);
  if (!scanned && !look.stopped) return fail(std::move(scanned).error());
  if (!look.stopped && there < pack.length) {
    look.gaps.push_back(
        {there, pack.length, size ? "the pack ends early" : size.error().to_string()});
  }
  return look;
}

std::vector<FrameGap> PackLook::damage(std::uint64_t length) const {
  std::vector<FrameGap> all = gaps;
  if (!header_error.empty()) all.insert(all.begin(), {0, kPackHeaderSize, header_error});
  // Where frames are told apart by the footer, its own bytes are in no gap.
  if (!footer_error.empty() && (gaps.empty() || gaps.back().end < length)) {
    all.push_back({length - std::min<std::uint64_t>(length, kTrailerSize), length, footer_error});
  }
  if (excess > 0) all.push_back({length, length + excess, "bytes behind the end of the pack"});
  return all;
}

bool is_within(const std::vector<FrameGap>& inner, const std::vector<FrameGap>& outer) {
  return std::ranges::all_of(inner, [&](const FrameGap& gap) {
    // Gaps that touch are one.
    std::uint64_t covered = gap.begin;
    for (const FrameGap& other : outer) {
      if (other.begin <= covered && other.end > covered) covered = other.end;
    }
    return covered >= gap.end;
  });
}

}  // namespace amberfs
