// SPDX-License-Identifier: Apache-2.0
// Commands: audit, audit_show: what was done to the store and its logs, and the bytes that were
// taken away; key_changed: tells that the keys of the store were changed, which `amberfs key` does
// without the server.
#include "blockstore/base/clock.h"
#include "blockstore/key_slots.h"
#include "fs/audit.h"
#include "fs/service_call.h"

#include <algorithm>
#include <array>
#include <ranges>

namespace amberfs {
namespace {

constexpr std::size_t kEventsMax = 10'000;
constexpr std::uint64_t kReadSizeMax = 1 * kMiB;

Result<Reply> run_audit(const Call& call) {
  TRY_ASSIGN(const std::string since, call.text("since"));
  std::int64_t since_ns = 0;
  if (!since.empty()) {
    const auto time = parse_time(since, now_ns());
    if (!time) return fail(Errc::kBadRequest, 0, "audit: not a time", since);
    since_ns = *time;
  }
  TRY_ASSIGN(auto events, call.engine().audit().list(since_ns, kEventsMax));
  return make_reply({{"events", std::move(events)}});
}

struct Found {
  std::shared_ptr<const View> view;
  Evidence evidence;
};

Result<std::optional<Found>> find_in(std::shared_ptr<const View> view, Ino number) {
  TRY_ASSIGN(const auto value, view->get(evidence_key(number)));
  if (!value) return std::nullopt;
  TRY_ASSIGN(Evidence evidence, decode_evidence(*value));
  return Found{std::move(view), std::move(evidence)};
}

// In the live tree, or else in the newest snapshot that has it.
Result<Found> find_evidence(Engine& engine, Ino number) {
  TRY_ASSIGN(auto live, find_in(engine.live_view(), number));
  if (live) return *std::move(live);
  TRY_ASSIGN(const auto snapshots, engine.catalog().list());
  for (const Manifest& manifest : snapshots | std::views::reverse) {
    TRY_ASSIGN(auto found, find_in(engine.view_of(manifest).view, number));
    if (found) return *std::move(found);
  }
  return fail(Errc::kNoSuchPath, 0,
              "show removed bytes: there is no such event, or its bytes are kept no longer",
              std::to_string(number));
}

Result<Reply> run_audit_show(const Call& call) {
  TRY_ASSIGN(const std::uint64_t number, call.number("number"));
  TRY_ASSIGN(const std::uint64_t offset, call.number("offset"));
  TRY_ASSIGN(const Found found, find_evidence(call.engine(), number));
  std::uint64_t size = found.evidence.end - found.evidence.begin;
  if (found.evidence.file == number) {  // what was still appended after it was deleted is in it
    TRY_ASSIGN(const InodeRecord record, found.view->inode(number));
    size = record.size_bytes;
  }
  Bytes bytes(std::min(kReadSizeMax, size - std::min(size, offset)), '\0');
  TRY_ASSIGN(const std::size_t got,
             call.engine().data().read(*found.view, number, found.evidence.begin + offset,
                                       bytes.data(), bytes.size()));
  bytes.resize(got);
  Json reply = to_json(number, found.evidence);
  reply["size"] = size;
  return make_reply(reply, std::move(bytes));
}

// One of the few words that a member may be; for the log, which keeps it for ever.
Result<std::string> one_of(const Call& call, const char* key,
                           std::initializer_list<std::string_view> words) {
  TRY_ASSIGN(std::string text, call.text(key));
  if (std::ranges::find(words, text) != words.end()) return text;
  return fail(Errc::kBadRequest, 0, std::string("read request: no such ") + key, text);
}

Result<Reply> run_key_changed(const Call& call) {
  TRY_ASSIGN(const auto how, one_of(call, "how", {"added", "removed", "replaced"}));
  TRY_ASSIGN(const auto kind, one_of(call, "kind", {"passphrase", "keyfile"}));
  TRY_ASSIGN(const std::uint64_t key, call.number("key"));
  TRY_ASSIGN(const std::string label, call.text("label"));
  if (!call.engine().config().encrypted) {
    return fail(Errc::kBadRequest, 0, "record a change of keys: the store is not encrypted");
  }
  if (key == 0 || key > KeySlots::kSlotsMax || label.size() > KeySlots::kLabelSizeMax) {
    return fail(Errc::kBadRequest, 0, "record a change of keys: there can be no such key");
  }
  call.engine().audit().note("key_" + how, {{"key", key}, {"kind", kind}, {"label", label}});
  if (const std::string problem = call.engine().audit().problem(); !problem.empty()) {
    return fail(Errc::kIo, 0, "record a change of keys: " + problem);
  }
  return make_reply(Json::object());
}

constexpr std::array kCommands{Command{"audit", run_audit}, Command{"audit_show", run_audit_show},
                               Command{"key_changed", run_key_changed}};

}  // namespace

std::span<const Command> audit_commands() {
  return kCommands;
}

}  // namespace amberfs
