// SPDX-License-Identifier: Apache-2.0
// Commands: status, verify, gc, scrub.
#include "fs/audit_notes.h"
#include "fs/service_call.h"
#include "fs/verify_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>

namespace amberfs {
namespace {

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

double ratio(std::uint64_t plain, std::uint64_t stored) {
  return stored == 0 ? 0.0 : static_cast<double>(plain) / static_cast<double>(stored);
}

const auto kStarted = std::chrono::steady_clock::now();

std::uint64_t uptime_seconds() {
  const auto age = std::chrono::steady_clock::now() - kStarted;
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

struct DiskState {
  SpaceReport space;
  std::string state;   // ok, low, full, readonly
  std::string reason;  // "" when it is ok
};

DiskState disk_state(Engine& engine) {
  DiskState disk;
  disk.space = engine.space().refresh();
  disk.state = to_text(disk.space.state);
  if (const auto broken = engine.journal().broken()) {
    disk.state = "readonly";
    disk.reason = "nothing can be changed until it is mounted anew: " + broken->to_string();
  } else if (disk.space.state == SpaceState::kLow) {
    disk.reason = fmt::format("the store's disk is nearly full: {} bytes left for new data",
                              disk.space.headroom_bytes);
  } else if (disk.space.state == SpaceState::kFull) {
    disk.reason = fmt::format(
        "the store's disk is full: new data is refused until there is room ({} bytes available, "
        "{} needed for what was taken already, reserve {} of {})",
        disk.space.available_bytes, disk.space.pending_bytes + disk.space.floor_bytes,
        disk.space.reserve_bytes, disk.space.reserve_wanted_bytes);
  }
  return disk;
}

Json to_json(const DiskState& disk) {
  return {{"total_bytes", disk.space.total_bytes},
          {"available_bytes", disk.space.available_bytes},
          {"headroom_bytes", disk.space.headroom_bytes},
          {"pending_bytes", disk.space.pending_bytes},
          {"reserve_bytes", disk.space.reserve_bytes},
          {"reserve_wanted_bytes", disk.space.reserve_wanted_bytes},
          {"kernel_dirty_max_bytes", disk.space.dirty_max_bytes},
          {"state", disk.state},
          {"reason", disk.reason}};
}

Json to_json(const ScrubPass& pass) {
  if (pass.begin_ns == 0) return nullptr;
  return {{"begin", format_time(pass.begin_ns)},
          {"end", pass.end_ns == 0 ? Json() : Json(format_time(pass.end_ns))},
          {"bytes", pass.bytes},
          {"repaired", pass.repaired},
          {"lost", pass.lost}};
}

Json scrub_status(Engine& engine, const BlockStoreStats& stats) {
  const BlockStore::ScrubPasses passes = engine.blocks().scrub_passes();
  return {
      {"last", to_json(passes.last)},       {"current", to_json(passes.current)},
      {"total_bytes", stats.pack_bytes},    {"damaged_blocks", stats.damaged_blocks},
      {"parity_bytes", stats.parity_bytes}, {"packs_without_parity", stats.packs_without_parity}};
}

// What is known of damage, in words.
void add_damage_problem(Engine& engine, const BlockStoreStats& stats, Json& list) {
  const BlockStore::ScrubPasses passes = engine.blocks().scrub_passes();
  const std::uint64_t places = std::max(passes.last.lost, passes.current.lost);
  if (stats.damaged_blocks == 0 && places == 0) return;
  list.push_back(fmt::format(
      "the store is damaged: {} blocks cannot be read, the newest scrub met {} places that parity "
      "does not bring back: amberfs verify names the files",
      stats.damaged_blocks, places));
}

// Until somebody says that it is known.
void add_loss_problem(Engine& engine, Json& list) {
  const auto loss = engine.journal().loss();
  if (!loss) return;
  list.push_back(
      fmt::format("{}: {}; amberfs audit has more, amberfs repair --journal ends this message",
                  format_time(loss->found_ns), to_text(*loss)));
}

// What an administrator should know of, in words; empty when all is well.
Json problems(Engine& engine, const DiskState& disk, const BlockStoreStats& stats) {
  Json list = Json::array();
  if (!disk.reason.empty()) list.push_back(disk.reason);
  add_damage_problem(engine, stats, list);
  add_loss_problem(engine, list);
  const Engine::Health health = engine.health();
  if (!health.last_error.empty()) list.push_back(health.last_error);
  if (std::string chain = engine.chain().problem(); !chain.empty()) list.push_back(chain);
  if (const std::string audit = engine.audit().problem(); !audit.empty()) list.push_back(audit);
  if (const MountHooks* hooks = engine.hooks()) {
    const pid_t keeper = hooks->supervision().keeper_pid;
    if (keeper != 0 && ::getppid() != keeper) {
      list.push_back("the keeper is gone: if the server dies now, the mount dies with it");
    }
  }
  return list;
}

// What is wrong with it goes to `problems`, and the rest of the status is as good as ever.
Json audit_status(Engine& engine, Json& problems) {
  std::int64_t snapshot_ns = 0;
  if (const auto newest = engine.catalog().newest_sequence()) {
    const auto manifest = engine.catalog().by_sequence(*newest);
    if (manifest) snapshot_ns = manifest->time_ns;
  }
  const auto counts = engine.audit().counts(snapshot_ns);
  if (!counts) {
    problems.push_back("evidence of tampering cannot be read: " + counts.error().to_string());
    return Json::object();
  }
  if (counts->last_day > 0) {
    problems.push_back(fmt::format(
        "in the last 24 hours bytes of logs were taken away {} times: see amberfs audit",
        counts->last_day));
  }
  return {{"tampering", counts->events},
          {"tampering_last_day", counts->last_day},
          {"tampering_since_snapshot", counts->since_snapshot},
          {"rotations_kept", counts->rotations},
          {"kept_bytes", counts->kept_bytes}};
}

Result<Json> snapshot_status(Engine& engine) {
  Json json{{"count", engine.catalog().count()}};
  if (const auto newest = engine.catalog().newest_sequence()) {
    TRY_ASSIGN(Manifest manifest, engine.catalog().by_sequence(*newest));
    json["latest"] = to_json(manifest);
  }
  return json;
}

void add_supervision(const Supervision& supervision, Json& json) {
  if (supervision.keeper_pid != 0) json["keeper_pid"] = supervision.keeper_pid;
  json["server_binary"] = supervision.binary;
  json["server_life"] = supervision.life;
  json["last_death"] = supervision.last_death;
}

Result<Reply> run_status(const Call& call) {
  Engine& engine = call.engine();
  MountHooks* hooks = engine.hooks();
  const Head head = engine.head();
  // A damaged index does not keep the rest from being told, least of all that it is damaged.
  const auto counted = engine.blocks().stats();
  if (!counted && counted.error().code != Errc::kIndexDamaged) return fail(counted.error());
  const BlockStoreStats stats = counted ? *counted : BlockStoreStats{};
  const DiskState disk = disk_state(engine);
  TRY_ASSIGN(Json snapshots, snapshot_status(engine));
  const TreeTotals totals = engine.live().totals();
  const JournalPosition tail = engine.journal().tail();
  Json json{{"store", engine.store()},
            {"id", engine.config().store_id},
            {"format", engine.config().format_version},
            {"mounted", hooks != nullptr},
            {"mount_point", hooks != nullptr ? Json(hooks->mount_point()) : Json()},
            {"server_pid", hooks != nullptr ? Json(::getpid()) : Json()},
            {"keeper_pid", Json()},
            {"uptime_seconds", hooks != nullptr ? Json(uptime_seconds()) : Json()},
            {"snapshots", std::move(snapshots)}};
  if (hooks != nullptr) add_supervision(hooks->supervision(), json);
  json["live"] = {{"inodes", totals.inode_count},
                  {"logical_bytes", totals.logical_bytes},
                  {"open_files", engine.filesystem().open_file_count()},
                  {"uncommitted", engine.live().dirty()},
                  {"overlay_bytes", engine.live().overlay_bytes()}};
  json["blocks"] = {{"count", stats.block_count},
                    {"packs", stats.pack_count},
                    {"pack_bytes", stats.pack_bytes},
                    {"plain_bytes", stats.plain_bytes},
                    {"compression_ratio", ratio(stats.plain_bytes, stats.pack_bytes)},
                    {"cache_bytes", stats.cache_bytes},
                    {"cache_hits", stats.cache_hits},
                    {"cache_misses", stats.cache_misses},
                    {"dedup_hits", stats.dedup_hits}};
  json["journal"] = {{"bytes", engine.journal().size_bytes()},
                     {"appended_bytes", engine.journal().appended_bytes()},
                     {"segment", tail.segment},
                     {"last_seq", tail.next_seq - 1},
                     {"durable_seq", engine.journal().durable_seq()},
                     {"replay_from_seq", head.journal.next_seq}};
  json["commits"] = {{"count", engine.health().commits},
                     {"last", format_time(head.commit_time_ns)},
                     {"root", head.root.to_hex()}};
  json["scrub"] = scrub_status(engine, stats);
  json["disk"] = to_json(disk);
  json["chain"] = chain_status(engine);
  json["memory_bytes"] = resident_bytes();
  json["problems"] = problems(engine, disk, stats);
  if (!counted) {
    json["problems"].push_back("blocks cannot be counted: " + counted.error().to_string());
  }
  json["audit"] = audit_status(engine, json["problems"]);
  return make_reply(json);
}

Json to_json(const VerifyFinding& finding) {
  Json json{{"kind", finding.kind},     {"object", finding.object}, {"snapshot", finding.snapshot},
            {"offset", finding.offset}, {"size", finding.size},     {"what", finding.what}};
  if (finding.kind == "file") {
    json["readable_before"] = {finding.before_begin, finding.offset};
    json["readable_behind"] = {finding.offset + finding.size, finding.behind_end};
  }
  return json;
}

Result<Reply> run_verify(const Call& call) {
  TRY_ASSIGN(bool full, call.flag("full"));
  const auto progress = [&](std::uint64_t done, std::uint64_t total) {
    if (!call.progress()) return;
    call.progress()(Json{{"what", "verify"}, {"done", done}, {"total", total}}.dump());
  };
  VerifyOptions options{.full = full, .progress = progress};
  TRY_ASSIGN(options.rate_bytes_per_s, call.number("rate"));
  TRY_ASSIGN(options.resume, call.flag("resume"));
  options.keep_going = [&] { return !call.engine().is_stopping(); };
  TRY_ASSIGN(VerifyReport report, verify_store(call.engine(), options));
  Json damage = Json::array();
  for (const VerifyFinding& finding : report.findings) {
    damage.push_back(to_json(finding));
  }
  Json reply{{"ok", report.ok()},
             {"full", full},
             {"snapshots", report.snapshots},
             {"nodes", report.nodes},
             {"extents", report.blocks},
             {"damage_count", report.finding_count},
             {"damage", std::move(damage)}};
  TRY(add_chain_verification(call, reply));
  if (!reply["ok"].get<bool>()) note_damage(call.engine().audit(), reply["damage"], full);
  return make_reply(reply);
}

Result<Reply> run_gc(const Call& call) {
  CollectOptions options;
  constexpr std::uint64_t kLevelMax = 22;
  const auto standard = static_cast<std::uint64_t>(options.compact.zstd_level);
  TRY_ASSIGN(std::uint64_t level, call.number("level", standard));
  if (level < 1 || level > kLevelMax) {
    return fail(Errc::kBadRequest, 0, "gc: the level is 1 to 22", std::to_string(level));
  }
  options.compact.zstd_level = static_cast<int>(level);
  options.compact.low_priority = false;  // somebody waits
  options.compact.progress = [&](std::uint64_t done, std::uint64_t total) {
    if (!call.progress()) return;
    call.progress()(Json{{"what", "gc"}, {"done", done}, {"total", total}}.dump());
  };
  TRY_ASSIGN(CompactReport report, call.engine().collect(options));
  constexpr std::size_t kShown = 10'000;
  Json damage = Json::array();
  for (const Damage& finding : report.damage) {
    if (damage.size() == kShown) break;
    damage.push_back({{"kind", "frame"},
                      {"object", finding.file},
                      {"offset", finding.offset},
                      {"size", finding.size},
                      {"what", finding.what}});
  }
  return make_reply({{"packs_before", report.packs_before},
                     {"packs_after", report.packs_after},
                     {"packs_removed", report.packs_removed},
                     {"bytes_before", report.bytes_before},
                     {"bytes_after", report.bytes_after},
                     {"blocks_dropped", report.blocks_dropped},
                     {"blocks_moved", report.blocks_moved},
                     {"stopped", report.stopped},
                     {"damage_count", report.damage.size()},
                     {"damage", std::move(damage)}});
}

Json to_json(const std::vector<Damage>& ranges) {
  constexpr std::size_t kShown = 10'000;
  Json list = Json::array();
  for (const Damage& range : ranges) {
    if (list.size() == kShown) break;
    list.push_back({{"kind", "pack"},
                    {"object", range.file},
                    {"offset", range.offset},
                    {"size", range.size},
                    {"what", range.what}});
  }
  return list;
}

// What `repair --packs` asks for.
Result<Reply> run_scrub(const Call& call) {
  ScrubOptions options;
  TRY_ASSIGN(options.rate_bytes_per_s, call.number("rate"));
  TRY_ASSIGN(options.dry_run, call.flag("dry_run"));
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    if (!call.progress()) return;
    call.progress()(Json{{"what", "scrub"}, {"done", done}, {"total", total}}.dump());
  };
  TRY_ASSIGN(const ScrubReport report, call.engine().scrub(options));
  if (!options.dry_run) note_scrub(call.engine().audit(), report);
  return make_reply({{"dry_run", options.dry_run},
                     {"bytes", report.pass.bytes},
                     {"repaired_count", report.repaired.size()},
                     {"repaired", to_json(report.repaired)},
                     {"lost_count", report.lost.size()},
                     {"lost", to_json(report.lost)},
                     {"parity", to_json(report.parity)},
                     {"parity_written", report.parity_written},
                     {"stopped", report.stopped}});
}

// What `repair --journal` asks of a mounted store: it is open, so what was lost is known already.
Result<Reply> run_forget_loss(const Call& call) {
  Engine& engine = call.engine();
  TRY_ASSIGN(const bool dry_run, call.flag("dry_run"));
  const auto loss = engine.journal().loss();
  if (loss && !dry_run) TRY(engine.journal().forget_loss());
  return make_reply({{"loss", loss ? Json(to_text(*loss)) : Json()}, {"dry_run", dry_run}});
}

// Answered before the server makes way: who asked then looks for its successor.
Result<Reply> run_hand_over(const Call& call) {
  TRY_ASSIGN(const std::string binary, call.text("binary"));
  const MountHooks* hooks = call.engine().hooks();
  if (hooks == nullptr || !hooks->supervision().hand_over) {
    return fail(Errc::kNotMounted, 0, "upgrade: no keeper holds this mount", call.engine().store());
  }
  if (!binary.starts_with('/')) return fail(Errc::kBadRequest, 0, "upgrade: not a path", binary);
  TRY(hooks->supervision().hand_over(binary));
  return make_reply({{"binary", binary}});
}

constexpr std::array kCommands{Command{"status", run_status},
                               Command{"verify", run_verify},
                               Command{"gc", run_gc},
                               Command{"scrub", run_scrub},
                               Command{"forget_loss", run_forget_loss},
                               Command{"hand_over", run_hand_over}};

}  // namespace

std::span<const Command> health_commands() {
  return kCommands;
}

}  // namespace amberfs
