// SPDX-License-Identifier: Apache-2.0
#include "tools/output.h"

#include "blockstore/base/flat_json.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace amberfs::tools {
namespace {

// Columns a text takes on a terminal: continuation bytes of UTF-8 take none.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Bytes of the control character that the text begins with; 0: none.
std::size_t control_size(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  // U+0080 to U+009F, which some terminals obey as well.
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) < 0xa0) return 2;
  // What hides or turns around what is beside it: U+200B-200F, U+202A-202E, U+2066-2069.
  const bool hides = byte(1) == 0x80 && byte(2) >= 0x8b && byte(2) <= 0x8f;
  const bool turns = byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae;
  const bool isolates = byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;
  return byte(0) == 0xe2 && (hides || turns || isolates) ? 3 : 0;
}

}  // namespace

std::string human_size(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string printable(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const std::size_t size = control_size(text);
    for (const char c : text.substr(0, size)) {
      plain += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (size == 0) plain += text.front();
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return plain;
}

std::string format_table(const std::vector<std::vector<std::string>>& cells) {
  std::vector<std::vector<std::string>> rows = cells;
  for (auto& row : rows) {
    for (std::string& cell : row) cell = printable(cell);
  }
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

Status print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return fail(errc_for(errno), errno, "write to standard output");
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ok();
}

ProgressSink terminal_progress() {
  if (::isatty(STDERR_FILENO) == 0) return {};
  return [](const std::string& text) {
    const auto json = parse_flat_json(text);
    if (!json.is_object()) return;
    const std::uint64_t done = json.value("done", std::uint64_t{0});
    const std::uint64_t total = json.value("total", std::uint64_t{0});
    const std::string what = json.value("what", std::string());
    fmt::print(stderr, "\r{}: {} of {}\033[K", what, human_size(done), human_size(total));
    if (done >= total) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

}  // namespace amberfs::tools
