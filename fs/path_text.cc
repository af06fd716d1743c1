// SPDX-License-Identifier: Apache-2.0
#include "fs/path_text.h"

#include "blockstore/base/hash.h"

#include <fmt/format.h>

namespace amberfs {
namespace {

// The length of the valid UTF-8 sequence at the front, 0 when there is none.
std::size_t utf8_sequence(ByteView text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  std::size_t size = 0;
  std::uint32_t code = 0;
  if (lead < 0x80) return 1;
  if ((lead & 0xe0) == 0xc0) {
    size = 2;
    code = lead & 0x1f;
  } else if ((lead & 0xf0) == 0xe0) {
    size = 3;
    code = lead & 0x0f;
  } else if ((lead & 0xf8) == 0xf0) {
    size = 4;
    code = lead & 0x07;
  } else {
    return 0;
  }
  if (text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < kSmallest[size] || code > 0x10ffff || surrogate ? 0 : size;
}

}  // namespace

std::string encode_path(ByteView path) {
  std::string text;
  while (!path.empty()) {
    const std::size_t size = utf8_sequence(path);
    const auto first = static_cast<unsigned char>(path.front());
    if (size == 0 || first < 0x20 || first == 0x7f || first == '\\') {
      text += fmt::format("\\x{:02x}", first);
      path.remove_prefix(1);
    } else {
      text += path.substr(0, size);
      path.remove_prefix(size);
    }
  }
  return text;
}

std::optional<Bytes> decode_path(std::string_view text) {
  Bytes path;
  while (!text.empty()) {
    if (text.front() != '\\') {
      path += text.front();
      text.remove_prefix(1);
      continue;
    }
    std::uint8_t byte = 0;
    if (!text.starts_with("\\x") || !from_hex(text.substr(2, 2), &byte, 1)) return std::nullopt;
    path += static_cast<char>(byte);
    text.remove_prefix(4);
  }
  return path;
}

std::string normal_path(std::string_view path) {
  std::string normal;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!part.empty() && part != ".") {
      if (!normal.empty()) normal += '/';
      normal += part;
    }
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return normal;
}

}  // namespace amberfs
