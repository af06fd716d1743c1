// SPDX-License-Identifier: Apache-2.0
// Commands: snapshot, list, resolve, rollback, commit.
#include "fs/service_call.h"

#include <array>

namespace amberfs {
namespace {

Result<Reply> run_snapshot(const Call& call) {
  SnapshotRequest request;
  TRY_ASSIGN(request.name, call.text("name"));
  TRY_ASSIGN(request.reason, call.text("reason"));
  TRY_ASSIGN(request.skip_if_unchanged, call.flag("skip_if_unchanged"));
  TRY_ASSIGN(SnapshotResult taken, call.engine().snapshot(request));
  return make_reply({{"snapshot", to_json(taken.manifest)}, {"created", taken.created}});
}

Result<Reply> run_list(const Call& call) {
  TRY_ASSIGN(auto manifests, call.engine().catalog().list());
  Json list = Json::array();
  for (const Manifest& manifest : manifests) list.push_back(to_json(manifest));
  return make_reply({{"snapshots", std::move(list)}});
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

constexpr std::array kCommands{
    Command{"snapshot", run_snapshot}, Command{"list", run_list}, Command{"resolve", run_resolve},
    Command{"rollback", run_rollback}, Command{"commit", run_commit}};

}  // namespace

std::span<const Command> snapshot_commands() {
  return kCommands;
}

}  // namespace amberfs
