// SPDX-License-Identifier: Apache-2.0
// The server's own log: one line an event, to stderr and, once open_log_file() was called, to a
// file. Never inside the mount: that would deadlock the server on itself.
// Threads: safe from every thread.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "blockstore/base/result.h"

namespace amberfs {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void log_line(LogLevel level, std::string_view text);
[[nodiscard]] Status open_log_file(const std::string& path);
void set_log_level(LogLevel level);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace amberfs
