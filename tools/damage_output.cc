// SPDX-License-Identifier: Apache-2.0
#include "tools/damage_output.h"

#include "tools/output.h"

#include <fmt/format.h>

namespace amberfs::tools {

using Json = nlohmann::json;

std::string size_of(const Json& json, const char* key) {
  return human_size(json.value(key, 0ULL));
}

Status print_damage(const Json& damage) {
  std::string before;
  for (const Json& finding : damage) {
    std::string line = finding.value("kind", "") + " " + finding.value("object", "");
    if (!finding.value("snapshot", "").empty()) line += " in " + finding.value("snapshot", "");
    if (finding.value("size", 0ULL) > 0) {
      line += fmt::format(", bytes {}-{}", finding.value("offset", 0ULL),
                          finding.value("offset", 0ULL) + finding.value("size", 0ULL) - 1);
    }
    line += ": " + finding.value("what", "");
    for (const char* around : {"readable_before", "readable_behind"}) {
      if (!finding.contains(around)) continue;
      const auto begin = finding[around][0].get<std::uint64_t>();
      const auto end = finding[around][1].get<std::uint64_t>();
      if (end > begin) line += fmt::format("; bytes {}-{} can be read", begin, end - 1);
    }
    if (line == before) continue;  // a frame with many blocks
    TRY(print("damaged: " + line + "\n"));
    before = std::move(line);
  }
  return ok();
}

Status print_what_to_do(const Json& damage) {
  const auto any = [&](std::initializer_list<std::string_view> kinds) {
    return std::ranges::any_of(damage, [&](const Json& finding) {
      return std::ranges::find(kinds, finding.value("kind", "")) != kinds.end();
    });
  };
  if (any({"index"})) {
    TRY(print("The index is a cache of the packs: unmount, then: amberfs repair --index STORE\n"));
  }
  if (any({"frame", "parity"})) {
    TRY(print("What parity can heal is healed by: amberfs repair --packs STORE\n"));
  }
  return ok();
}

}  // namespace amberfs::tools
