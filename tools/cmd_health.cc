// SPDX-License-Identifier: Apache-2.0
// amberfs status, verify, gc, repair: how a store is.
#include "blockstore/block_store.h"
#include "blockstore/index.h"
#include "fs/config.h"
#include "fs/head_format.h"
#include "snapshot/manifest.h"
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
    line += ": " + finding.value("what", "");
    for (const char* around : {"readable_before", "readable_behind"}) {
      if (!finding.contains(around)) continue;
      const auto begin = finding[around][0].get<std::uint64_t>();
      const auto end = finding[around][1].get<std::uint64_t>();
      if (end > begin) line += fmt::format("; bytes {}-{} can be read", begin, end - 1);
    }
    TRY(print("damaged: " + line + "\n"));
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
  TRY_ASSIGN(auto answer, ask(command.target, {{"command", "verify"},
                                               {"full", full},
                                               {"key", key},
                                               {"head", command.head},
                                               {"resume", command.resume},
                                               {"rate", command.rate_mib * kMiB}}));
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

struct RepairOptions {
  std::string target;
  bool index = false;
  bool packs = false;
  bool head = false;
  bool dry_run = false;
};

// A head as a person knows it.
std::string describe_head(const Bytes& raw) {
  const auto head = decode_store_head(raw);
  return head ? "of the commit of " + format_time(head->commit_time_ns) : "that is damaged";
}

Json rebuild_json(const RebuildReport& report, const RepairOptions& options) {
  Json damage = Json::array();
  for (const Damage& finding : report.damage) {
    damage.push_back({{"kind", "frame"},
                      {"object", finding.file},
                      {"offset", finding.offset},
                      {"size", finding.size},
                      {"what", finding.what}});
  }
  return {{"packs", report.packs},
          {"blocks", report.blocks},
          {"torn_bytes", report.torn_bytes},
          {"head_found", report.head_found},
          {"head", report.head_found ? Json(describe_head(report.head)) : Json()},
          {"old_head", report.old_head ? Json(describe_head(*report.old_head)) : Json()},
          {"dry_run", options.dry_run},
          {"replaced", report.replaced},
          {"kept", report.kept},
          {"damage", damage}};
}

Status print_rebuild(const RebuildReport& report, const RepairOptions& options) {
  TRY(print(fmt::format("Head in the index: {}; newest whole one in the packs: {}\n",
                        report.old_head ? describe_head(*report.old_head) : "none",
                        report.head_found ? describe_head(report.head) : "none")));
  if (report.replaced) {
    TRY(print(
        fmt::format("Made the index anew: {} blocks in {} packs\n", report.blocks, report.packs)));
    return report.kept.empty() ? ok() : print("The old index is kept: " + report.kept + "\n");
  }
  const bool needed = !options.head || (report.head_found && report.old_head != report.head);
  return print(options.dry_run && needed
                   ? fmt::format("The index would be made anew: {} blocks in {} packs\n",
                                 report.blocks, report.packs)
               : options.dry_run ? "Nothing would be changed.\n"
                                 : "Nothing was changed.\n");
}

// Beside, never over: the old index is kept under another name.
Result<int> repair_index(const RepairOptions& options, const Context& context) {
  const std::string store = absolute_path(options.target);
  const auto io = make_posix_io();
  TRY_ASSIGN(Config config, read_config(*io, store));
  TRY_ASSIGN(StoreKey key, unlock_store(*io, store));
  config.blocks.cipher = std::move(key.cipher);
  TRY_ASSIGN(FileLock lock, FileLock::acquire(store + "/lock"));
  if (!context.json) {
    const char* when = options.head ? ", if its head is another one than theirs" : "";
    TRY(print(fmt::format("From all packs an index is made beside {}/{}{}{}\n", store, kIndexFile,
                          options.dry_run ? ", and removed again" : ", which it replaces", when)));
  }
  TRY_ASSIGN(RebuildReport report, BlockStore::rebuild_index(*io, store, config.blocks,
                                                             {.dry_run = options.dry_run,
                                                              .only_for_head = options.head}));
  const Json json = rebuild_json(report, options);
  if (context.json) {
    TRY(print(json.dump() + "\n"));
  } else {
    TRY(print_rebuild(report, options));
    TRY(print_damage(json["damage"]));
  }
  return report.damage.empty() && report.head_found ? kDone : kNo;
}

Status print_ranges(const char* prefix, const Json& ranges) {
  for (const Json& range : ranges) {
    TRY(print(fmt::format("{} {}, {} bytes at {}: {}\n", prefix, range.value("object", ""),
                          range.value("size", 0ULL), range.value("offset", 0ULL),
                          range.value("what", ""))));
  }
  return ok();
}

Status print_scrub(const Json& report) {
  const bool done = !report.value("dry_run", false);
  TRY(print_ranges(done ? "repaired:" : "to repair:", report["repaired"]));
  TRY(print_ranges(done ? "parity was damaged:" : "parity to be made anew:", report["parity"]));
  TRY(print_ranges("damaged, parity does not bring it back:", report["lost"]));
  return print(
      fmt::format("{} looked at; {} places {} from parity, {} lost; parity {} of {} packs\n",
                  size_of(report, "bytes"), report.value("repaired_count", 0ULL),
                  done ? "repaired" : "to be repaired", report.value("lost_count", 0ULL),
                  done ? "written" : "to be written", report.value("parity_written", 0ULL)));
}

// In place, from parity; mounted or not. What will be done is said before it is done.
Result<int> repair_packs(const RepairOptions& options, const Context& context) {
  Json report;
  for (const bool dry_run : {true, false}) {
    if (!dry_run && options.dry_run) break;
    if (dry_run && !options.dry_run && context.json) continue;
    TRY_ASSIGN(auto answer, ask(options.target, {{"command", "scrub"}, {"dry_run", dry_run}}));
    report = std::move(answer.json);
    if (!context.json) TRY(print_scrub(report));
  }
  if (context.json) TRY(print(report.dump() + "\n"));
  return report.value("lost_count", 0ULL) == 0 ? kDone : kNo;
}

Result<int> run_repair(const RepairOptions& options, const Context& context) {
  if (options.packs) return repair_packs(options, context);
  return repair_index(options, context);
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

void add_repair(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("repair", "heal packs from parity; make the index anew");
  auto options = std::make_shared<RepairOptions>();
  command->add_option("TARGET", options->target, "a store, or (--packs) a mounted directory")
      ->required();
  auto* what = command->add_option_group("what");
  what->add_flag("--packs", options->packs, "make again what is damaged in packs, from parity");
  what->add_flag("--index", options->index, "make the index anew; the store is not mounted");
  what->add_flag("--head", options->head,
                 "the newest whole commit in the packs becomes the head; not mounted");
  what->require_option(1);
  command->add_flag("--dry-run", options->dry_run, "only say what would be done");
  command->footer(
      "Packs are repaired in place, and only by bytes that are proved to be those that were there. "
      "The index is a cache of the packs: losing it loses nothing.");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run_repair(*options, context); });
}

}  // namespace amberfs::tools
