// SPDX-License-Identifier: Apache-2.0
#include "fs/service_access.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>

namespace amberfs {
namespace {

constexpr std::array<std::string_view, 5> kVerify{"full", "key", "head", "rate", "resume"};

constexpr std::array kReading{
    ReadingCommand{"list", {}},        ReadingCommand{"resolve", {}},
    ReadingCommand{"diff", {}},        ReadingCommand{"status", {}},
    ReadingCommand{"stat", {}},        ReadingCommand{"readdir", {}},
    ReadingCommand{"readlink", {}},    ReadingCommand{"xattrs", {}},
    ReadingCommand{"read", {}},        ReadingCommand{"match", {}},
    ReadingCommand{"next_data", {}},   ReadingCommand{"prove", {}},
    ReadingCommand{"verify", kVerify}, ReadingCommand{"audit", {}},
};

bool only_reads(const nlohmann::json& request) {
  const auto& name = request.at("command").get_ref<const std::string&>();
  const auto command = std::ranges::find(kReading, name, &ReadingCommand::name);
  if (command == kReading.end()) return false;
  if (command->members.empty()) return true;
  for (const auto& [member, value] : request.items()) {
    if (member != "command" && std::ranges::count(command->members, member) == 0) return false;
  }
  return true;
}

}  // namespace

std::span<const ReadingCommand> reading_commands() {
  return kReading;
}

Status check_access(const Caller& caller, const nlohmann::json& request, const std::string& group) {
  if (caller.access == Caller::Access::kAll || only_reads(request)) return ok();
  return fail(Errc::kDenied, EACCES,
              "ask for what may change something: members of group " + group +
                  " may read (list, status, diff, cat, verify); the rest is for root and the user "
                  "who mounted",
              request.at("command").get<std::string>());
}

}  // namespace amberfs
