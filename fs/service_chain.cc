// SPDX-License-Identifier: Apache-2.0
// Commands: forget, seal, mend_chain, prove; and what status and verify say of the sealed chain.
#include "blockstore/base/mutex.h"
#include "fs/proof.h"
#include "fs/service_call.h"
#include "fs/verify_chain.h"

#include <algorithm>
#include <array>

namespace amberfs {
namespace {

constexpr std::size_t kReasonSizeMax = 4096;

Result<Reply> run_forget(const Call& call) {
  TRY_ASSIGN(const auto snaps, call.texts("snaps"));
  TRY_ASSIGN(const std::string reason, call.text("reason"));
  if (snaps.empty()) return fail(Errc::kBadRequest, 0, "forget: which snapshots?");
  if (reason.size() > kReasonSizeMax) {
    return fail(Errc::kBadRequest, 0, "forget: a reason of more than 4096 bytes");
  }
  std::vector<Manifest> targets;
  for (const std::string& snap : snaps) {
    TRY_ASSIGN(Manifest manifest, call.engine().catalog().resolve(snap));
    targets.push_back(std::move(manifest));
  }
  TRY_ASSIGN(const ForgetResult result, call.engine().forget(targets, reason));
  Json forgotten = Json::array();
  Json ids = Json::array();
  for (const Manifest& manifest : result.forgotten) {
    forgotten.push_back(to_json(manifest));
    ids.push_back(manifest.id);
  }
  call.engine().audit().note("forget", {{"snapshots", std::move(ids)},
                                        {"tombstone", result.tombstone.sequence},
                                        {"reason", reason}});
  return make_reply({{"forgotten", std::move(forgotten)},
                     {"tombstone",
                      {{"sequence", result.tombstone.sequence},
                       {"time", format_time(result.tombstone.time_ns)},
                       {"id", result.tombstone.id},
                       {"signed", result.tombstone.link.has_value()}}}});
}

Result<Reply> run_seal(const Call& call) {
  TRY_ASSIGN(const bool anew, call.flag("anew"));
  TRY_ASSIGN(const PublicKey key, call.engine().begin_chain(anew));
  call.engine().audit().note("seal", {{"key", to_text(key)}, {"anew", anew}});
  return make_reply({{"key", to_text(key)}, {"links", call.engine().chain().end().length}});
}

Result<Reply> run_mend_chain(const Call& call) {
  TRY_ASSIGN(const std::uint64_t mended, mend_chain(call.engine()));
  call.engine().audit().note("mend_chain", {{"links", mended}});
  return make_reply({{"mended", mended}});
}

// The proof that is being fetched piece by piece: made anew it would be the same bytes, but that
// takes as long as reading the file.
class LastProof {
 public:
  using Shared = std::shared_ptr<const Bytes>;
  Shared find(const std::string& what) {
    MutexLock lock(mu_);
    return what == what_ ? proof_ : nullptr;
  }
  void keep(const std::string& what, Shared proof) {
    MutexLock lock(mu_);
    what_ = what;
    proof_ = std::move(proof);
  }

 private:
  Mutex mu_;
  std::string what_ GUARDED_BY(mu_);
  Shared proof_ GUARDED_BY(mu_);
};

Result<Reply> run_prove(const Call& call) {
  constexpr std::size_t kPiece = 4 * kMiB;
  static LastProof last;
  TRY_ASSIGN(const Manifest manifest, call.snapshot("snap"));
  TRY_ASSIGN(const std::string path, call.path("path"));
  TRY_ASSIGN(const std::uint64_t from, call.number("from"));
  TRY_ASSIGN(const std::uint64_t to, call.number("to", UINT64_MAX));
  TRY_ASSIGN(const std::uint64_t offset, call.number("offset"));
  if (to < from) return fail(Errc::kBadRequest, 0, "prove: an end before the beginning");
  const std::string what = Json{call.engine().store(), manifest.id, path, from, to}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
  LastProof::Shared proof = last.find(what);
  if (!proof) {
    TRY_ASSIGN(Bytes made, make_proof(call.engine(), manifest, path, from, to - from));
    proof = std::make_shared<const Bytes>(std::move(made));
  }
  const std::uint64_t begin = std::min<std::uint64_t>(offset, proof->size());
  Bytes piece = proof->substr(begin, kPiece);
  const bool ends = begin + piece.size() == proof->size();
  last.keep(ends ? "" : what, ends ? nullptr : proof);
  return make_reply({{"snapshot", to_json(manifest)}, {"size", proof->size()}}, std::move(piece));
}

constexpr std::array kCommands{Command{"forget", run_forget}, Command{"seal", run_seal},
                               Command{"mend_chain", run_mend_chain}, Command{"prove", run_prove}};

}  // namespace

std::span<const Command> chain_commands() {
  return kCommands;
}

Json chain_status(Engine& engine) {
  Chain& chain = engine.chain();
  Json json{{"sealed", chain.is_sealed()}};
  if (!chain.is_sealed()) return json;
  const ChainEnd end = chain.end();
  json["links"] = end.length;
  json["head"] = end.length == 0 ? Json() : Json(end.to_text());
  json["goes_on"] = chain.can_sign();
  if (const auto key = chain.first_key()) json["key"] = to_text(*key);
  return json;
}

Status add_chain_verification(const Call& call, Json& reply) {
  TRY_ASSIGN(const std::string key_text, call.text("key"));
  TRY_ASSIGN(const std::string head_text, call.text("head"));
  std::optional<PublicKey> key;
  std::optional<NotedHead> head;
  if (!key_text.empty() && !(key = parse_public_key(key_text))) {
    return fail(Errc::kBadRequest, 0, "verify: no verification key (amberfs-key:…)", key_text);
  }
  if (!head_text.empty() && !(head = parse_noted_head(head_text))) {
    return fail(Errc::kBadRequest, 0,
                "verify: no head of a chain: SEQUENCE:HASH, at least 16 digits of it", head_text);
  }
  TRY_ASSIGN(const ChainVerification seen, verify_chain(call.engine(), key, head));
  const ChainReport& report = seen.report;
  for (const ChainFinding& finding : report.findings) {
    reply["damage"].push_back({{"kind", "chain"},
                               {"object", finding.object},
                               {"snapshot", finding.snapshot},
                               {"offset", 0},
                               {"size", 0},
                               {"what", finding.what}});
  }
  reply["damage_count"] = reply["damage_count"].get<std::uint64_t>() + report.findings.size();
  if (!report.findings.empty()) reply["ok"] = false;
  reply["chain"] = {{"sealed", seen.sealed},
                    {"key_given", seen.key_given},
                    {"key", seen.key ? Json(to_text(*seen.key)) : Json()},
                    {"links", report.links.size()},
                    {"head", report.links.empty() ? Json() : Json(report.end.to_text())},
                    {"forgotten", report.forgotten},
                    {"unsealed", report.unsealed}};
  return ok();
}

}  // namespace amberfs
