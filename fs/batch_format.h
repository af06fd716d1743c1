// SPDX-License-Identifier: Apache-2.0
// The payload of a journal record: a batch's changes as bytes.
// Errors: kJournalDamaged for bytes that are no list of changes.
// Format: docs/FORMAT.md#journal.
#pragma once

#include "fs/batch.h"

#include <span>
#include <vector>

namespace amberfs {

[[nodiscard]] Bytes encode_changes(std::span<const Change> changes);
// Refuses relative extents that do not lie within the `data_size` bytes of the record's data area.
[[nodiscard]] Result<std::vector<Change>> decode_changes(ByteView payload, std::uint64_t data_size);

// The extent that an entry of the map holds, when it is one in the journal.
[[nodiscard]] std::optional<Extent> journal_extent(ByteView key, ByteView value);

}  // namespace amberfs
