// SPDX-License-Identifier: Apache-2.0
// amberfs status, verify, gc: how a store is.
#include "tools/command.h"
#include "tools/damage_output.h"
#include "tools/output.h"
#include "tools/session.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

Status print_status(const Json& status) {
  const Json& live = status["live"];
  const Json& blocks = status["blocks"];
  const Json& journal = status["journal"];
  const Json& snapshots = status["snapshots"];
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"store", status.value("store", "")});
  rows.push_back({"mounted", status.value("mounted", false)
                                 ? fmt::format("on {} by pid {}", status.value("mount_point", ""),
                                               status.value("server_pid", 0))
                                 : "no"});
  rows.push_back(
      {"live", fmt::format("{} files and directories, {}, {} open", live.value("inodes", 0ULL),
                           size_of(live, "logical_bytes"), live.value("open_files", 0ULL))});
  std::string latest = "none";
  if (snapshots.contains("latest")) {
    latest = fmt::format("{}, newest {}", snapshots.value("count", 0ULL),
                         snapshots["latest"].value("time", ""));
  }
  rows.push_back({"snapshots", latest});
  rows.push_back(
      {"packs", fmt::format("{} in {} packs holding {} ({:.1f} : 1)", size_of(blocks, "pack_bytes"),
                            blocks.value("packs", 0ULL), size_of(blocks, "plain_bytes"),
                            blocks.value("compression_ratio", 0.0))});
  rows.push_back(
      {"journal",
       fmt::format("{}, durable up to batch {} of {}", size_of(journal, "bytes"),
                   journal.value("durable_seq", 0ULL), journal.value("last_seq", 0ULL))});
  rows.push_back({"last commit", status["commits"].value("last", "")});
  const Json& disk = status["disk"];
  rows.push_back(
      {"disk", fmt::format("{}: {} available, {} for new data; reserve {}", disk.value("state", ""),
                           size_of(disk, "available_bytes"), size_of(disk, "headroom_bytes"),
                           size_of(disk, "reserve_bytes"))});
  const Json& chain = status["chain"];
  if (chain.value("sealed", false)) {
    const Json& head = chain["head"];
    rows.push_back({"chain", fmt::format("{} links, head {}", chain.value("links", 0ULL),
                                         head.is_string() ? head.get<std::string>() : "none")});
  } else {
    rows.push_back({"chain", "none: snapshots are not signed"});
  }
  rows.push_back({"memory", size_of(status, "memory_bytes")});
  if (status["problems"].empty()) rows.push_back({"health", "good"});
  for (const Json& problem : status["problems"]) {
    rows.push_back({"PROBLEM", problem.get<std::string>()});
  }
  return print(format_table(rows));
}

Result<int> run_status(const std::string& target, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, {{"command", "status"}}));
  TRY(context.json ? print(answer.json.dump() + "\n") : print_status(answer.json));
  return kDone;
}

Status print_chain(const Json& chain) {
  if (!chain.value("sealed", false)) {
    return print("The store has no chain of signed snapshots; amberfs seal begins one.\n");
  }
  const bool proved = chain.value("key_given", false);
  const Json& head = chain["head"];
  TRY(print(fmt::format(
      "Chain: {} links, head {}, {} forgotten with a tombstone, {} older than the chain\n",
      chain.value("links", 0ULL), head.is_string() ? head.get<std::string>() : "none",
      chain.value("forgotten", 0ULL), chain.value("unsealed", 0ULL))));
  return print(proved ? "Note the head down elsewhere: verify --head finds a store that was rolled "
                        "back behind it.\n"
                      : "Checked with the store's own key, which proves nothing against who can "
                        "write the store: give --key.\n");
}

struct VerifyCommand {
  std::string target;
  bool full = false;
  bool resume = false;
  std::uint64_t rate_mib = 0;
  std::string key_or_file;
  std::string head;
};

