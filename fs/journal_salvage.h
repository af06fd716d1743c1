// SPDX-License-Identifier: Apache-2.0
// Salvage: what to do with a segment whose file could not be written or synced. After that nobody
// knows which of its pages are on the disk, and a second sync would say "yes" without writing them
// again. But the pages can still be read, and each record carries a checksum: so what the segment
// holds is read back, proved, and written to another file, which takes its name and place. Every
// position in it stays what it was.
// Flow:       Journal: failed write or sync → rewrite_segment → the pool uses the new file.
// Durability: when it returns, all records are durable in the new file. After a power cut on the
// way
//             the old file is there, or the new one.
// Errors:     kJournalDamaged with the offset when a record does not read as it was written; those
//             of Io. The old file is untouched then.
#pragma once

#include "fs/segment.h"

namespace amberfs {

// The segment again, with its records up to `end`, in a new file.
[[nodiscard]] Result<SegmentPtr> rewrite_segment(Io& io, const std::string& directory,
                                                 const SegmentPtr& bad, std::uint64_t end);

// How many bytes of it are in use: up to the last one that is not zero.
[[nodiscard]] Result<std::uint64_t> used_size(const Segment& segment);
// These bytes, in a new durable file: for somebody to look at.
[[nodiscard]] Status copy_segment(Io& io, const Segment& segment, const std::string& path);

// Where its first record begins that does not read as it was written.
[[nodiscard]] std::uint64_t readable_end(const SegmentPtr& segment);

}  // namespace amberfs
