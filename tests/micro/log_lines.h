// SPDX-License-Identifier: Apache-2.0
// Log lines as servers write them, made up in code: accesses of a web server, logins, records of an
// application in JSON. Always the same, so that two runs measure the same work.
#pragma once

#include "blockstore/base/bytes.h"

#include <cstddef>

namespace amberfs::micro {

// Exactly `size_bytes`; the last line may be cut.
[[nodiscard]] Bytes log_lines(std::size_t size_bytes);
// One whole line of a web server.
[[nodiscard]] Bytes log_line();

}  // namespace amberfs::micro
