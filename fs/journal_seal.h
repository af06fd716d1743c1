// SPDX-License-Identifier: Apache-2.0
// What an encrypted store seals of a journal record, and how it is opened again. Each area of the
// data area is sealed by itself, before any lock (fs/packed_data.h). The payload is sealed with
// what tells of programs (kind of the operation, who asked, request id, totals), while the record
// gets its place; bound to it are the visible header (place, sequence, sizes, time) and, by nonce
// and tag, the areas: no part of a record can be put into another one, nor a record elsewhere.
//
//   payload of a sealed record:  nonce | sealed { private fields (kPrivateSize) | changes } | tag
//
// Threads: functions, any thread.
// Errors:  kCorrupt for a record that is whole by its checksum, but not what this key sealed.
// Format:  docs/format/journal.md#sealed-segments.
#pragma once

#include "fs/journal_reader.h"

namespace amberfs {

class StoreCipher;

// Of the payload that seal_payload() gives for so many bytes of changes.
[[nodiscard]] std::uint64_t sealed_payload_size(std::uint64_t changes_size);
// `header` is complete but for its checksums; `data` are whole areas: kBadRequest otherwise, for
// nothing may get into the journal of an encrypted store unsealed.
[[nodiscard]] Result<Bytes> seal_payload(const StoreCipher& cipher, const RecordHeader& header,
                                         ByteView changes, std::span<const ByteView> data);
// The header as it stands in the file: without what is private.
[[nodiscard]] RecordHeader visible_part(const RecordHeader& header);

// The changes of a record, sealed or (null) plain; puts the private fields into its header.
[[nodiscard]] Result<Bytes> open_record(const StoreCipher* cipher, RecordView& record);

}  // namespace amberfs
