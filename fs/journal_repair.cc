// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_repair.h"

#include "fs/path_text.h"

#include <set>

namespace amberfs {
namespace {

// What the batches say of themselves: inodes, and the names of those that they made.
class SetAside {
 public:
  void add(const Batch& batch) {
    ++batches_;
    if (first_ns_ == 0) first_ns_ = batch.time_ns();
    last_ns_ = batch.time_ns();
    for (const Change& change : batch.changes()) {
      const auto key = parse_key(change.key);
      if (!key || key->ino == kNoIno) continue;
      if (key->tag == Tag::kParent) parents_[key->ino] = {key->number, Bytes(key->name)};
      changed_.insert(key->ino);
    }
  }

  [[nodiscard]] JournalRepair report(const View& view) const {
    JournalRepair report;
    report.batches = batches_;
    report.first_ns = first_ns_;
    report.last_ns = last_ns_;
    std::set<std::string> paths;
    for (const Ino ino : changed_) paths.insert(path_of(view, ino));
    report.path_count = paths.size();
    for (const std::string& path : paths) {
      if (report.paths.size() == JournalRepair::kPathsMax) break;
      report.paths.push_back(path);
    }
    return report;
  }

 private:
  [[nodiscard]] std::string path_of(const View& view, Ino ino) const {
    std::string below;
    constexpr int kDepthMax = 4096;  // what is damaged may go in circles
    for (int depth = 0; depth < kDepthMax; ++depth) {
      if (auto known = view.path_of(ino); known && *known) {
        return "/" + encode_path(**known) + (below.empty() || (*known)->empty() ? "" : "/") + below;
      }
      const auto parent = parents_.find(ino);
      if (parent == parents_.end()) break;
      below = encode_path(parent->second.second) + (below.empty() ? "" : "/" + below);
      ino = parent->second.first;
    }
    return "inode " + std::to_string(ino) + (below.empty() ? "" : "/" + below);
  }

  std::uint64_t batches_ = 0;
  std::int64_t first_ns_ = 0;
  std::int64_t last_ns_ = 0;
  std::set<Ino> changed_;
  std::map<Ino, std::pair<Ino, Bytes>> parents_;
};

struct Opened {
  std::unique_ptr<Engine> engine;
  JournalRepair report;
};

Result<Opened> open(Io& io, const std::string& store, std::shared_ptr<const StoreCipher> cipher,
                    JournalOptions::OnDamage on_damage) {
  SetAside set_aside;
  Opened opened;
  TRY_ASSIGN(opened.engine,
             Engine::open(io, store, std::move(cipher),
                          {.on_journal_damage = on_damage,
                           .set_aside = [&](const Batch& batch) { set_aside.add(batch); }}));
  opened.report = set_aside.report(*opened.engine->live_view());
  opened.report.loss = opened.engine->journal().loss();
  return opened;
}

}  // namespace

Result<JournalRepair> look_at_journal(Io& io, const std::string& store,
                                      std::shared_ptr<const StoreCipher> cipher) {
  TRY_ASSIGN(Opened opened,
             open(io, store, std::move(cipher), JournalOptions::OnDamage::kOnlyLook));
  return std::move(opened.report);
}

Result<JournalRepair> repair_journal(Io& io, const std::string& store,
                                     std::shared_ptr<const StoreCipher> cipher) {
  TRY_ASSIGN(Opened opened,
             open(io, store, std::move(cipher), JournalOptions::OnDamage::kSetAside));
  if (!opened.report.loss) {
    TRY(opened.engine->close());
    return std::move(opened.report);
  }
  // The head's place in the journal may be the damaged one.
  TRY(opened.engine->commit());
  TRY(opened.engine->journal().forget_loss());
  TRY(opened.engine->close());
  return std::move(opened.report);
}

}  // namespace amberfs
