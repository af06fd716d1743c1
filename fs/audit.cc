// SPDX-License-Identifier: Apache-2.0
#include "fs/audit.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "fs/path_text.h"
#include "snapshot/manifest.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace amberfs {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kDropEveryNs = 10 * kSecondNs;
constexpr std::int64_t kDayNs = 86400 * kSecondNs;
constexpr std::size_t kEvidenceMax = 10'000;

std::string event_name(const Evidence& evidence) {
  return evidence.rotation ? "rotation" : "tampering";
}

Actor actor_of(const Evidence& evidence) {
  return {evidence.uid, evidence.gid, evidence.pid, evidence.command};
}

}  // namespace

Result<std::vector<EvidenceEntry>> list_evidence(const View& view) {
  std::vector<EvidenceEntry> list;
  const Bytes end = range_end(kNoIno, Tag::kEvidence);
  const auto cursor = view.cursor();
  TRY(cursor->seek(range_begin(kNoIno, Tag::kEvidence)));
  while (cursor->valid() && cursor->key() < end) {
    TRY_ASSIGN(const ParsedKey key, parse_key(cursor->key()));
    TRY_ASSIGN(Evidence evidence, decode_evidence(cursor->value()));
    list.push_back({key.number, std::move(evidence)});
    TRY(cursor->next());
  }
  return list;
}

Json to_json(Ino number, const Evidence& evidence) {
  Json json{{"number", number},
            {"what", to_text(evidence.kind)},
            {"path", "/" + encode_path(evidence.path)},
            {"inode", evidence.file},
            {"begin", evidence.begin},
            {"end", evidence.end},
            {"bytes", evidence.kept_bytes},
            {"count", evidence.count},
            {"first", format_time(evidence.first_ns)},
            {"last", format_time(evidence.last_ns)}};
  if (!evidence.other.empty()) json["other"] = "/" + encode_path(evidence.other);
  if (evidence.missed_bytes > 0) json["bytes_not_kept"] = evidence.missed_bytes;
  if (evidence.one_of) json["one_of_several"] = true;
  return json;
}

Audit::Audit(const Parts& parts, std::string store, const Sealer* sealer)
    : parts_(parts), store_(std::move(store)), path_(store_ + "/audit.log"), sealer_(sealer) {}

std::unique_ptr<Audit> Audit::open(const Parts& parts, const std::string& store,
                                   const Sealer* sealer) {
  std::unique_ptr<Audit> audit(new Audit(parts, store, sealer));
  auto log = AuditLog::open(parts.io, audit->path_, sealer);
  if (log) audit->log_ = *std::move(log);
  audit->keep_result(log ? audit->write_missing_lines() : Status(fail(log.error())));
  return audit;
}

// Lines are written a moment after the batch, which may be all that a crash left.
Status Audit::write_missing_lines() {
  TRY_ASSIGN(const auto list, list_evidence(*parts_.live.view()));
  for (const EvidenceEntry& entry : list) {
    if (entry.evidence.first_ns <= log_->opened_at_ns()) continue;
    Json details = to_json(entry.number, entry.evidence);
    details["found_after_restart"] = true;
    TRY(log_->append(event_name(entry.evidence), actor_of(entry.evidence), details));
  }
  return log_->sync();
}

void Audit::keep_result(const Status& status) {
  std::string text = status ? std::string() : "audit log: " + status.error().to_string();
  MutexLock lock(mu_);
  if (text == problem_) return;
  if (!text.empty()) log_error("{}", text);
  problem_ = std::move(text);
}

std::string Audit::problem() {
  MutexLock lock(mu_);
  return problem_;
}

void Audit::write(std::string_view event, const Actor& who, const Json& details) {
  if (log_) keep_result(log_->append(event, who, details));
}

void Audit::sync() {
  if (!log_) return;
  if (Status synced = log_->sync(); !synced) keep_result(synced);
}

void Audit::note(std::string_view event, const Json& details) {
  write_notices();
  write(event, current_actor(), details);
  sync();
}

void Audit::write_notices() {
  for (const Notice& notice : parts_.tampering.take_notices()) {
    write(event_name(notice.evidence), actor_of(notice.evidence),
          to_json(notice.number, notice.evidence));
  }
  const std::uint64_t left_out = parts_.tampering.take_left_out();
  if (left_out > 0) write("tampering_left_out", current_actor(), {{"events", left_out}});
}

void Audit::tick(bool may_drop) {
  write_notices();
  sync();
  if (!may_drop || now_ns() < next_drop_ns_) return;
  next_drop_ns_ = now_ns() + kDropEveryNs;
  if (Status dropped = drop_old(); !dropped) {
    log_warning("drop old evidence: {}", dropped.error().to_string());
  }
}

