// SPDX-License-Identifier: Apache-2.0
// Content: whether bytes that are about to be replaced stand elsewhere, or are the same.
// Threads: any; who compares two live files holds no lock, so that nobody waits, and asks again
//          under the lock whether they are still what was compared.
// Errors:  those of reading; a caller for whom equality would be an excuse takes them for "no".
#pragma once

#include "fs/extent_read.h"

#include <optional>

namespace amberfs {

struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// The range from the first to the last byte of `data`, at `offset` of the file, that differs from a
// byte that the file has there. Holes are no bytes. A byte that cannot be read differs.
[[nodiscard]] Result<std::optional<ByteRange>> find_changed(const View& view,
                                                            const DataReader& reader, Ino ino,
                                                            std::uint64_t offset, ByteView data);

// Whether the first `size` bytes of two files are the same. `view` is asked for a new view now and
// then, so that none is held for long. Blocks that both share are not read.
[[nodiscard]] Result<bool> same_beginning(const std::function<std::shared_ptr<const View>()>& view,
                                          const DataReader& reader, Ino first, Ino second,
                                          std::uint64_t size);

}  // namespace amberfs
