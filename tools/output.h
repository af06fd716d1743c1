// SPDX-License-Identifier: Apache-2.0
// What commands print: sizes for people, tables, and progress that is quiet in a pipe.
#pragma once

#include "fs/service.h"

#include <cstdint>
#include <string>
#include <vector>

namespace amberfs::tools {

[[nodiscard]] std::string human_size(std::uint64_t bytes);  // "12.3 MiB"

// With \xNN in place of control characters: names of programs, reasons and labels are what somebody
// chose, and a terminal obeys what it is sent.
[[nodiscard]] std::string printable(std::string_view text);

// Columns as wide as their widest cell, which are made printable; the last one is not padded.
[[nodiscard]] std::string format_table(const std::vector<std::vector<std::string>>& cells);

// Everything to stdout, or an error (a full disk, a closed pipe).
[[nodiscard]] Status print(std::string_view text);

// Shows {"what", "done", "total"} as one changing line on stderr when that is a terminal.
[[nodiscard]] ProgressSink terminal_progress();

}  // namespace amberfs::tools
