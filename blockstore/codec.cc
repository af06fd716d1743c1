// SPDX-License-Identifier: Apache-2.0
#include "blockstore/codec.h"

#include "blockstore/blocks.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

namespace amberfs {
namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  return context.get();
}

Result<Bytes> decode_zstd(ByteView stored, std::size_t plain_size) {
  // Also refuses sizes that the frame does not declare: encode_block() always declares them.
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != plain_size) {
    return fail(Errc::kCorrupt, 0, "decompress: declared size does not match");
  }
  ZSTD_DCtx* context = decompressor();
  if (context == nullptr) return fail(Errc::kOutOfMemory, 0, "decompress: no context");
  std::size_t got = 0;
  Bytes plain;
  plain.resize_and_overwrite(plain_size, [&](char* target, std::size_t size) {
    got = ZSTD_decompressDCtx(context, target, size, stored.data(), stored.size());
    return ZSTD_isError(got) != 0 ? 0 : got;
  });
  if (ZSTD_isError(got) != 0) {
    return fail(Errc::kCorrupt, 0, std::string("decompress: ") + ZSTD_getErrorName(got));
  }
  if (plain.size() != plain_size) return fail(Errc::kCorrupt, 0, "decompress: too short");
  return plain;
}

// The smallest window that holds all of the bytes, within what zstd accepts: its tables, and so the
// memory taken, double with each step.
int window_log_for(std::size_t size) {
  return std::clamp(static_cast<int>(std::bit_width(size - 1)), 10, 27);
}

// One byte less than the plain size: zstd gives up by itself on what would not shrink. An error
// (no room, no memory) loses only the saving.
template <class Compress>
Encoded encode_with(ByteView plain, Bytes& buffer, const Compress& compress) {
  std::size_t got = 0;
  buffer.resize_and_overwrite(plain.size() - 1, [&](char* target, std::size_t size) {
    got = compress(target, size);
    return ZSTD_isError(got) != 0 ? 0 : got;
  });
  if (ZSTD_isError(got) != 0) return {Codec::kRaw, plain};
  return {Codec::kZstd, buffer};
}

}  // namespace

Encoded encode_block(ByteView plain, int level, Bytes& buffer) {
  ZSTD_CCtx* context = level == 0 || plain.size() < 2 ? nullptr : compressor();
  if (context == nullptr) return {Codec::kRaw, plain};
  return encode_with(plain, buffer, [&](char* target, std::size_t size) {
    return ZSTD_compressCCtx(context, target, size, plain.data(), plain.size(), level);
  });
}

namespace {

// What ZSTD_compress2() gives for all of `plain`, a step at a time. Ends with an error that has no
// meaning of its own when it is told to stop, or has no room.
std::size_t compress_in_steps(ZSTD_CCtx* context, char* target, std::size_t size, ByteView plain,
                              const std::function<bool()>& keep_going) {
  constexpr std::size_t kStep = ZSTD_BLOCKSIZE_MAX;
  constexpr std::size_t kGivenUp = static_cast<std::size_t>(-1);
  const std::size_t pledged = ZSTD_CCtx_setPledgedSrcSize(context, plain.size());
  if (ZSTD_isError(pledged) != 0) return pledged;
  ZSTD_outBuffer out{target, size, 0};
  while (true) {
    if (keep_going && !keep_going()) return kGivenUp;
    const std::size_t step = std::min(kStep, plain.size());
    ZSTD_inBuffer in{plain.data(), step, 0};
    const auto mode = step == plain.size() ? ZSTD_e_end : ZSTD_e_continue;
    const std::size_t left = ZSTD_compressStream2(context, &out, &in, mode);
    if (ZSTD_isError(left) != 0) return left;
    plain.remove_prefix(in.pos);
    if (mode == ZSTD_e_end && left == 0) return out.pos;
    if (out.pos == out.size) return kGivenUp;
  }
}

}  // namespace

Encoded encode_long(ByteView plain, int level, Bytes& buffer,
                    const std::function<bool()>& keep_going) {
  if (level == 0 || plain.size() < 2) return {Codec::kRaw, plain};
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (!context) return {Codec::kRaw, plain};
  const std::pair<ZSTD_cParameter, int> parameters[] = {
      {ZSTD_c_compressionLevel, level},
      {ZSTD_c_enableLongDistanceMatching, 1},
      {ZSTD_c_windowLog, window_log_for(plain.size())}};
  for (const auto& [parameter, value] : parameters) {
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), parameter, value)) != 0) {
      return encode_block(plain, level, buffer);
    }
  }
  return encode_with(plain, buffer, [&](char* target, std::size_t size) {
    return compress_in_steps(context.get(), target, size, plain, keep_going);
  });
}

Result<Bytes> decode_block(Codec codec, ByteView stored, std::uint64_t plain_size) {
  if (plain_size > Blocks::kBlockSizeMax) {
    return fail(Errc::kCorrupt, 0, "decode: declared size is above the limit of a block");
  }
  switch (codec) {
    case Codec::kRaw:
      if (stored.size() != plain_size) {
        return fail(Errc::kCorrupt, 0, "decode: raw block of another size");
      }
      return Bytes(stored);
    case Codec::kZstd:
      return decode_zstd(stored, plain_size);
  }
  return fail(Errc::kNewerFormat, 0,
              "decode: unknown codec " + std::to_string(static_cast<unsigned>(codec)));
}

}  // namespace amberfs
