// SPDX-License-Identifier: Apache-2.0
// amberfs repair: packs from their parity, the index and the head from packs, the journal.
#include "blockstore/block_store.h"
#include "blockstore/index.h"
#include "fs/config.h"
#include "fs/head_format.h"
#include "fs/journal_repair.h"
#include "snapshot/manifest.h"
#include "tools/command.h"
#include "tools/damage_output.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/store_key.h"

#include <fmt/format.h>

namespace amberfs::tools {
namespace {

struct RepairOptions {
  std::string target;
  bool index = false;
  bool packs = false;
  bool head = false;
  bool journal = false;
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

Json journal_json(const JournalRepair& found, const RepairOptions& options) {
  return {{"loss", found.loss ? Json(to_text(*found.loss)) : Json()},
          {"batches_set_aside", found.batches},
          {"first", found.batches > 0 ? Json(format_time(found.first_ns)) : Json()},
          {"last", found.batches > 0 ? Json(format_time(found.last_ns)) : Json()},
          {"paths", found.paths},
          {"path_count", found.path_count},
          {"dry_run", options.dry_run}};
}

Status print_journal(const JournalRepair& found) {
  if (!found.loss) return print("Nothing is wrong with the journal.\n");
  TRY(print("The journal: " + to_text(*found.loss) + "\n"));
  if (found.batches == 0) return print("Nothing behind that can be read as batches.\n");
  TRY(print(fmt::format("Behind the damage {} batches can be read, from {} to {}; they changed:\n",
                        found.batches, format_time(found.first_ns), format_time(found.last_ns))));
  for (const std::string& path : found.paths) TRY(print("  " + path + "\n"));
  if (found.path_count > found.paths.size()) {
    TRY(print(fmt::format("  and {} more\n", found.path_count - found.paths.size())));
  }
  return ok();
}

// Of a mounted store: it goes on without what was lost already, so only the message is ended.
Result<int> forget_loss(const RepairOptions& options, const Context& context) {
  TRY_ASSIGN(auto answer,
             ask(options.target, {{"command", "forget_loss"}, {"dry_run", options.dry_run}}));
  if (context.json) {
    TRY(print(answer.json.dump() + "\n"));
    return kDone;
  }
  const Json& loss = answer.json["loss"];
  if (!loss.is_string()) {
    TRY(print("Nothing is wrong with the journal.\n"));
    return kDone;
  }
  TRY(print("The journal: " + loss.get<std::string>() + "\n"));
  if (!options.dry_run) TRY(print("status and verify will not say so any more.\n"));
  return kDone;
}

// What going on would lose is said before it is done. Nothing is removed.
Result<int> repair_journal_of(const RepairOptions& options, const Context& context) {
  TRY_ASSIGN(const auto mounted, find_mounted(options.target));
  if (mounted) return forget_loss(options, context);
  const std::string store = absolute_path(options.target);
  const auto io = make_posix_io();
  TRY_ASSIGN(const StoreKey key, unlock_store(*io, store));
  TRY_ASSIGN(JournalRepair found, look_at_journal(*io, store, key.cipher));
  if (!context.json) TRY(print_journal(found));
  if (!options.dry_run && found.loss) {
    TRY_ASSIGN(found, repair_journal(*io, store, key.cipher));
    if (!context.json) {
      TRY(print("The store goes on with what is before. "));
      TRY(print(found.loss->kept_in.empty()
                    ? "There was nothing to keep of what is behind.\n"
                    : "What is behind is kept in " + found.loss->kept_in + "\n"));
    }
  }
  if (context.json) TRY(print(journal_json(found, options).dump() + "\n"));
  return kDone;
}

Result<int> run_repair(const RepairOptions& options, const Context& context) {
  if (options.packs) return repair_packs(options, context);
  if (options.journal) return repair_journal_of(options, context);
  return repair_index(options, context);
}

}  // namespace

void add_repair(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "repair", "heal packs from parity; make the index anew; go on without damaged journal");
  auto options = std::make_shared<RepairOptions>();
  command->add_option("TARGET", options->target, "a store, or (--packs) a mounted directory")
      ->required();
  auto* what = command->add_option_group("what");
  what->add_flag("--packs", options->packs, "make again what is damaged in packs, from parity");
  what->add_flag("--index", options->index, "make the index anew; the store is not mounted");
  what->add_flag("--head", options->head,
                 "the newest whole commit in the packs becomes the head; not mounted");
  what->add_flag(
      "--journal", options->journal,
      "go on with what is before damage in the journal; of a mounted store: it is known");
  what->require_option(1);
  command->add_flag("--dry-run", options->dry_run, "only say what would be done");
  command->footer(
      "Packs are repaired in place, and only by bytes that are proved to be those that were there. "
      "The index is a cache of the packs: losing it loses nothing. A damaged journal: what is "
      "behind the damage is kept in STORE/journal/set-aside-TIME.");
  add_json_flag(*command, context);
  set_run(*command, context, [options, &context] { return run_repair(*options, context); });
}

}  // namespace amberfs::tools