Result<int> run_verify(const VerifyCommand& command, const Context& context) {
  const bool full = command.full;
  TRY_ASSIGN(const std::string key, read_key(command.key_or_file));
  const Json request{{"command", "verify"},
                     {"full", full},
                     {"key", key},
                     {"head", command.head},
                     {"resume", command.resume},
                     {"rate", command.rate_mib * kMiB}};
  Result<Session::Answer> asked = ask(command.target, request);
  if (!asked && asked.error().code == Errc::kJournalDamaged) {
    // Nobody may use it, but all the rest can be looked at.
    asked =
        ask(command.target, request, {.on_journal_damage = JournalOptions::OnDamage::kOnlyLook});
  }
  TRY_ASSIGN(const Session::Answer answer, std::move(asked));
  const bool good = answer.json.value("ok", false);
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
  } else if (good) {
    TRY(print(fmt::format("All is well: {} snapshots, {} tree nodes, {} file extents{}\n",
                          answer.json.value("snapshots", 0ULL), answer.json.value("nodes", 0ULL),
                          answer.json.value("extents", 0ULL),
                          full ? ", every block's content compared with its id" : "")));
  } else {
    TRY(print_damage(answer.json["damage"]));
    TRY(print_what_to_do(answer.json["damage"]));
  }
  if (!context.json) TRY(print_chain(answer.json["chain"]));
  return good ? kDone : kNo;
}

Result<int> run_gc(const std::string& target, int level, const Context& context) {
  TRY_ASSIGN(auto answer, ask(target, {{"command", "gc"}, {"level", level}}));
  const Json& report = answer.json;
  const bool good = report["damage"].empty();
  if (context.json) {
    TRY(print(report.dump() + "\n"));
    return good ? kDone : kNo;
  }
  TRY(print(fmt::format("Packs: {} in {} before, {} in {} now; {} blocks dropped, {} packed anew\n",
                        size_of(report, "bytes_before"), report.value("packs_before", 0ULL),
                        size_of(report, "bytes_after"), report.value("packs_after", 0ULL),
                        report.value("blocks_dropped", 0ULL), report.value("blocks_moved", 0ULL))));
  if (report.value("stopped", false)) TRY(print("It was stopped before it was done.\n"));
  TRY(print_damage(report["damage"]));
  return good ? kDone : kNo;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("status", "sizes, journal, snapshots, health");
  auto target = std::make_shared<std::string>();
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  add_json_flag(*command, context);
  set_run(*command, context, [target, &context] { return run_status(*target, context); });
}

void add_verify(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("verify", "check that everything stored is intact");
  auto options = std::make_shared<VerifyCommand>();
  command->add_option("TARGET", options->target, "a store or a mounted directory")->required();
  command->add_flag("--full", options->full, "also decode every block and compare it with its id");
  command->add_option("--rate", options->rate_mib, "read at most so many MiB of packs a second");
  command->add_flag("--resume", options->resume,
                    "go on behind the packs one looked at that was cut short");
  command->add_option("--key", options->key_or_file,
                      "the verification key that init printed (amberfs-key:…), or a file with it: "
                      "proves that no snapshot was removed, altered or forged");
  command->add_option("--head", options->head,
                      "a head of the chain noted down before (SEQUENCE:HASH): it must be in it");
  command->footer(
      "Names each damaged file, snapshot and byte range, and what can be read around it; exit\n"
      "status 1 when there is one.\n"
      "  amberfs verify /var/log --full --key logs.pub --head "
      "4711:9f86d081884c7d659a2feaa0c55ad015");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run_verify(*options, context); });
}

void add_gc(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("gc", "give back what nothing names any more; pack the rest");
  auto target = std::make_shared<std::string>();
  auto level = std::make_shared<int>(22);
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->add_option("--level", *level, "how hard to compress: 1 (fast) to 22 (small)")
      ->check(CLI::Range(1, 22));
  command->footer(
      "Every snapshot stays, and programs go on meanwhile. Needs room on the disk for what is "
      "packed anew.");
  add_json_flag(*command, context);
  set_run(*command, context,
          [target, level, &context] { return run_gc(*target, *level, context); });
}

}  // namespace amberfs::tools
