// SPDX-License-Identifier: Apache-2.0
// amberfs upgrade: another server takes over a mount, without the programs noticing.
//
//   this command (the newer binary) ──"hand_over"──→ the server ──path──→ the keeper
//   the server commits, answers what is under way, ends; the keeper starts the newer binary; when
//   that one cannot start, the older one again
#include "fs/config.h"
#include "tools/command.h"
#include "tools/keeper_process.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace amberfs::tools {
namespace {

struct Options {
  std::string target;
  std::string binary;
  bool allow_format_change = false;
};

Status check_binary(const std::string& binary) {
  if (::access(binary.c_str(), X_OK) == 0) return ok();
  return fail(Errc::kBadRequest, errno, "upgrade: not a program that can be run", binary);
}

// A newer binary may write a store that the older one cannot read: no way back.
Status check_format(const Json& status, bool allowed) {
  const auto served = status.value("format", std::uint32_t{0});
  if (allowed || served == Config::kFormatVersion) return ok();
  return fail(Errc::kBadRequest, 0,
              fmt::format("upgrade: the store has format {}, the new server writes {}, and older "
                          "servers could not read it again; if that is wanted: "
                          "--allow-format-change",
                          served, Config::kFormatVersion),
              status.value("store", ""));
}

// The status of the server that took over: any whose process is another one.
Result<Json> wait_for_successor(const std::string& target, const Json& before) {
  constexpr auto kPatience = std::chrono::seconds(60);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto now = ask(target, {{"command", "status"}});
    const pid_t server = now ? server_in(now->json) : 0;
    if (server != 0 && server != server_in(before)) return now->json;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return fail(Errc::kControl, ETIMEDOUT,
              "upgrade: no server has taken over for 60 s; see server.log", target);
}

Result<int> run(Options options) {
  TRY_ASSIGN(auto mounted, find_mounted(options.target));
  if (!mounted) {
    return fail(Errc::kNotMounted, 0, "upgrade: no amberfs is mounted there", options.target);
  }
  if (options.binary.empty()) {
    TRY_ASSIGN(options.binary, own_binary());
  } else {
    options.binary = absolute_path(options.binary);
  }
  TRY(check_binary(options.binary));
  TRY_ASSIGN(const Session::Answer before, ask(mounted->mount_point, {{"command", "status"}}));
  TRY(check_format(before.json, options.allow_format_change));
  TRY(ask(mounted->mount_point, {{"command", "hand_over"}, {"binary", options.binary}}));
  TRY_ASSIGN(const Json after, wait_for_successor(mounted->mount_point, before.json));
  if (after.value("server_binary", "") != options.binary) {
    return fail(Errc::kControl, 0,
                "upgrade: the new server could not take over, the one before goes on; see "
                "server.log",
                options.binary);
  }
  TRY(print(fmt::format("{} is now served by process {} ({})\n", mounted->mount_point,
                        server_in(after), options.binary)));
  return kDone;
}

}  // namespace

void add_upgrade(CLI::App& app, Context& context) {
  auto* command =
      app.add_subcommand("upgrade", "let this binary take over a mount from an older one");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->target, "the mounted directory or its store")->required();
  command->add_option("--binary", options->binary, "another amberfs than this one");
  command->add_flag("--allow-format-change", options->allow_format_change,
                    "also when older servers cannot read the store afterwards");
  command->footer(
      "Programs that use the mount see a pause of a moment.\n"
      "  /usr/local/bin/amberfs upgrade /var/log");
  set_run(*command, context, [options] { return run(*options); });
}

}  // namespace amberfs::tools
