// SPDX-License-Identifier: Apache-2.0
// amberfs init: makes an empty store.
#include "blockstore/base/hash.h"
#include "fs/engine.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/store_key.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

constexpr std::uint32_t kSpareSegments = 2;

struct Options {
  std::string store;
  int zstd_level = 3;
  std::string every = "10m";
  std::vector<std::string> exact;
  bool encrypt = false;
};

// The default text with the settings given on the command line put in.
Result<std::string> config_text(const Options& options, const std::string& store_id) {
  std::string text = default_config_text(store_id, options.encrypt);
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

// A data key that nobody knows, and the first way to it.
Result<std::optional<NewKeys>> make_keys(const Options& options, const std::string& store_id) {
  if (!options.encrypt) {
    if (given_key_files().empty()) return std::optional<NewKeys>();
    return fail(Errc::kBadRequest, 0, "make a store with a key: to encrypt it, give --encrypt");
  }
  TRY_ASSIGN(std::optional<StoreSecret> secret, read_secret(given_or_usual_key_files()));
  if (!secret) {
    TRY_ASSIGN(secret, ask_passphrase("Passphrase of the new store", true));
  }
  TRY_ASSIGN(const SecretBytes data_key, SecretBytes::random(kKeySize));
  NewKeys keys{.slots = KeySlots(store_id), .cipher = nullptr};
  TRY(keys.slots.add(data_key, *secret, "init"));
  TRY_ASSIGN(keys.cipher, StoreCipher::make(data_key));
  return std::optional(std::move(keys));
}

Result<int> run(const Options& options, const Context& context) {
  const std::string store_id = to_hex(random_bytes(16));
  auto text = config_text(options, store_id);
  if (!text) {
    text.error().code = Errc::kBadRequest;  // given on the command line: a wrong request
    return fail(std::move(text).error());
  }
  const std::string store = absolute_path(options.store);
  const auto io = make_posix_io();
  TRY_ASSIGN(std::optional<NewKeys> keys, make_keys(options, store_id));
  TRY(Engine::create(*io, store, *text, kSpareSegments, std::move(keys)));
  TRY_ASSIGN(const Bytes key_text,
             io->read_file(store + "/" + std::string(kPublicKeyFileName), 4 * kKiB));
  const std::string key = key_text.substr(0, key_text.find('\n'));
  if (context.json) {
    TRY(print(Json{{"store", store}, {"verification_key", key}}.dump() + "\n"));
  } else {
    TRY(
        print(fmt::format("Made a store in {}. Settings: {}/config.toml\n"
                          "{}"
                          "Next: amberfs mount {} DIR   (--adopt takes in what is in DIR)\n",
                          store, store, describe_key(key), options.store)));
    if (options.encrypt) {
      TRY(
          print(fmt::format("Encrypted. Keep copies of the key (or the passphrase) and of "
                            "{}/keys.json elsewhere: without both nothing can be read.\n",
                            store)));
    }
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
  command->add_flag("--encrypt", options->encrypt,
                    "everything in it can be read with a key only (docs/SECURITY.md)");
  command->footer(
      "Everything can be set later in STORE/config.toml, while it is not mounted.\n"
      "  amberfs init /var/lib/logstore --exact 'audit/**'");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run(*options, context); });
}

}  // namespace amberfs::tools
