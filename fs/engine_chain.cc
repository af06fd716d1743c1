// SPDX-License-Identifier: Apache-2.0
// How manifests and notes get their place in the sealed chain (snapshot/chain.h), and how snapshots
// are forgotten:
//   1 head       the tombstone's sequence number is given out
//   2 tombstone  durable, with its link: from here on it will be done
//   3 manifests  removed one by one; what a crash leaves is finished by the next open
// All of it under commit_mu_: a collection marks its roots under it (docs/ARCHITECTURE.md).
#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "fs/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace amberfs {

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;

std::int64_t next_millisecond(std::int64_t time_ns) {
  return (time_ns / kMillisecond + 1) * kMillisecond;
}

}  // namespace

// A document's link is made before its record in STORE/chain is: what stands in documents only is
// taken over, once it is sure that their names are on the disk.
Status Engine::open_chain() {
  TRY_ASSIGN(notes_, Notes::open(io_, store_ + "/notes", config_.blocks.cipher));
  TRY_ASSIGN(chain_, Chain::open(io_, store_, config_.blocks.cipher));
  const ChainEnd end = chain_->end();
  std::map<std::uint64_t, Link> behind;
  const auto take = [&](const std::vector<Link>& links) {
    for (const Link& link : links) {
      // Documents from before it are those of a chain that ended (begin_chain).
      if (link.sequence > end.sequence) behind.try_emplace(link.number, link);
    }
  };
  take(catalog_->links_above(end.length));
  take(notes_->links_above(end.length));
  std::vector<Link> links;
  for (const auto& [number, link] : behind) links.push_back(link);
  if (!links.empty()) {
    TRY(io_.sync_directory(store_ + "/snapshots"));
    if (notes_->newest_sequence() != 0) TRY(io_.sync_directory(store_ + "/notes"));
  }
  chain_->catch_up(links);
  MutexLock lock(commit_mu_);
  if (Status finished = finish_forgetting(); !finished) {
    log_error("remove snapshots that were forgotten: {}", finished.error().to_string());
  }
  return ok();
}

LinkMaker Engine::link_maker() {
  if (!chain_->can_sign()) return {};
  return [this](const LinkSubject& subject) { return chain_->prepare(subject); };
}

// Whether the document of a failed add() is there decides whether its link is.
Status Engine::settle_documents() {
  TRY_ASSIGN(const bool manifest_there, catalog_->settle());
  TRY_ASSIGN(const bool note_there, notes_->settle());
  if (!chain_->is_pending()) return ok();
  if (manifest_there || note_there) {
    chain_->confirm();
  } else {
    chain_->give_up();
  }
  return ok();
}

Status Engine::add_manifest(Manifest& manifest) {
  TRY(settle_documents());
  TRY(catalog_->add(manifest, link_maker()));
  chain_->confirm();
  return ok();
}

Status Engine::add_note(Note& note) {
  TRY(settle_documents());
  TRY(notes_->add(note, link_maker()));
  chain_->confirm();
  return ok();
}

// Times name snapshots, so they strictly increase even when the clock does not, or the newest one
// was forgotten.
std::int64_t Engine::next_document_time() {
  std::int64_t time_ns = now_ns();
  if (const auto previous = newest_manifest()) {
    time_ns = std::max(time_ns, next_millisecond(previous->time_ns));
  }
  const ChainEnd end = chain_->end();
  return end.length == 0 ? time_ns : std::max(time_ns, next_millisecond(end.time_ns));
}

// The first link of a chain that begins in a store which has snapshots names them: they were there
// then, and what was put beside them later is not among them.
Status Engine::add_begin_note(const std::string& reason) {
  if (!chain_->can_sign() || chain_->end().length != 0 || catalog_->count() == 0) return ok();
  TRY_ASSIGN(const Catalog::Inspection inspection, catalog_->inspect());
  for (const auto& [file, error] : inspection.damaged) {
    log_error("begin the chain: {} is damaged and will not be named in it", file);
  }
  Head next = head();
  Note note{.kind = LinkKind::kBegin,
            .sequence = next.next_snapshot,
            .time_ns = next_document_time(),
            .reason = reason};
  for (const Manifest& manifest : inspection.good) {
    note.snapshots.push_back({manifest.sequence, manifest.time_ns, manifest.id, std::nullopt});
  }
  next.next_snapshot = note.sequence + 1;
  TRY(publish_head_only(next));
  return add_note(note);
}

