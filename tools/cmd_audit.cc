// SPDX-License-Identifier: Apache-2.0
// amberfs audit: what was done to the store and to its logs; the bytes that were taken away.
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>

#include <set>

namespace amberfs::tools {
namespace {

struct Options {
  std::string target;
  std::string since;
  std::uint64_t show = 0;
};

std::string who_text(const Json& event) {
  const std::string command = event.value("command", "");
  const auto pid = event.value("pid", 0ULL);
  std::string text = fmt::format("uid {}", event.value("uid", 0ULL));
  if (pid != 0) text += fmt::format(", {} (pid {})", command.empty() ? "?" : command, pid);
  if (event.value("one_of_several", false)) text += " or another that had it open";
  return text;
}

std::string removal_text(const Json& event) {
  std::string text = fmt::format("{} {}", event.value("path", ""), event.value("what", ""));
  text += fmt::format(", bytes {}-{}", event.value("begin", 0ULL), event.value("end", 0ULL));
  if (event.contains("other")) text += ", " + event.value("other", "");
  if (event.value("count", 1ULL) > 1) text += fmt::format(", {} times", event.value("count", 1ULL));
  if (!event.value("kept", true)) text += ", kept no longer";
  return text;
}

// What stands in a line beside what every line has.
std::string details_text(const Json& event) {
  std::string text;
  for (const auto& [key, value] : event.items()) {
    static const std::set<std::string> kOfAll = {"event", "time", "time_ns", "uid",
                                                 "gid",   "pid",  "command", "sequence"};
    if (kOfAll.contains(key)) continue;
    if (!text.empty()) text += ", ";
    text += value.is_array()    ? fmt::format("{}: {} (--json tells which)", key, value.size())
            : value.is_string() ? key + " " + value.get<std::string>()
                                : key + " " + value.dump();
  }
  return text;
}

Result<int> list_events(const Options& options, const Context& context) {
  TRY_ASSIGN(const auto answer,
             ask(options.target, {{"command", "audit"}, {"since", options.since}}));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  // What there is to say comes last: it may be long.
  std::vector<std::vector<std::string>> rows;
  for (const Json& event : answer.json["events"]) {
    const bool removal = event.contains("number");
    rows.push_back({event.value("time", ""),
                    removal ? fmt::format("#{}", event.value("number", 0ULL)) : "",
                    event.value("event", ""), who_text(event),
                    removal ? removal_text(event) : details_text(event)});
  }
  TRY(print(format_table(rows)));
  return kDone;
}

Result<int> show_bytes(const Options& options) {
  TRY_ASSIGN(Session session, Session::open(options.target));
  for (std::uint64_t offset = 0;;) {
    TRY_ASSIGN(
        const auto answer,
        session.call({{"command", "audit_show"}, {"number", options.show}, {"offset", offset}}));
    if (answer.payload.empty()) break;
    TRY(print(answer.payload));
    offset += answer.payload.size();
  }
  TRY(session.close());
  return kDone;
}

}  // namespace

void add_audit(CLI::App& app, Context& context) {
  auto* command =
      app.add_subcommand("audit", "what was done to the store and its logs, and by whom");
  auto options = std::make_shared<Options>();
  command->add_option("TARGET", options->target, "a store or a mounted directory")->required();
  command->add_option("--since", options->since, "only from this time on (2026-11-20, now-2h)");
  command->add_option("--show", options->show,
                      "write the bytes that event NUMBER took away to standard output");
  command->footer(
      "Lists mounts, rollbacks, restores, and each time that bytes of a log were overwritten, cut "
      "off\nor deleted other than by rotating it; the newest last.");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context]() -> Result<int> {
    if (options->show != 0) return show_bytes(*options);
    return list_events(*options, context);
  });
}

}  // namespace amberfs::tools
