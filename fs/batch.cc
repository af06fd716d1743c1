// SPDX-License-Identifier: Apache-2.0
#include "fs/batch.h"

#include "fs/batch_format.h"

namespace amberfs {

void Batch::resolve(std::uint64_t segment, std::uint64_t data_position) {
  for (Change& change : changes_) {
    if (!change.value) continue;
    std::optional<Extent> extent = journal_extent(change.key, *change.value);
    if (!extent || extent->segment != 0) continue;
    extent->segment = segment;
    extent->position += data_position;
    change.value = encode(*extent);
  }
}

}  // namespace amberfs
