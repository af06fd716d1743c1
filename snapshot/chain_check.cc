// SPDX-License-Identifier: Apache-2.0
#include "snapshot/chain_check.h"

#include "blockstore/base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace amberfs {
namespace {

constexpr std::size_t kHeadDigitsMin = 16;
constexpr std::size_t kHeadDigitsMax = 64;

std::string hex_of(const Sha256& hash) {
  return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

std::string short_id(const Sha256& id) {
  return hex_of(id).substr(0, 12);
}

std::string numbered(LinkKind kind, std::uint64_t sequence) {
  return fmt::format("{} #{}", to_text(kind), sequence);
}

class ChainChecker {
 public:
  ChainChecker(const ChainEvidence& evidence, const PublicKey& key)
      : evidence_(evidence), key_(key) {
    report_.end = ChainEnd::before_first(key);
  }

  ChainReport run(const std::optional<NotedHead>& head) {
    if (!evidence_.sealed && evidence_.records.links.empty()) {
      add("chain", "", "the store has no chain: it was never sealed, or the chain was removed");
    } else {
      gather_copies();
      const bool to_the_end = walk();
      index_documents();
      check_links();
      check_manifests();
      check_notes();
      if (to_the_end) check_tail();
      if (!evidence_.key_file_problem.empty()) {
        add(std::string(kPublicKeyFileName), "", evidence_.key_file_problem, true);
      }
    }
    if (head) check_head(*head);
    return std::move(report_);
  }

 private:
  void add(std::string object, std::string snapshot, std::string what, bool mendable = false) {
    report_.findings.push_back({std::move(object), std::move(snapshot), std::move(what), mendable});
  }

  void gather_copies() {
    const auto take = [&](const std::optional<Link>& link) {
      if (link) copies_.emplace(link->number, *link);
    };
    for (const Manifest& manifest : evidence_.manifests.good) take(manifest.link);
    for (const Note& note : evidence_.notes.good) {
      take(note.link);
      for (const Note::Named& named : note.snapshots) take(named.link);
    }
  }

  // From the first link on, as far as each proves the next. False: it stopped before the end.
  bool walk() {
    const auto& records = evidence_.records.links;
    for (std::uint64_t number = 1;; ++number) {
      const bool has_place = number <= records.size();
      const bool is_last = !has_place && copies_.lower_bound(number) == copies_.end();
      if (is_last) break;
      if (!step(number, has_place ? records[number - 1] : std::nullopt)) {
        const std::uint64_t behind = records.size() > number ? records.size() - number : 0;
        if (behind > 0) {
          add("chain", "",
              fmt::format("what is behind link {} is not proved: {} links", number, behind));
        }
        return false;
      }
    }
    if (evidence_.records.odd_bytes > 0) {
      add("chain", "",
          fmt::format("{} bytes behind the last record are no record", evidence_.records.odd_bytes),
          true);
    }
    return true;
  }

  bool step(std::uint64_t number, const std::optional<Link>& record) {
    const std::string record_wrong = record ? why_not_next(report_.end, *record)
                                            : "its record in STORE/chain is missing or damaged";
    std::optional<Link> link;
    std::string copy_wrong;
    if (record_wrong.empty()) link = record;
    const auto [first, last] = copies_.equal_range(number);
    for (auto it = first; it != last && !link; ++it) {
      copy_wrong = why_not_next(report_.end, it->second);
      if (copy_wrong.empty()) link = it->second;
    }
    const std::string object = fmt::format("link {}", number);
    if (!link) {
      add(object, "",
          record          ? record_wrong
          : first != last ? copy_wrong
                          : "it is lost: neither STORE/chain nor a document has it");
      return false;
    }
    if (!record_wrong.empty()) {
      add(object, format_time(link->time_ns), record_wrong + "; its document has it", true);
    }
    report_.end = ChainEnd::after(*link);
    report_.links.push_back(*link);
    if (number == 1) {
      // Older documents may have links of a chain that ended before this one began.
      std::erase_if(copies_,
                    [&](const auto& copy) { return copy.second.sequence < link->sequence; });
    }
    return true;
  }

  void index_documents() {
    for (const Link& link : report_.links) links_.emplace(link.sequence, &link);
    for (const Note& note : evidence_.notes.good) {
      if (!is_proved(link_subject(note))) continue;
      notes_.emplace(note.sequence, &note);
      auto& named = note.kind == LinkKind::kBegin ? before_chain_ : forgotten_;
      for (const Note::Named& snapshot : note.snapshots) named[snapshot.sequence] = snapshot.id;
    }
    for (const Manifest& manifest : evidence_.manifests.good) {
      manifests_.emplace(manifest.sequence, &manifest);
    }
  }

  [[nodiscard]] bool is_proved(const LinkSubject& subject) const {
    const auto it = links_.find(subject.sequence);
    return it != links_.end() && it->second->kind == subject.kind && it->second->id == subject.id &&
           it->second->time_ns == subject.time_ns;
  }

  // Each document that the chain names must be there.
  void check_links() {
    for (const Link& link : report_.links) {
      if (link.kind != LinkKind::kSnapshot) {
        if (!notes_.contains(link.sequence)) {
          add(numbered(link.kind, link.sequence), format_time(link.time_ns),
              "its note is missing, damaged or altered: what it names is not known");
        }
        continue;
      }
      if (const auto gone = forgotten_.find(link.sequence); gone != forgotten_.end()) {
        ++report_.forgotten;
        if (manifests_.contains(link.sequence)) {
          add(numbered(link.kind, link.sequence), format_time(link.time_ns),
              "it was forgotten, but its manifest is there again");
        }
        continue;
      }
      if (!manifests_.contains(link.sequence)) {
        add(numbered(link.kind, link.sequence), format_time(link.time_ns),
            is_damaged(link.sequence)
                ? "its manifest is damaged"
                : fmt::format("it is missing without a tombstone: it was removed (id {})",
                              short_id(link.id)));
      }
    }
    for (const auto& [sequence, id] : before_chain_) {
      if (!manifests_.contains(sequence) && !forgotten_.contains(sequence)) {
        add(numbered(LinkKind::kSnapshot, sequence), "",
            "it was there when the chain began and is missing without a tombstone");
      }
    }
  }

  [[nodiscard]] bool is_damaged(std::uint64_t sequence) const {
    const std::string name = fmt::format("/{:012}-", sequence);
    return std::ranges::any_of(evidence_.manifests.damaged, [&](const auto& damaged) {
      return damaged.first.find(name) != std::string::npos;
    });
  }

  // Each snapshot that is there must be in the chain.
  void check_manifests() {
    for (const Manifest& manifest : evidence_.manifests.good) {
      const std::string object = numbered(LinkKind::kSnapshot, manifest.sequence);
      const std::string time = format_time(manifest.time_ns);
      const auto before = before_chain_.find(manifest.sequence);
      if (before != before_chain_.end() && before->second == manifest.id) {
        ++report_.unsealed;
      } else if (is_proved(link_subject(manifest))) {
        const Link& link = *links_.at(manifest.sequence);
        if (manifest.link != link) {
          add(object, time, "the link in its manifest is not the one of the chain");
        }
      } else if (links_.contains(manifest.sequence) || before != before_chain_.end()) {
        add(object, time,
            "it is not the one that was sealed: it was altered, back-dated or replaced");
      } else if (!manifest.link) {
        add(object, time,
            "it is not signed: it was put there by hand, or taken while the chain could not go on");
      } else {
        add(object, time, "it is not in the chain: it was forged, or what proves it is lost");
      }
    }
  }

  void check_notes() {
    for (const Note& note : evidence_.notes.good) {
      if (is_proved(link_subject(note))) continue;
      const bool before_chain =
          !report_.links.empty() && note.sequence < report_.links.front().sequence;
      if (before_chain) continue;
      add(numbered(note.kind, note.sequence), format_time(note.time_ns),
          "it is not in the chain: nothing that it says counts");
    }
    for (const auto& [file, error] : evidence_.notes.damaged) add(file, "", error.to_string());
  }

  void check_tail() {
    const std::string wrong = why_no_key(evidence_.signing_state, report_.end);
    if (!wrong.empty()) add("signing.key", "", wrong);
  }

  void check_head(const NotedHead& head) {
    const auto it = std::ranges::find(report_.links, head.sequence, &Link::sequence);
    const std::string noted = fmt::format("{}:{}", head.sequence, head.hash_prefix);
    if (it == report_.links.end()) {
      add("chain", "",
          fmt::format("the noted head {} is not in the chain, which ends at {}: the store was "
                      "rolled back to an older copy, or its newest links were removed",
                      noted, report_.end.length == 0 ? "its beginning" : report_.end.to_text()));
    } else if (!hex_of(link_hash(*it)).starts_with(head.hash_prefix)) {
      add("chain", format_time(it->time_ns),
          fmt::format("the noted head {} is not the link that is there, {}: the chain was "
                      "replaced from there on, or earlier",
                      noted, ChainEnd::after(*it).to_text()));
    }
  }

  const ChainEvidence& evidence_;
  const PublicKey key_;
  ChainReport report_;
  std::multimap<std::uint64_t, Link> copies_;  // by number, of documents
  // By sequence. Links and notes: only those that are proved.
  std::map<std::uint64_t, const Link*> links_;
  std::map<std::uint64_t, const Note*> notes_;
  std::map<std::uint64_t, const Manifest*> manifests_;
  std::map<std::uint64_t, std::string> before_chain_;  // ids
  std::map<std::uint64_t, std::string> forgotten_;
};

}  // namespace

Result<ChainEvidence> collect_evidence(Chain& chain, Catalog& catalog, Notes& notes) {
  ChainEvidence evidence;
  evidence.sealed = chain.is_sealed();
  evidence.recorded_key = chain.first_key();
  evidence.key_file_problem = chain.key_file_problem();
  TRY_ASSIGN(evidence.records, chain.read_records());
  TRY_ASSIGN(evidence.signing_state, chain.read_signing_state());
  TRY_ASSIGN(evidence.manifests, catalog.inspect());
  TRY_ASSIGN(evidence.notes, notes.inspect());
  return evidence;
}

std::optional<NotedHead> parse_noted_head(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  NotedHead head;
  const auto [end, error] = std::from_chars(text.data(), text.data() + colon, head.sequence);
  if (error != std::errc() || end != text.data() + colon) return std::nullopt;
  head.hash_prefix = text.substr(colon + 1);
  const bool hex = std::ranges::all_of(
      head.hash_prefix, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!hex || head.hash_prefix.size() < kHeadDigitsMin ||
      head.hash_prefix.size() > kHeadDigitsMax) {
    return std::nullopt;
  }
  return head;
}

ChainReport check_chain(const ChainEvidence& evidence, const PublicKey& key,
                        const std::optional<NotedHead>& head) {
  return ChainChecker(evidence, key).run(head);
}

}  // namespace amberfs
