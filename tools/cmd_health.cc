// SPDX-License-Identifier: Apache-2.0
// amberfs status, verify, gc, repair: how a store is.
#include "blockstore/block_store.h"
#include "fs/config.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/store_key.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

std::string size_of(const Json& json, const char* key) {
  return human_size(json.value(key, 0ULL));
}

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

Status print_damage(const Json& damage) {
  for (const Json& finding : damage) {
    std::string line = finding.value("kind", "") + " " + finding.value("object", "");
    if (!finding.value("snapshot", "").empty()) line += " in " + finding.value("snapshot", "");
    if (finding.value("size", 0ULL) > 0) {
      line += fmt::format(", bytes {}-{}", finding.value("offset", 0ULL),
                          finding.value("offset", 0ULL) + finding.value("size", 0ULL) - 1);
    }
    TRY(print("damaged: " + line + ": " + finding.value("what", "") + "\n"));
  }
  return ok();
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

Result<int> run_verify(const std::string& target, bool full, const std::string& key_or_file,
                       const std::string& head, const Context& context) {
  TRY_ASSIGN(const std::string key, read_key(key_or_file));
  TRY_ASSIGN(auto answer,
             ask(target, {{"command", "verify"}, {"full", full}, {"key", key}, {"head", head}}));
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

Result<int> run_repair(const std::string& target, const Context& context) {
  const std::string store = absolute_path(target);
  const auto io = make_posix_io();
  TRY_ASSIGN(Config config, read_config(*io, store));
  TRY_ASSIGN(StoreKey key, unlock_store(*io, store));
  config.blocks.cipher = std::move(key.cipher);
  TRY_ASSIGN(FileLock lock, FileLock::acquire(store + "/lock"));
  TRY_ASSIGN(RebuildReport report, BlockStore::rebuild_index(*io, store, config.blocks));
  Json damage = Json::array();
  for (const Damage& finding : report.damage) {
    damage.push_back({{"kind", "frame"},
                      {"object", finding.file},
                      {"offset", finding.offset},
                      {"size", finding.size},
                      {"what", finding.what}});
  }
  if (context.json) {
    TRY(print(Json{{"packs", report.packs},
                   {"blocks", report.blocks},
                   {"torn_bytes", report.torn_bytes},
                   {"head_found", report.head_found},
                   {"damage", damage}}
                  .dump() +
              "\n"));
  } else {
    TRY(print(
        fmt::format("Made the index anew: {} blocks in {} packs\n", report.blocks, report.packs)));
    TRY(print_damage(damage));
  }
  return damage.empty() && report.head_found ? kDone : kNo;
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
  auto target = std::make_shared<std::string>();
  auto full = std::make_shared<bool>(false);
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->add_flag("--full", *full, "also decode every block and compare it with its id");
  auto key = std::make_shared<std::string>();
  auto head = std::make_shared<std::string>();
  command->add_option("--key", *key,
                      "the verification key that init printed (amberfs-key:…), or a file with it: "
                      "proves that no snapshot was removed, altered or forged");
  command->add_option("--head", *head,
                      "a head of the chain noted down before (SEQUENCE:HASH): it must be in it");
  command->footer(
      "Names each damaged file, snapshot and byte range; exit status 1 when there is one.\n"
      "  amberfs verify /var/log --full --key logs.pub --head "
      "4711:9f86d081884c7d659a2feaa0c55ad015");
  add_json_flag(*command, context);
  set_run(*command, context,
          [=, &context] { return run_verify(*target, *full, *key, *head, context); });
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

void add_repair(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("repair", "make the index anew from the packs");
  auto target = std::make_shared<std::string>();
  auto index = std::make_shared<bool>(false);
  command->add_option("STORE", *target, "a store that is not mounted")->required();
  command->add_flag("--index", *index, "rebuild the index")->required();
  command->footer("The index is a cache of the packs: losing it loses nothing.");
  add_json_flag(*command, context);
  set_run(*command, context, [target, index, &context] { return run_repair(*target, context); });
}

}  // namespace amberfs::tools
