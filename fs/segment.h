// SPDX-License-Identifier: Apache-2.0
// Segment: one open file of the journal in its present life.
// Threads: immutable; the file may be read and written from any thread.
// Owns:    its file.
// Errors:  those of Io; kNewerFormat.
// Format:  docs/FORMAT.md#journal.
#pragma once

#include "fs/journal_format.h"

#include <memory>
#include <optional>

namespace amberfs {

struct Segment {
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  std::uint64_t size_bytes = 0;  // of the file
  bool header_valid = true;      // false: salt is unknown, the file is looked at for damage only
  bool sealed = false;           // its records are
  std::unique_ptr<File> file;
};
using SegmentPtr = std::shared_ptr<const Segment>;

// 000000000007.wal
[[nodiscard]] std::string segment_file_name(std::uint64_t number);
// nullopt for the name of anything else.
[[nodiscard]] std::optional<std::uint64_t> parse_segment_file_name(std::string_view name);

// Opens what is there. A header that is damaged or names another number is no error here.
[[nodiscard]] Result<SegmentPtr> open_segment(Io& io, const std::string& path,
                                              std::uint64_t number);
// A new file of this size, in place of whatever has its name. When it returns, file, header and
// name are durable. After an error nothing is left behind.
[[nodiscard]] Result<SegmentPtr> create_segment(Io& io, const std::string& directory,
                                                std::uint64_t number, std::uint64_t size_bytes,
                                                bool sealed);
// Files of this size, `first` and on, that recycle_segment() takes later: written with zeros, for
// the blocks of a file that is only allocated cost the file system beneath a journal commit when
// they are first written, with each fsync. Returns how many: fewer when the disk has no room for
// more.
[[nodiscard]] Result<std::uint32_t> write_spares(Io& io, const std::string& directory,
                                                 std::uint64_t first, std::uint32_t count,
                                                 std::uint64_t size_bytes);
// The same from the file `spare`, which is not needed any more and has that size already.
[[nodiscard]] Result<SegmentPtr> recycle_segment(Io& io, const std::string& directory,
                                                 std::uint64_t number, const std::string& spare,
                                                 bool sealed);

}  // namespace amberfs
