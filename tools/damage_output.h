// SPDX-License-Identifier: Apache-2.0
// How commands print what is damaged.
#pragma once

#include "blockstore/base/result.h"

#include <nlohmann/json.hpp>

#include <string>

namespace amberfs::tools {

// "damaged: …", a line for each finding of a reply's list.
[[nodiscard]] Status print_damage(const nlohmann::json& damage);
// Which command heals it, if one does.
[[nodiscard]] Status print_what_to_do(const nlohmann::json& damage);
// A size of a reply, for people; 0 when it is not there.
[[nodiscard]] std::string size_of(const nlohmann::json& json, const char* key);

}  // namespace amberfs::tools
