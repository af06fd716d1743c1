// SPDX-License-Identifier: Apache-2.0
#include "fs/verify_chain.h"

#include <algorithm>

namespace amberfs {

Result<ChainVerification> verify_chain(Engine& engine, const std::optional<PublicKey>& key,
                                       const std::optional<NotedHead>& head) {
  TRY_ASSIGN(const ChainEvidence evidence, engine.chain_evidence());
  ChainVerification result;
  result.sealed = evidence.sealed;
  result.key_given = key.has_value();
  result.key = key ? key : evidence.recorded_key;
  if (!evidence.sealed && !key && !head) return result;
  if (!result.key) {
    result.report.findings.push_back(
        {"chain", "", "STORE/chain and signing.pub are gone or damaged: give the key with --key"});
    return result;
  }
  result.report = check_chain(evidence, *result.key, head);
  return result;
}

Result<std::uint64_t> mend_chain(Engine& engine) {
  TRY_ASSIGN(const ChainVerification seen, verify_chain(engine));
  if (!seen.sealed || !seen.key) {
    return fail(Errc::kBadRequest, 0, "mend the chain: there is none, or its key is lost",
                engine.store());
  }
  const auto mendable = static_cast<std::uint64_t>(
      std::ranges::count_if(seen.report.findings, &ChainFinding::mendable));
  if (mendable == 0) return mendable;
  TRY(engine.replace_chain(*seen.key, seen.report.links));
  return mendable;
}

}  // namespace amberfs
