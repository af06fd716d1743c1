// SPDX-License-Identifier: Apache-2.0
#include "fs/audit_notes.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace amberfs {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kPlacesNamed = 20;

Json places(const std::vector<Damage>& ranges) {
  Json list = Json::array();
  for (const Damage& range : ranges) {
    if (list.size() == kPlacesNamed) break;
    list.push_back({{"file", range.file}, {"offset", range.offset}, {"size", range.size}});
  }
  return list;
}

}  // namespace

void note_scrub(Audit& audit, const ScrubReport& report) {
  if (report.repaired.empty() && report.lost.empty()) return;
  audit.note("scrub", {{"repaired_count", report.repaired.size()},
                       {"repaired", places(report.repaired)},
                       {"lost_count", report.lost.size()},
                       {"lost", places(report.lost)}});
}

void note_damage(Audit& audit, const Json& damage, bool full) {
  const auto named = static_cast<std::ptrdiff_t>(std::min(damage.size(), kPlacesNamed));
  audit.note("verify", {{"full", full},
                        {"damage_count", damage.size()},
                        {"damage", Json(damage.begin(), damage.begin() + named)}});
}

}  // namespace amberfs
