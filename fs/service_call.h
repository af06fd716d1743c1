// SPDX-License-Identifier: Apache-2.0
// What the handlers of Service have in common: typed access to a request's members, manifests and
// paths as JSON. Private to fs/service*.cc.
// Errors: kBadRequest names the member that is missing or of another type.
#pragma once

#include "fs/engine.h"
#include "fs/service.h"

#include <nlohmann/json.hpp>

namespace amberfs {

using Json = nlohmann::json;

// A request as handlers see it. Members are checked when they are taken.
class Call {
 public:
  Call(Engine& engine, const Json& request, const ProgressSink& progress)
      : engine_(engine), request_(request), progress_(progress) {}

  [[nodiscard]] Engine& engine() const { return engine_; }
  [[nodiscard]] const ProgressSink& progress() const { return progress_; }
  // Optional members, with what they are when left out.
  [[nodiscard]] Result<std::string> text(const char* key, std::string otherwise = {}) const;
  [[nodiscard]] Result<bool> flag(const char* key, bool otherwise = false) const;
  [[nodiscard]] Result<std::uint64_t> number(const char* key, std::uint64_t otherwise = 0) const;
  [[nodiscard]] Result<std::vector<std::string>> texts(const char* key) const;
  // A path member: decoded and normal.
  [[nodiscard]] Result<std::string> path(const char* key) const;
  // A list of path members.
  [[nodiscard]] Result<std::vector<std::string>> paths(const char* key) const;
  [[nodiscard]] Json raw(const char* key) const;  // null when left out
  // SNAP; it must be there.
  [[nodiscard]] Result<Manifest> snapshot(const char* key) const;
  // SNAP or "live".
  [[nodiscard]] Result<std::shared_ptr<const View>> view(const char* key) const;

 private:
  Engine& engine_;
  const Json& request_;
  const ProgressSink& progress_;
};

[[nodiscard]] Json to_json(const Manifest& manifest);
[[nodiscard]] Reply make_reply(const Json& json, Bytes payload = {});

using Handler = Result<Reply> (*)(const Call& call);
struct Command {
  const char* name;
  Handler run;
};
// Each family of commands is a table in a file of its own.
[[nodiscard]] std::span<const Command> snapshot_commands();  // service_snapshots.cc
[[nodiscard]] std::span<const Command> file_commands();      // service_files.cc
[[nodiscard]] std::span<const Command> change_commands();    // service_changes.cc
[[nodiscard]] std::span<const Command> health_commands();    // service_health.cc
[[nodiscard]] std::span<const Command> chain_commands();     // service_chain.cc

// Of the sealed chain (service_chain.cc): what status says; what verify adds to its reply, given
// [key] and [head] of its request.
[[nodiscard]] Json chain_status(Engine& engine);
[[nodiscard]] Status add_chain_verification(const Call& call, Json& reply);
[[nodiscard]] std::span<const Command> audit_commands();     // service_audit.cc

}  // namespace amberfs
