// SPDX-License-Identifier: Apache-2.0
// Scanning packs: every valid frame in order of offset, and the damage between them.
// Flow:    rebuild, verify, seal of a continued pack.
// Threads: free functions; nobody may truncate the file meanwhile.
// Owns:    nothing.
// Errors:  damage is told to the visitor; an Error is one of the visitor.
// Format:  docs/FORMAT.md#pack.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/pack_format.h"

namespace amberfs {

// Bytes between valid frames.
struct FrameGap {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string what;  // why the frame that should begin here is not valid
};

class FrameVisitor {
 public:
  virtual ~FrameVisitor() = default;
  // `stored` is valid during the call. An error ends the scan and is its result.
  [[nodiscard]] virtual Status on_frame(const FrameSpot& spot, ByteView stored) = 0;
  [[nodiscard]] virtual Status on_gap(const FrameGap& gap) = 0;
};

struct ScanRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  // Where to look for the next frame behind a damaged one; without, its magic is searched for.
  const std::vector<FrameSpot>* footer = nullptr;
};

// Visits every valid frame of the range and every gap, in order of offset. Bytes that cannot be
// read count as damaged.
[[nodiscard]] Status scan_frames(File& file, const PackId& id, const ScanRange& range,
                                 FrameVisitor& visitor);

}  // namespace amberfs
