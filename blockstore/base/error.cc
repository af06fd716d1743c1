// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/error.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace amberfs {
namespace {

struct ErrcRow {
  std::string_view name;
  int errno_class;
  int exit_code;
  std::string_view advice;
};

constexpr std::array kErrcTable = {
#define X(name, errno_class, exit_code, advice) ErrcRow{#name, errno_class, exit_code, advice},
#include "blockstore/base/errc.def"
#undef X
};

const ErrcRow& row(Errc code) {
  return kErrcTable.at(static_cast<std::size_t>(code));
}

}  // namespace

int Error::to_errno() const {
  return sys_errno != 0 ? sys_errno : row(code).errno_class;
}

int Error::exit_code() const {
  return row(code).exit_code;
}

std::string Error::to_string() const {
  std::string text = tried;
  if (!object.empty()) text += (text.empty() ? "" : ": ") + object;
  if (sys_errno != 0) {
    std::array<char, 128> buffer{};
    text += (text.empty() ? "" : ": ");
    text += ::strerror_r(sys_errno, buffer.data(), buffer.size());
  }
  if (!row(code).advice.empty()) {
    text += ". ";
    text += row(code).advice;
  }
  return text;
}

std::string_view errc_name(Errc code) {
  return row(code).name;
}

std::string_view errc_advice(Errc code) {
  return row(code).advice;
}

std::optional<Errc> errc_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kErrcTable.size(); ++i) {
    if (kErrcTable[i].name == name) return static_cast<Errc>(i);
  }
  return std::nullopt;
}

Errc errc_for(int sys_errno, Errc otherwise) {
  switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
      return Errc::kNoSpace;
    case EROFS:
      return Errc::kReadOnlyDisk;
    case ENOMEM:
      return Errc::kOutOfMemory;
    default:
      return otherwise;
  }
}

}  // namespace amberfs
