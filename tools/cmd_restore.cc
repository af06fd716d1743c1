// SPDX-License-Identifier: Apache-2.0
// amberfs restore: paths, or only their lost lines, back in place; or copies elsewhere.
#include "fs/path_text.h"
#include "tools/command.h"
#include "tools/copy_out.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/session.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

struct Options {
  std::string target;
  std::string snap;
  std::vector<std::string> paths;
  std::string to;
  bool lines = false;
  bool exact = false;
  bool dry_run = false;
  bool overwrite = false;
};

constexpr std::size_t kShortId = 12;

std::string kept(const Json& reply, const std::string& target) {
  if (!reply.contains("before")) return "";
  return fmt::format("What was there before is kept: amberfs restore {} {} PATH\n", target,
                     reply["before"].value("id", "").substr(0, kShortId));
}

Status print_paths(const char* what, const Json& paths) {
  for (const Json& path : paths) {
    TRY(print(fmt::format("{} {}\n", what, path.get<std::string>())));
  }
  return ok();
}

Status print_result(const Json& reply, const Options& options) {
  const bool dry = options.dry_run;
  if (options.lines) {
    for (const Json& file : reply["files"]) {
      TRY(print(fmt::format("{}{}: {} lines {}, {} damaged lines {}, {} → {}\n",
                            dry ? "would change " : "", file.value("path", ""),
                            file.value("lines_restored", 0ULL), dry ? "to put back" : "put back",
                            file.value("damaged_lines_dropped", 0ULL), dry ? "to drop" : "dropped",
                            human_size(file.value("size_before", 0ULL)),
                            human_size(file.value("size_after", 0ULL)))));
    }
    return reply["files"].empty() || dry ? ok() : print(kept(reply["files"][0], options.target));
  }
  TRY(print_paths(dry ? "would restore" : "restored", reply["restored"]));
  TRY(print_paths(dry ? "would create" : "created", reply["created"]));
  TRY(print_paths(dry ? "would remove" : "removed", reply["removed"]));
  if (reply.value("unchanged", 0ULL) > 0) {
    TRY(print(fmt::format("{} as in the snapshot already\n", reply.value("unchanged", 0ULL))));
  }
  return print(kept(reply, options.target));
}

Result<int> run_copy_out(Session& session, const Options& options, const Context& context) {
  TRY_ASSIGN(auto resolved, session.call({{"command", "resolve"}, {"snap", options.snap}}));
  CopyOutRequest request{.view = resolved.json["snapshot"].value("id", ""),
                         .paths = to_request_paths(options.paths, session.mount_point()),
                         .directory = options.to,
                         .overwrite = options.overwrite};
  TRY_ASSIGN(CopyOutReport report, copy_out(session, request));
  TRY(session.close());
  Json failed = Json::array();
  for (const CopyFailure& failure : report.failed) {
    const std::string path = encode_path(failure.path);
    failed.push_back({{"path", path}, {"error", failure.error.to_string()}});
    fmt::print(stderr, "amberfs: left empty, as it cannot be read: /{}: {}\n", path,
               failure.error.to_string());
  }
  const std::uint64_t whole = report.files - report.failed.size();
  if (context.json) {
    TRY(print(
        Json{{"files", whole}, {"bytes", report.bytes}, {"failed", std::move(failed)}}.dump() +
        "\n"));
  } else {
    TRY(print(
        fmt::format("Wrote {} files, {}, to {}\n", whole, human_size(report.bytes), options.to)));
  }
  return report.failed.empty() ? kDone : kCouldNot;
}

Result<int> run(const Options& options, const Context& context) {
  TRY_ASSIGN(Session session, Session::open(options.target));
  if (!options.to.empty()) return run_copy_out(session, options, context);
  const Json request{{"command", "restore"},
                     {"snap", options.snap},
                     {"paths", to_request_paths(options.paths, session.mount_point())},
                     {"lines", options.lines},
                     {"exact", options.exact},
                     {"dry_run", options.dry_run}};
  TRY_ASSIGN(auto answer, session.call(request));
  TRY(session.close());
  TRY(context.json ? print(answer.json.dump() + "\n") : print_result(answer.json, options));
  return kDone;
}

}  // namespace

void add_restore(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("restore", "bring files, directories or lost lines back");
  auto options = std::make_shared<Options>();
  command->add_option("TARGET", options->target, "a store or a mounted directory")->required();
  command->add_option("SNAP", options->snap, "which snapshot")->required();
  command->add_option("PATH", options->paths, "files, directories or globs")->required();
  auto* lines = command->add_flag("--lines", options->lines,
                                  "put back only lines that were lost; newer lines stay");
  auto* exact = command->add_flag("--exact", options->exact,
                                  "remove what the snapshot's directories do not have");
  auto* to = command->add_option("--to", options->to, "write copies below this directory instead");
  to->check(
      CLI::Validator([](std::string& text) { return text.empty() ? "it is empty" : ""; }, "DIR"));
  command->add_flag("--overwrite", options->overwrite, "with --to: replace files that are there")
      ->needs(to);
  auto* dry = command->add_flag("-n,--dry-run", options->dry_run, "only say what would be done");
  to->excludes(lines)->excludes(exact)->excludes(dry);
  lines->excludes(exact);
  command->footer(
      "A file that is still there keeps its inode, so programs that have it open go on. What is\n"
      "replaced stays in a snapshot taken just before.\n"
      "  amberfs restore /var/log latest syslog --lines\n"
      "  amberfs restore /var/log now-1h 'nginx/*.log' --to /root/recovered");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run(*options, context); });
}

}  // namespace amberfs::tools
