// SPDX-License-Identifier: Apache-2.0
// Codec: how the bytes of a block are kept in a frame: as they are, or compressed by zstd.
// Flow:    put: hash → encode → frame_format; get: frame check → decode.
// Threads: every function from any thread; compression contexts belong to their thread.
// Owns:    nothing; zstd is included by codec.cc alone.
// Errors:  kCorrupt for stored bytes that do not decode to exactly the declared size,
//          kNewerFormat for a codec that this version does not know.
// Format:  docs/FORMAT.md#pack.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

#include <cstdint>
#include <functional>

namespace amberfs {

// On disk, never renumber.
enum class Codec : std::uint8_t { kRaw = 0, kZstd = 1 };

struct Encoded {
  Codec codec = Codec::kRaw;
  ByteView stored;  // into the plain bytes (raw) or into `buffer`
};

// Compresses at `level` (0: stores raw). What does not shrink is stored raw, without a copy.
[[nodiscard]] Encoded encode_block(ByteView plain, int level, Bytes& buffer);

// The same for bytes that will be read seldom: finds what repeats anywhere in them. Slow, and takes
// some hundred MiB at high levels, which are given back on return. `keep_going` (may be empty) is
// asked every 128 KiB; when it is false, the bytes stay raw.
[[nodiscard]] Encoded encode_long(ByteView plain, int level, Bytes& buffer,
                                  const std::function<bool()>& keep_going = {});

// `plain_size` is what the frame declares; more than Blocks::kBlockSizeMax is refused before
// anything is allocated.
[[nodiscard]] Result<Bytes> decode_block(Codec codec, ByteView stored, std::uint64_t plain_size);

}  // namespace amberfs
