// SPDX-License-Identifier: Apache-2.0
// amberfs init: makes an empty store.
#include "blockstore/base/hash.h"
#include "fs/engine.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

constexpr std::uint32_t kSpareSegments = 2;

struct Options {
  std::string store;
  int zstd_level = 3;
  std::string every = "10m";
  std::vector<std::string> exact;
};

// The default text with the settings given on the command line put in.
Result<std::string> config_text(const Options& options) {
  std::string text = default_config_text(to_hex(random_bytes(16)));
  const auto set = [&](std::string_view line, const std::string& with) {
    const auto at = text.find(line);
    if (at != std::string::npos) text.replace(at, line.size(), with);
  };
  set("zstd_level = 3", fmt::format("zstd_level = {}", options.zstd_level));
  set("every = \"10m\"", fmt::format("every = {}", Json(options.every).dump()));
  set("exact = []", fmt::format("exact = {}", Json(options.exact).dump()));
  TRY(parse_config(text, "the given options"));
  return text;
}

Result<int> run(const Options& options, const Context& context) {
  auto text = config_text(options);
  if (!text) {
    text.error().code = Errc::kBadRequest;  // given on the command line: a wrong request
    return fail(std::move(text).error());
  }
  const std::string store = absolute_path(options.store);
  const auto io = make_posix_io();
  TRY(Engine::create(*io, store, *text, kSpareSegments));
  if (context.json) {
    TRY(print(Json{{"store", store}}.dump() + "\n"));
  } else {
    TRY(
        print(fmt::format("Made a store in {}. Settings: {}/config.toml\n"
                          "Next: amberfs mount {} DIR   (--adopt takes in what is in DIR)\n",
                          store, store, options.store)));
  }
  return kDone;
}

}  // namespace

void add_init(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("init", "make an empty store");
  auto options = std::make_shared<Options>();
  command->add_option("STORE", options->store, "a new or empty directory")->required();
  command->add_option("--zstd-level", options->zstd_level, "compression: -7 (fast) to 19 (small)");
  command->add_option("--every", options->every, "automatic snapshots: 10m, 1h, off");
  command->add_option("--exact", options->exact,
                      "glob of files whose every write is captured on its own (repeatable)");
  command->footer(
      "Everything can be set later in STORE/config.toml, while it is not mounted.\n"
      "  amberfs init /var/lib/logstore --exact 'audit/**'");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run(*options, context); });
}

}  // namespace amberfs::tools
