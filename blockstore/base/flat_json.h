// SPDX-License-Identifier: Apache-2.0
// JSON that somebody else wrote. Copying, comparing and dumping a value recurses into it, so what
// nests deep takes a program down long after it was parsed: it is not built in the first place.
// Threads: safe everywhere.
// Errors:  a discarded value for what is no JSON or nests deeper than kJsonNestingMax.
#pragma once

#include "blockstore/base/bytes.h"

#include <nlohmann/json.hpp>

namespace amberfs {

constexpr int kJsonNestingMax = 16;

[[nodiscard]] inline nlohmann::json parse_flat_json(ByteView text) {
  using Json = nlohmann::json;
  bool too_deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, const Json&) {
    too_deep = too_deep || depth > kJsonNestingMax;
    return !too_deep;
  };
  Json json = Json::parse(text, keep, false);
  if (too_deep) return Json(Json::value_t::discarded);
  return json;
}

}  // namespace amberfs