Status Audit::drop_old() {
  const AuditOptions& options = parts_.tampering.options();
  TRY_ASSIGN(auto list, list_evidence(*parts_.live.view()));
  if (list.empty()) return ok();
  TRY_ASSIGN(const DiskSpace disk, parts_.io.disk_space(store_));
  const std::uint64_t bytes_max = disk.total_bytes / 100 * options.keep_percent;
  const std::int64_t oldest = now_ns() - static_cast<std::int64_t>(options.keep_s) * kSecondNs;
  std::uint64_t bytes = 0;
  for (const EvidenceEntry& entry : list) bytes += entry.evidence.kept_bytes;
  std::ranges::sort(list, {}, [](const EvidenceEntry& e) { return e.evidence.last_ns; });
  std::uint64_t dropped = 0;
  std::uint64_t dropped_bytes = 0;
  for (const EvidenceEntry& entry : list) {
    const bool surplus = bytes > bytes_max || list.size() - dropped > kEvidenceMax;
    if (!surplus && entry.evidence.last_ns >= oldest) break;
    // An operation may be adding to it just now: the next time nobody will.
    if (parts_.tampering.is_open(entry.number)) {
      if (surplus) parts_.tampering.close_event(entry.evidence.file);
      continue;
    }
    TRY(parts_.filesystem.drop_evidence(entry.number));
    bytes -= std::min(bytes, entry.evidence.kept_bytes);
    dropped_bytes += entry.evidence.kept_bytes;
    ++dropped;
  }
  if (dropped > 0) {
    write("evidence_dropped", current_actor(),
          {{"events", dropped}, {"bytes", dropped_bytes}, {"bytes_left", bytes}});
  }
  return ok();
}

AuditPosition Audit::position() {
  tick(false);
  return log_ ? log_->position() : AuditPosition{};
}

Result<AuditCounts> Audit::counts(std::int64_t snapshot_ns) {
  AuditCounts counts;
  const std::int64_t day_ago = now_ns() - kDayNs;
  TRY_ASSIGN(const auto list, list_evidence(*parts_.live.view()));
  for (const EvidenceEntry& entry : list) {
    counts.kept_bytes += entry.evidence.kept_bytes;
    if (entry.evidence.rotation) {
      ++counts.rotations;
      continue;
    }
    ++counts.events;
    if (entry.evidence.last_ns >= day_ago) ++counts.last_day;
    if (entry.evidence.last_ns > snapshot_ns) ++counts.since_snapshot;
  }
  return counts;
}

Result<std::vector<Json>> Audit::list(std::int64_t since_ns, std::size_t limit) {
  tick(false);
  TRY_ASSIGN(const auto evidence, list_evidence(*parts_.live.view()));
  std::set<Ino> kept;
  for (const EvidenceEntry& entry : evidence) kept.insert(entry.number);
  std::vector<Json> events;
  const auto visit = [&](const Json& line) {
    if (line["time_ns"].get<std::int64_t>() < since_ns) return;
    const auto number = line.find("number");
    const bool is_evidence = number != line.end() && number->is_number_unsigned();
    if (is_evidence && kept.contains(number->get<Ino>())) return;  // the map knows more
    events.push_back(line);
    for (const char* internal : {"previous", "durable"}) events.back().erase(internal);
    if (is_evidence) events.back()["kept"] = false;
    // What is too much goes in pieces, so that a long log is not held as a whole.
    if (events.size() >= 2 * limit)
      events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(limit));
  };
  TRY_ASSIGN(const AuditCheck check, check_audit_log(parts_.io, path_, sealer_, visit, {}));
  for (const EvidenceEntry& entry : evidence) {
    if (entry.evidence.last_ns < since_ns) continue;
    const Actor who = actor_of(entry.evidence);
    Json event = to_json(entry.number, entry.evidence);
    event.update({{"time", format_time(entry.evidence.first_ns)},
                  {"time_ns", entry.evidence.first_ns},
                  {"event", event_name(entry.evidence)},
                  {"uid", who.uid},
                  {"gid", who.gid},
                  {"pid", who.pid},
                  {"command", who.command},
                  {"kept", true}});
    events.push_back(std::move(event));
  }
  std::ranges::stable_sort(events, {},
                           [](const Json& event) { return event["time_ns"].get<std::int64_t>(); });
  if (events.size() > limit) {
    events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(limit));
  }
  return events;
}

}  // namespace amberfs
