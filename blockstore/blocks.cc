// SPDX-License-Identifier: Apache-2.0
#include "blockstore/blocks.h"

#include <cstring>

namespace amberfs {

Status Blocks::read(const BlockId& id, std::uint64_t offset, char* target, std::size_t size) {
  TRY_ASSIGN(const BlockData data, get(id));
  if (offset > data->size() || size > data->size() - offset) {
    return fail(Errc::kCorrupt, 0, "read a block: it is shorter than what refers to it says",
                id.to_hex());
  }
  std::memcpy(target, data->data() + offset, size);
  return ok();
}

}  // namespace amberfs
