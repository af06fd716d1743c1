// SPDX-License-Identifier: Apache-2.0
// Paths as text: names are any bytes, JSON strings and terminals are not. Bytes that are no valid
// UTF-8, control characters and the backslash become \xNN; everything else stays as it is.
// Threads: free functions.
#pragma once

#include "blockstore/base/bytes.h"

#include <optional>
#include <string>

namespace amberfs {

[[nodiscard]] std::string encode_path(ByteView path);
// nullopt for a backslash that is not followed by xNN.
[[nodiscard]] std::optional<Bytes> decode_path(std::string_view text);
// Without leading, trailing and doubled slashes and "."; what remains of "/" is "".
[[nodiscard]] std::string normal_path(std::string_view path);

}  // namespace amberfs
