// SPDX-License-Identifier: Apache-2.0
// amberfs snapshot, list, rollback: the snapshots of a store.
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

constexpr std::size_t kShortId = 12;

std::string short_id(const Json& snapshot) {
  return snapshot.value("id", std::string()).substr(0, kShortId);
}

std::string describe(const Json& snapshot) {
  std::string text = fmt::format("{} at {}", short_id(snapshot), snapshot.value("time", ""));
  const std::string name = snapshot.value("name", "");
  return name.empty() ? text : text + " named " + name;
}

Result<int> run_snapshot(const std::string& target, const Json& request, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, request));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  const Json& snapshot = answer.json["snapshot"];
  if (!answer.json.value("created", true)) {
    TRY(print("Nothing changed since " + describe(snapshot) + "\n"));
    return kDone;
  }
  TRY(print(fmt::format("Took snapshot {}: {} files and directories, {}, {} new, {} stored\n",
                        describe(snapshot), snapshot.value("inodes", 0ULL),
                        human_size(snapshot.value("logical_bytes", 0ULL)),
                        human_size(snapshot.value("changed_bytes", 0ULL)),
                        human_size(snapshot.value("stored_bytes", 0ULL)))));
  return kDone;
}

Result<int> run_list(const std::string& target, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, {{"command", "list"}}));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "TIME", "NAME", "SIZE", "CHANGED", "STORED", "REASON"}};
  for (const Json& snapshot : answer.json["snapshots"]) {
    const std::string reason = snapshot.value("reason", "");
    rows.push_back({short_id(snapshot), snapshot.value("time", ""), snapshot.value("name", ""),
                    human_size(snapshot.value("logical_bytes", 0ULL)),
                    human_size(snapshot.value("changed_bytes", 0ULL)),
                    human_size(snapshot.value("stored_bytes", 0ULL)),
                    reason.empty() ? snapshot.value("kind", "") : reason});
  }
  if (rows.size() == 1) {
    TRY(print("No snapshots yet. Take one with: amberfs snapshot " + target + "\n"));
    return kDone;
  }
  TRY(print(format_table(rows)));
  return kDone;
}

Result<int> run_rollback(const std::string& target, const Json& request, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, request));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  TRY(print(
      fmt::format("Rolled back to {}.\nWhat was there before is kept: amberfs rollback {} {}\n",
                  describe(answer.json["target"]), target, short_id(answer.json["before"]))));
  return kDone;
}

}  // namespace

void add_snapshot(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("snapshot", "take a snapshot now");
  auto target = std::make_shared<std::string>();
  auto request = std::make_shared<Json>(Json{{"command", "snapshot"}});
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->add_option_function<std::string>(
      "--name", [request](const std::string& name) { (*request)["name"] = name; },
      "a name to find it by");
  command->add_option_function<std::string>(
      "--reason", [request](const std::string& text) { (*request)["reason"] = text; },
      "a text shown by list");
  command->add_flag_callback(
      "--if-changed", [request] { (*request)["skip_if_unchanged"] = true; },
      "take none when nothing changed since the newest one");
  command->footer("  amberfs snapshot /var/log --name before-upgrade --reason 'kernel 6.18'");
  add_json_flag(*command, context);
  set_run(*command, context,
          [target, request, &context] { return run_snapshot(*target, *request, context); });
}

void add_list(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("list", "list the snapshots");
  auto target = std::make_shared<std::string>();
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->footer(
      "CHANGED is new file data since the snapshot before, STORED what it took on disk.");
  add_json_flag(*command, context);
  set_run(*command, context, [target, &context] { return run_list(*target, context); });
}

void add_rollback(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("rollback", "make the whole tree what it was in a snapshot");
  auto target = std::make_shared<std::string>();
  auto snap = std::make_shared<std::string>();
  auto force = std::make_shared<bool>(false);
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->add_option("SNAP", *snap, "which snapshot")->required();
  command->add_flag("--force", *force, "also while programs hold files open");
  command->footer(
      "The state before is kept as a snapshot, so a rollback can be rolled back.\n"
      "  amberfs rollback /var/log latest~1");
  add_json_flag(*command, context);
  set_run(*command, context, [=, &context] {
    return run_rollback(*target, {{"command", "rollback"}, {"snap", *snap}, {"force", *force}},
                        context);
  });
}

}  // namespace amberfs::tools