Result<PublicKey> Engine::begin_chain(bool anew) {
  MutexLock lock(commit_mu_);
  TRY(settle_documents());
  std::string reason = "the chain begins";
  if (chain_->is_sealed()) {
    if (!anew) return fail(Errc::kBadRequest, 0, "seal: the store has a chain already", store_);
    if (chain_->can_sign()) {
      return fail(Errc::kBadRequest, 0, "seal: the chain goes on; another one would prove less",
                  store_);
    }
    const ChainEnd end = chain_->end();
    const auto key = chain_->first_key();
    reason = fmt::format("the chain begins anew; the one before ended at {}, its key was {}; {}",
                         end.length == 0 ? "its beginning" : end.to_text(),
                         key ? to_text(*key) : "lost", chain_->problem());
  }
  TRY(chain_->begin());
  TRY(add_begin_note(reason));
  return chain_->first_key().value_or(PublicKey{});
}

Result<ForgetResult> Engine::forget(const std::vector<Manifest>& targets,
                                    const std::string& reason) {
  if (targets.empty() || targets.size() > Note::kSnapshotsMax) {
    return fail(Errc::kBadRequest, 0, fmt::format("forget {} snapshots", targets.size()));
  }
  MutexLock lock(commit_mu_);
  TRY(settle_documents());
  TRY(finish_forgetting());
  TRY(add_begin_note());
  if (chain_->is_sealed() && !chain_->can_sign()) {
    // Without a signature it would look like a theft for ever.
    return fail(Errc::kBroken, 0, "forget snapshots: " + chain_->problem(), store_);
  }
  Head next = head();
  ForgetResult result;
  result.tombstone = {.kind = LinkKind::kTombstone,
                      .sequence = next.next_snapshot,
                      .time_ns = next_document_time(),
                      .reason = reason};
  std::set<std::uint64_t> seen;
  for (const Manifest& target : targets) {
    if (!seen.insert(target.sequence).second) continue;
    TRY_ASSIGN(Manifest manifest, catalog_->by_sequence(target.sequence));
    result.tombstone.snapshots.push_back(
        {manifest.sequence, manifest.time_ns, manifest.id, manifest.link});
    result.forgotten.push_back(std::move(manifest));
  }
  next.next_snapshot = result.tombstone.sequence + 1;
  // The newest one may go: what is live is then in no snapshot that "unchanged" could mean.
  next.snapshot_root = BlockId{};
  TRY(publish_head_only(next));
  TRY(add_note(result.tombstone));
  TRY(finish_forgetting());
  return result;
}

// Only the newest note can be unfinished, as each forget() begins with this. In a sealed store an
// unsigned note is none: whoever can write files must not make us remove snapshots by it.
Status Engine::finish_forgetting() {
  TRY_ASSIGN(const auto note, notes_->newest());
  if (!note || note->kind != LinkKind::kTombstone) return ok();
  if (chain_->is_sealed() && !note->link) return ok();
  for (const Note::Named& named : note->snapshots) {
    if (!catalog_->contains(named.sequence)) continue;
    const auto manifest = catalog_->by_sequence(named.sequence);
    if (manifest && manifest->id != named.id) continue;
    TRY(catalog_->remove(named.sequence));
  }
  return ok();
}

Status Engine::replace_chain(const PublicKey& first_key, std::span<const Link> links) {
  MutexLock lock(commit_mu_);
  if (!links.empty() && links.back().number < chain_->end().length) {
    return fail(Errc::kCorrupt, 0, "mend the chain: its newest links are not proved", store_);
  }
  return chain_->replace_records(first_key, links);
}

Result<ChainEvidence> Engine::chain_evidence() {
  MutexLock lock(commit_mu_);
  TRY(settle_documents());
  return collect_evidence(*chain_, *catalog_, *notes_);
}

}  // namespace amberfs
