// SPDX-License-Identifier: Apache-2.0
// amberfs forget, seal: changes to the sealed chain of snapshots other than taking one.
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

Result<int> run_forget(const std::string& target, const Json& request, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, request));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  for (const Json& snapshot : answer.json["forgotten"]) {
    TRY(print(fmt::format("Forgot {} at {}\n", snapshot.value("id", "").substr(0, 12),
                          snapshot.value("time", ""))));
  }
  const Json& tombstone = answer.json["tombstone"];
  TRY(print(fmt::format("{} #{} says so. Their space comes back with: amberfs gc {}\n",
                        tombstone.value("signed", false) ? "The signed tombstone" : "The note",
                        tombstone.value("sequence", 0ULL), target)));
  return kDone;
}

Result<int> run_mend(const std::string& target, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, {{"command", "mend_chain"}}));
  TRY(print(context.json ? answer.json.dump() + "\n"
                         : fmt::format("Mended {} records of the chain from their documents\n",
                                       answer.json.value("mended", 0ULL))));
  return kDone;
}

Result<int> run_seal(const std::string& target, bool anew, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, {{"command", "seal"}, {"anew", anew}}));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  TRY(
      print("Every snapshot is signed from now on; those that were there are named in the first "
            "link.\n" +
            describe_key(answer.json.value("key", ""))));
  return kDone;
}

}  // namespace

Result<std::string> read_key(const std::string& key_or_file) {
  if (key_or_file.empty() || parse_public_key(key_or_file)) return key_or_file;
  if (key_or_file.starts_with("amberfs-key:")) {
    return fail(Errc::kBadRequest, 0, "read a verification key: amberfs-key: and 64 hex digits",
                key_or_file);
  }
  constexpr std::uint64_t kSizeMax = 4 * kKiB;
  TRY_ASSIGN(const Bytes text, make_posix_io(Links::kFollow)->read_file(key_or_file, kSizeMax));
  const auto key = parse_public_key(text);
  if (!key) {
    return fail(Errc::kBadRequest, 0, "read a verification key: there is none (amberfs-key:…)",
                key_or_file);
  }
  return to_text(*key);
}

std::string describe_key(const std::string& key) {
  return fmt::format(
      "Verification key: {}\n"
      "Keep it elsewhere, on paper or another machine: amberfs verify --key checks with it that "
      "no\n"
      "snapshot was removed, altered or forged. It is no secret.\n",
      key);
}

void add_forget(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("forget", "give snapshots up");
  auto target = std::make_shared<std::string>();
  auto request = std::make_shared<Json>(Json{{"command", "forget"}, {"snaps", Json::array()}});
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command
      ->add_option_function<std::vector<std::string>>(
          "SNAP", [request](const std::vector<std::string>& snaps) { (*request)["snaps"] = snaps; },
          "which snapshots")
      ->required();
  command->add_option_function<std::string>(
      "--reason", [request](const std::string& text) { (*request)["reason"] = text; },
      "a text kept in the tombstone");
  command->footer(
      "A signed tombstone stays in the chain, so that this can be told from a theft.\n"
      "  amberfs forget /var/log before-upgrade --reason 'disk space'");
  add_json_flag(*command, context);
  set_run(*command, context,
          [target, request, &context] { return run_forget(*target, *request, context); });
}

void add_seal(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("seal", "begin the signed chain of snapshots");
  auto target = std::make_shared<std::string>();
  command->add_option("TARGET", *target, "a store made by an older amberfs, or where it is mounted")
      ->required();
  auto mend = std::make_shared<bool>(false);
  command->add_flag("--mend", *mend,
                    "instead: write STORE/chain anew, with what the snapshots have of it");
  auto anew = std::make_shared<bool>(false);
  command
      ->add_flag("--anew", *anew,
                 "begin another chain, with another key, where the one that is there cannot go on")
      ->excludes("--mend");
  command->footer(
      "A store made by this version has its chain from the first snapshot on. --anew is for one "
      "whose\n"
      "signing.key is lost: what the old key proved, the new one does not; keep both, and "
      "STORE/chain.before-…");
  add_json_flag(*command, context);
  set_run(*command, context, [target, mend, anew, &context] {
    return *mend ? run_mend(*target, context) : run_seal(*target, *anew, context);
  });
}

}  // namespace amberfs::tools
