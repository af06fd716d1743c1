// SPDX-License-Identifier: Apache-2.0
// The manifests of an encrypted store as they stand on disk: what names a snapshot's place (number,
// time, id, link) stays readable, as lists and the sealed chain need it without the key; all else
// (name, reason, kind, root, totals …) is one sealed member. A text goes in and a text comes out,
// so that nothing else knows of it.
// Threads: functions of values.
// Errors:  kCorrupt for a text that is not sealed, or not by this key.
// Format:  docs/format/manifest.md#sealed.
#pragma once

#include "blockstore/base/cipher.h"

#include <string>

namespace amberfs {

// `text`: a JSON object as encode_manifest() gives it.
[[nodiscard]] Result<std::string> seal_document(const Sealer& sealer, ByteView text);
// The text that was sealed, but for its white space.
[[nodiscard]] Result<std::string> open_document(const Sealer& sealer, ByteView text);

}  // namespace amberfs
