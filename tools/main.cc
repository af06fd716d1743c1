// SPDX-License-Identifier: Apache-2.0
// amberfs: the command. Parsing and exit codes here, each subcommand in cmd_NAME.cc.
#include "fs/control/control_protocol.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/store_key.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <string_view>

#ifndef AMBERFS_VERSION
#define AMBERFS_VERSION "unknown"
#endif

namespace amberfs::tools {

int report(const Context& context, const Error& error) {
  // Who reads us through a pipe and has seen enough is not to be told so; of the server one is.
  if (error.sys_errno == EPIPE && error.code != Errc::kControl) return kCouldNot;
  fmt::print(stderr, "amberfs: {}\n", error.to_string());
  if (context.json && !print("{\"error\":" + encode_error(error) + "}\n")) return kCouldNot;
  return error.exit_code();
}

void set_run(CLI::App& command, Context& context, Run run) {
  command.callback([&context, run = std::move(run)] {
    const Result<int> code = run();
    context.exit_code = code ? *code : report(context, code.error());
  });
}

void add_json_flag(CLI::App& command, Context& context) {
  command.add_flag("--json", context.json, "print JSON (docs/COMMANDS.md)");
}

namespace {

constexpr const char* kAbout =
    "amberfs: a versioned file system for logs. Mounted over a log directory it captures every\n"
    "write, takes snapshots on a schedule, and brings back the whole tree, a path or lost lines.\n"
    "\n"
    "  amberfs init /var/lib/logstore             make a store\n"
    "  amberfs mount /var/lib/logstore /var/log --adopt\n"
    "  amberfs snapshot /var/log --name monday    take a snapshot now\n"
    "  amberfs diff /var/log monday               what changed since\n"
    "  amberfs restore /var/log monday syslog     bring a file back\n"
    "  amberfs rollback /var/log monday           bring everything back\n";
constexpr const char* kFooter =
    "SNAP is an id or its beginning, a name, latest, latest~N, #SEQUENCE, or a time "
    "(2026-11-20T10:33,\n"
    "now-10m: the newest snapshot at or before it).\n"
    "Exit status: 0 done; 1 the answer is no; 2 the request is wrong; 3 it could not be done.\n";

// All commands but those that only speak with a server or bring their own.
bool opens_stores(const CLI::App& command) {
  constexpr std::string_view kOthers[] = {"serve", "umount", "upgrade", "key", "check-proof"};
  return std::ranges::find(kOthers, command.get_name()) == std::end(kOthers);
}

int run(int argc, char** argv) {
  CLI::App app(kAbout, "amberfs");
  app.footer(kFooter);
  app.set_version_flag("--version", "amberfs " AMBERFS_VERSION);
  app.require_subcommand(1);
  Context context;
  for (auto* add :
       {add_init,   add_mount, add_umount,  add_upgrade,  add_serve,  add_snapshot,    add_list,
        add_diff,   add_cat,   add_restore, add_rollback, add_verify, add_status,      add_gc,
        add_repair, add_key,   add_forget,  add_seal,     add_prove,  add_check_proof, add_audit}) {
    add(app, context);
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    if (opens_stores(*command)) add_key_options(*command);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "amberfs: out of memory\n");
    return kCouldNot;
  } catch (const nlohmann::json::exception& e) {
    // An answer of a server, or of a store, that has other members than it should.
    fmt::print(stderr, "amberfs: read an answer that does not fit: {}\n", e.what());
    return kCouldNot;
  }
  return context.exit_code;
}

}  // namespace
}  // namespace amberfs::tools

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  return amberfs::tools::run(argc, argv);
}
