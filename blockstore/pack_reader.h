// SPDX-License-Identifier: Apache-2.0
// Reading packs: header, footer, and one block by its place.
// Flow:    get: index → PackFiles → read_block → frame_cipher → codec; scans: read_footer.
// Threads: free functions; any number may read one file.
// Owns:    nothing.
// Errors:  kCorrupt, saying what does not hold and where; as of Io.
// Format:  docs/FORMAT.md#pack.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/frame_cipher.h"

namespace amberfs {

// kCorrupt or kNewerFormat unless the file begins with the header of this pack; kKeyMissing, too,
// when it is not of this kind of store.
[[nodiscard]] Status check_pack_header(File& file, const PackId& id, const FrameCipher& frames);
[[nodiscard]] Result<PackHeader> read_pack_header(File& file);

// The frames a sealed pack lists; kCorrupt when there is no valid footer.
struct Footer {
  std::uint64_t offset = 0;
  std::vector<FrameSpot> frames;
};
[[nodiscard]] Result<Footer> read_footer(File& file, const PackId& id);

// The plain bytes of the block at `spot`, which is what the index says of it. Checks that the frame
// is whole and is this block; the hash of the plain bytes is not computed.
[[nodiscard]] Result<Bytes> read_block(File& file, const PackId& id, const FrameSpot& spot,
                                       const FrameCipher& frames);

// The plain bytes of the group whose frame is at `offset`; likewise. Their table is not looked at.
[[nodiscard]] Result<Bytes> read_group(File& file, const PackId& id, std::uint64_t offset,
                                       std::uint32_t stored_size, const FrameCipher& frames);

}  // namespace amberfs
