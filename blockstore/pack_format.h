// SPDX-License-Identifier: Apache-2.0
// Pack: an append-only file of frames. A header names it; once full it is sealed by a footer that
// lists its frames and a trailer at the very end that finds the footer.
// Flow:    pack_writer encodes, pack_reader decodes; index_rebuild and verify read footers.
// Threads: free functions on values, safe everywhere.
// Errors:  kCorrupt, saying what does not hold; kNewerFormat for a version above kPackVersion.
// Format:  docs/FORMAT.md#pack.
#pragma once

#include "blockstore/frame_format.h"

#include <string>
#include <vector>

namespace amberfs {

constexpr ByteView kPackMagic{"AMBRPACK", 8};
constexpr ByteView kTrailerMagic{"AMBRSEAL", 8};
// The version a pack is made with: only what may hold groups needs the newer one, so that an older
// program reads and continues the others.
constexpr std::uint32_t kPackVersionPlain = 1;
constexpr std::uint32_t kPackVersionGroups = 2;
constexpr std::uint32_t kPackVersionEncrypted = 3;             // flags mean something from here on
constexpr std::uint32_t kPackVersion = kPackVersionEncrypted;  // the newest that is known
constexpr std::uint32_t kPackEncryptedFlag = 1;
constexpr std::size_t kPackHeaderSize = 64;
constexpr std::size_t kFooterEntrySize = 52;
constexpr std::size_t kTrailerSize = 40;

struct PackHeader {
  PackId id{};
  std::uint32_t version = kPackVersionPlain;
  std::uint32_t flags = 0;
  std::int64_t created_ns = 0;
  [[nodiscard]] bool encrypted() const {
    return version >= kPackVersionEncrypted && (flags & kPackEncryptedFlag) != 0;
  }
  friend bool operator==(const PackHeader&, const PackHeader&) = default;
};

// One frame as the footer lists it.
struct FrameSpot {
  std::uint64_t offset = 0;
  FrameHeader header;
  friend bool operator==(const FrameSpot&, const FrameSpot&) = default;
};

struct Trailer {
  std::uint64_t footer_offset = 0;
  std::uint64_t frame_count = 0;
};

[[nodiscard]] Bytes encode_pack_header(const PackHeader& header);
[[nodiscard]] Result<PackHeader> decode_pack_header(ByteView raw);

// Footer entries and trailer, to be written at `footer_offset`, behind the last frame.
[[nodiscard]] Bytes encode_footer(const PackId& pack, const std::vector<FrameSpot>& frames,
                                  std::uint64_t footer_offset);
// The last kTrailerSize bytes of a file of `file_size` bytes: bounds are checked, so that
// [footer_offset, file_size) may be read; the checksum is checked by decode_footer().
[[nodiscard]] Result<Trailer> decode_trailer(ByteView raw, std::uint64_t file_size);
// `raw` is everything from the footer's offset to the end of the file.
[[nodiscard]] Result<std::vector<FrameSpot>> decode_footer(const PackId& pack, ByteView raw,
                                                           const Trailer& trailer);

// "ab/abcd….pack", below packs/.
[[nodiscard]] std::string pack_directory(const PackId& id);
[[nodiscard]] std::string pack_file_name(const PackId& id);
[[nodiscard]] bool parse_pack_file_name(std::string_view name, PackId* id);

}  // namespace amberfs
