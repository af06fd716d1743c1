// SPDX-License-Identifier: Apache-2.0
// MapReader: one ordered map of byte keys to byte values, read-only. Tree implements it on blocks,
// fs/View as overlays above a Tree; code that reads the file system sees only this.
// Threads: a MapReader may be read from any thread; a Cursor belongs to one thread.
// Owns:    a cursor keeps what it reads alive by itself (nodes, frozen overlays), so it may outlive
//          the reader that made it.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

#include <memory>
#include <optional>

namespace amberfs {

class Cursor {
 public:
  virtual ~Cursor() = default;
  // Positions at the first entry whose key is >= `key`.
  [[nodiscard]] virtual Status seek(ByteView key) = 0;
  // To the next entry. Only when valid().
  [[nodiscard]] virtual Status next() = 0;
  [[nodiscard]] virtual bool valid() const = 0;
  // Valid until the next seek(), next() or destruction.
  [[nodiscard]] virtual ByteView key() const = 0;
  [[nodiscard]] virtual ByteView value() const = 0;
};

class MapReader {
 public:
  virtual ~MapReader() = default;
  [[nodiscard]] virtual Result<std::optional<Bytes>> get(ByteView key) const = 0;
  // Not positioned: call seek() first.
  [[nodiscard]] virtual std::unique_ptr<Cursor> cursor() const = 0;
};

}  // namespace amberfs
