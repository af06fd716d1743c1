// SPDX-License-Identifier: Apache-2.0
// Which commands only read: what members of the group of config.toml ([access] group) may ask of a
// mounted store. A command that is not in the table is for root and the user who mounted: a new one
// is refused to the others until it is put there.
// Trust:   who may read at all may read everything, as members of `adm` may read /var/log: modes of
//          files are not looked at.
// Threads: free functions, safe everywhere.
// Errors:  kDenied says what may be asked, and who may ask for the rest.
#pragma once

#include "fs/service.h"

#include <nlohmann/json_fwd.hpp>

#include <span>

namespace amberfs {

struct ReadingCommand {
  std::string_view name;
  // Members besides "command" that keep it one that only reads; empty: all do.
  std::span<const std::string_view> members;
};
[[nodiscard]] std::span<const ReadingCommand> reading_commands();
// `request` is an object with a text as "command"; `group` is that of config.toml.
[[nodiscard]] Status check_access(const Caller& caller, const nlohmann::json& request,
                                  const std::string& group);

}  // namespace amberfs
