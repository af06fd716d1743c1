// SPDX-License-Identifier: Apache-2.0
// Commands: snapshot, list, resolve, rollback, commit.
#include "fs/service_call.h"

#include <array>

namespace amberfs {
namespace {

constexpr std::size_t kReasonSizeMax = 4096;
constexpr std::size_t kSnapshotsMax = 20'000;      // of one page
constexpr std::size_t kReasonBytesMax = 4 * kMiB;  // of one page

Result<Reply> run_snapshot(const Call& call) {
  SnapshotRequest request;
  TRY_ASSIGN(request.name, call.text("name"));
  TRY_ASSIGN(request.reason, call.text("reason"));
  if (request.reason.size() > kReasonSizeMax) {
    return fail(Errc::kBadRequest, 0, "snapshot: a reason of more than 4096 bytes");
  }
  TRY_ASSIGN(request.skip_if_unchanged, call.flag("skip_if_unchanged"));
  TRY_ASSIGN(SnapshotResult taken, call.engine().snapshot(request));
  return make_reply({{"snapshot", to_json(taken.manifest)}, {"created", taken.created}});
}

Result<Reply> run_list(const Call& call) {
  // Pages for who asks for them: others expect all.
  const bool paged = !call.raw("after").is_null();
  TRY_ASSIGN(std::uint64_t after, call.number("after"));
  TRY_ASSIGN(auto manifests, call.engine().catalog().list());
  Json list = Json::array();
  std::size_t reason_bytes = 0;
  std::optional<std::uint64_t> next;
  for (const Manifest& manifest : manifests) {
    if (manifest.sequence <= after) continue;
    if (paged && (list.size() == kSnapshotsMax || reason_bytes > kReasonBytesMax)) {
      next = list.back()["sequence"].get<std::uint64_t>();
      break;
    }
    list.push_back(to_json(manifest));
    reason_bytes += manifest.reason.size();
  }
  Json reply{{"snapshots", std::move(list)}};
  if (next) reply["next"] = *next;
  return make_reply(reply);
}

Result<Reply> run_resolve(const Call& call) {
  TRY_ASSIGN(Manifest manifest, call.snapshot("snap"));
  return make_reply({{"snapshot", to_json(manifest)}});
}

Result<Reply> run_rollback(const Call& call) {
  TRY_ASSIGN(Manifest target, call.snapshot("snap"));
  TRY_ASSIGN(bool force, call.flag("force"));
  TRY_ASSIGN(RollbackResult result, call.engine().rollback(target, force));
  return make_reply({{"before", to_json(result.before)}, {"target", to_json(result.target)}});
}

Result<Reply> run_commit(const Call& call) {
  TRY(call.engine().commit());
  return make_reply({{"root", call.engine().head().root.to_hex()}});
}

constexpr std::array kCommands{Command{"snapshot", run_snapshot}, Command{"list", run_list},
                               Command{"resolve", run_resolve}, Command{"rollback", run_rollback},
                               Command{"commit", run_commit}};

}  // namespace

std::span<const Command> snapshot_commands() {
  return kCommands;
}

}  // namespace amberfs
