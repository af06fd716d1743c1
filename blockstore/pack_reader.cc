// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_reader.h"

#include "blockstore/base/coding.h"

#include <array>

namespace amberfs {
namespace {

// What is wrong with the bytes becomes what is wrong with the file.
std::unexpected<Error> at_offset(Error error, const File& file, std::uint64_t offset) {
  error.object = file.path() + " at " + std::to_string(offset);
  return fail(std::move(error));
}

Result<Bytes> read_range(File& file, std::uint64_t offset, std::size_t size) {
  Bytes bytes;
  Status status;
  bytes.resize_and_overwrite(size, [&](char* target, std::size_t wanted) {
    status = file.pread_exact(target, wanted, offset);
    return status ? wanted : 0;
  });
  if (!status) return fail(std::move(status).error());
  return bytes;
}

// The plain bytes of a frame; `expected` says whether its header is the one that was looked for.
template <class Expected>
Result<Bytes> read_frame(File& file, const PackId& id, const FrameSpot& spot,
                         const FrameCipher& frames, const Expected& expected) {
  if (spot.header.stored_size > kStoredSizeMax) {
    return at_offset({Errc::kCorrupt, 0, "frame is named larger than any can be", {}}, file,
                     spot.offset);
  }
  TRY_ASSIGN(Bytes raw, read_range(file, spot.offset, frame_size(spot.header)));
  auto header = decode_frame_header(raw);
  if (!header) return at_offset(std::move(header).error(), file, spot.offset);
  const ByteView stored = ByteView(raw).substr(kFrameHeaderSize);
  const auto another = [&] {
    return at_offset({Errc::kCorrupt, 0, "frame is not the one the index names", {}}, file,
                     spot.offset);
  };
  if (header->stored_size != stored.size()) return another();
  if (Status checked = check_frame(id, raw, stored); !checked) {
    return at_offset(std::move(checked).error(), file, spot.offset);
  }
  auto opened = frames.open(id, *header, stored);
  if (!opened) return at_offset(std::move(opened).error(), file, spot.offset);
  if (!expected(opened->header)) return another();
  auto plain = std::move(*opened).decode_in_place(std::move(raw));
  if (!plain) return at_offset(std::move(plain).error(), file, spot.offset);
  return plain;
}

}  // namespace

Result<PackHeader> read_pack_header(File& file) {
  std::array<char, kPackHeaderSize> raw{};
  TRY_ASSIGN(std::size_t got, file.pread_some(raw.data(), raw.size(), 0));
  auto header = decode_pack_header({raw.data(), got});
  if (!header) return at_offset(std::move(header).error(), file, 0);
  return header;
}

Status check_pack_header(File& file, const PackId& id, const FrameCipher& frames) {
  TRY_ASSIGN(PackHeader header, read_pack_header(file));
  if (header.id != id) {
    return fail(Errc::kCorrupt, 0, "pack header names another pack", file.path());
  }
  if (Status kind = frames.check_pack(header); !kind) {
    return at_offset(std::move(kind).error(), file, 0);
  }
  return ok();
}

Result<Footer> read_footer(File& file, const PackId& id) {
  TRY_ASSIGN(std::uint64_t size, file.size());
  if (size < kPackHeaderSize + kTrailerSize) {
    return fail(Errc::kCorrupt, 0, "pack trailer is missing", file.path());
  }
  TRY_ASSIGN(Bytes raw_trailer, read_range(file, size - kTrailerSize, kTrailerSize));
  auto trailer = decode_trailer(raw_trailer, size);
  if (!trailer) return at_offset(std::move(trailer).error(), file, size - kTrailerSize);
  const std::uint64_t offset = trailer->footer_offset;
  TRY_ASSIGN(Bytes raw, read_range(file, offset, size - offset));
  auto frames = decode_footer(id, raw, *trailer);
  if (!frames) return at_offset(std::move(frames).error(), file, offset);
  return Footer{offset, *std::move(frames)};
}

Result<Bytes> read_block(File& file, const PackId& id, const FrameSpot& spot,
                         const FrameCipher& frames) {
  return read_frame(file, id, spot, frames,
                    [&](const FrameHeader& header) { return header.id == spot.header.id; });
}

Result<Bytes> read_group(File& file, const PackId& id, std::uint64_t offset,
                         std::uint32_t stored_size, const FrameCipher& frames) {
  FrameSpot spot{offset, {}};
  spot.header.stored_size = stored_size;
  return read_frame(file, id, spot, frames,
                    [](const FrameHeader& header) { return header.type == FrameType::kGroup; });
}

}  // namespace amberfs
