// SPDX-License-Identifier: Apache-2.0
// amberfs diff: what differs between two snapshots, or a snapshot and now.
#include "fs/path_text.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/session.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

struct Options {
  std::string target;
  std::string from;
  std::vector<std::string> rest;  // [SNAP2|live] [PATH…]
  bool lines = false;
  bool exit_code = false;
};

std::string describe_sizes(const Json& change) {
  const std::uint64_t before = change.value("size_before", 0ULL);
  const std::uint64_t after = change.value("size_after", 0ULL);
  const std::string kind = change.value("change", "");
  if (change.value("type", "") != "file" || kind == "renamed" || kind == "attributes") return "";
  if (kind == "added") return human_size(after);
  if (kind == "removed") return human_size(before);
  return fmt::format("{} → {}", human_size(before), human_size(after));
}

std::vector<std::string> row_of(const Json& change) {
  std::string path = change.value("path", "");
  if (change.contains("from")) path = change.value("from", "") + " → " + path;
  if (change.value("type", "") == "directory" && !path.ends_with('/')) path += "/";
  return {change.value("change", ""), path, describe_sizes(change), change.value("detail", "")};
}

Status print_changes(const Json& changes, bool lines) {
  if (!lines) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& change : changes) rows.push_back(row_of(change));
    return print(format_table(rows));
  }
  for (const Json& change : changes) {
    TRY(print(format_table({row_of(change)})));
    const std::string path = change.value("path", "");
    if (change.contains("lines")) {
      TRY(print(fmt::format("--- {}\n+++ {}\n{}", change.value("from", path), path,
                            change.value("lines", ""))));
    }
  }
  return ok();
}

// The second word is a snapshot or `live` if it names one; otherwise it is the first path.
Result<bool> is_snapshot(Session& session, const std::string& word) {
  if (word == "live") return true;
  const auto found = session.call({{"command", "stat"}, {"view", word}, {"path", ""}});
  if (found) return true;
  if (found.error().code == Errc::kNoSuchSnapshot) return false;
  return fail(found.error());
}

Result<int> run(const Options& options, const Context& context) {
  TRY_ASSIGN(Session session, Session::open(options.target));
  std::vector<std::string> paths = options.rest;
  std::string to = "live";
  if (!paths.empty()) {
    TRY_ASSIGN(bool snapshot, is_snapshot(session, paths.front()));
    if (snapshot) {
      to = paths.front();
      paths.erase(paths.begin());
    }
  }
  Json request{{"command", "diff"},
               {"from", options.from},
               {"to", to},
               {"paths", to_request_paths(paths, session.mount_point())},
               {"lines", options.lines}};
  Json all = Json::array();
  while (true) {
    TRY_ASSIGN(auto answer, session.call(request));
    if (context.json) {
      for (Json& change : answer.json["changes"]) all.push_back(std::move(change));
    } else {
      TRY(print_changes(answer.json["changes"], options.lines));
      if (!answer.json["changes"].empty()) all = Json::array({true});
    }
    if (!answer.json.contains("next")) break;
    request["skip"] = answer.json["next"];
  }
  TRY(session.close());
  if (context.json) TRY(print(Json{{"changes", all}}.dump() + "\n"));
  return options.exit_code && !all.empty() ? kNo : kDone;
}

}  // namespace

void add_diff(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("diff", "what changed between a snapshot and another, or now");
  auto options = std::make_shared<Options>();
  command->add_option("TARGET", options->target, "a store or a mounted directory")->required();
  command->add_option("SNAP", options->from, "the older side")->required();
  command->add_option("SNAP2|live PATH", options->rest,
                      "the newer side (default: live), then paths or globs to look at");
  command->add_flag("--lines", options->lines, "show the lines that differ");
  command->add_flag("--exit-code", options->exit_code, "exit with 1 when something changed");
  command->footer(
      "  amberfs diff /var/log latest\n"
      "  amberfs diff /var/log latest~1 latest nginx --lines");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run(*options, context); });
}

}  // namespace amberfs::tools
