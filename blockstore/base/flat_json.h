// SPDX-License-Identifier: Apache-2.0
// JSON that somebody else wrote. Copying, comparing and dumping a value recurses into it, so what
// nests deep takes a program down long after it was parsed: it is not built in the first place.
// Threads: safe everywhere.
// Errors:  a discarded value for what is no JSON or nests deeper than `nesting_max`.
#pragma once

#include "blockstore/base/bytes.h"

#include <nlohmann/json.hpp>

namespace amberfs {

constexpr int kJsonNestingMax = 16;

[[nodiscard]] inline nlohmann::json parse_flat_json(ByteView text,
                                                    int nesting_max = kJsonNestingMax) {
  bool too_deep = false;
  const auto keep = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep = too_deep || depth > nesting_max;
    return !too_deep;
  };
  nlohmann::json json = nlohmann::json::parse(text, keep, false);
  if (too_deep) return nlohmann::json(nlohmann::json::value_t::discarded);
  return json;
}

}  // namespace amberfs
