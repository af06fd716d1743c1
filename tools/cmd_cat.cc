// SPDX-License-Identifier: Apache-2.0
// amberfs cat: the bytes of a file in a snapshot, without a mount, in constant memory.
#include "tools/command.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/session.h"

namespace amberfs::tools {
namespace {

Result<int> run(const std::string& target, const std::string& what) {
  const SnapPath where = split_snap_path(what);
  if (where.snap.empty()) {
    return fail(Errc::kBadRequest, 0, "read SNAP:PATH: for example latest:/syslog", what);
  }
  TRY_ASSIGN(Session session, Session::open(target));
  Json request{{"command", "read"},
               {"view", where.snap},
               {"path", to_request_path(where.path, session.mount_point())},
               {"offset", 0}};
  // A name like latest may come to mean another snapshot meanwhile: the id does not.
  if (where.snap != "live") {
    TRY_ASSIGN(auto resolved, session.call({{"command", "resolve"}, {"snap", where.snap}}));
    request["view"] = resolved.json["snapshot"]["id"];
  }
  std::uint64_t offset = 0;
  while (true) {
    request["offset"] = offset;
    TRY_ASSIGN(auto answer, session.call(request));
    if (answer.payload.empty()) break;
    offset += answer.payload.size();
    TRY(print(answer.payload));
  }
  TRY(session.close());
  return kDone;
}

}  // namespace

void add_cat(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("cat", "print a file as it was in a snapshot");
  auto target = std::make_shared<std::string>();
  auto what = std::make_shared<std::string>();
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->add_option("SNAP:PATH", *what, "which file of which snapshot (or live:PATH)")
      ->required();
  command->footer("  amberfs cat /var/log latest~2:/syslog | less");
  set_run(*command, context, [target, what] { return run(*target, *what); });
}

}  // namespace amberfs::tools
