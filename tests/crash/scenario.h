// SPDX-License-Identifier: Apache-2.0
// Scenario: a few operations on a small store, recorded with what was promised when, and the checks
// of every state that a crash in between can leave.
//
// Model: S(0) is the state before, S(k) that after operation k. After a crash behind event n the
// tree must be exactly S(k) for one k between the last operation that a sync, commit, snapshot or
// rollback had covered by then, and the last one that had been begun. Every snapshot reported by
// then must be there and be exactly its S(k); every other one must be some S(k). What the
// operations up to k took away from files must all be there as evidence, also behind a rollback.
//
// Threads: one (the journal's own aside).
// Owns:    a directory in memory for LMDB's file and the lock; all else is in the disk model.
#pragma once

#include "fs/engine.h"
#include "tests/crash/disk_model.h"
#include "tests/support/temp_dir.h"

#include <map>
#include <string>
#include <unordered_set>
#include <vector>

namespace amberfs::testing {

enum class Step {
  kCreate,
  kAppend,
  kOverwrite,
  kTruncate,
  kRename,
  kLink,
  kUnlink,
  kFsync,
  kSnapshot,
  kRollback,
  kCommit,
  kCollect,
  kForget,  // the newest snapshot but the first one; without any: a commit
};
constexpr int kStepCount = 13;
[[nodiscard]] std::string to_text(const std::vector<Step>& steps);

// Names of the root directory and what stands behind them: files by number, for hard links.
struct TreeModel {
  std::map<std::string, int> names;
  std::map<int, std::string> contents;
  friend bool operator==(const TreeModel&, const TreeModel&) = default;
};

struct CrashCounts {
  std::uint64_t states = 0;    // crash states made
  std::uint64_t distinct = 0;  // of them, those no other was equal to
  std::vector<std::string> violations;
};

class Performer;

class Scenario {
 public:
  // kFullPack: before the steps a commit fills the store's only pack, and a new one is begun.
  // kRotating: before the steps the journal, of small segments, goes through several of them, which
  // commits release and the journal uses again.
  enum class Base { kSmall, kFullPack, kRotating };
  explicit Scenario(Base base = Base::kSmall);

  struct Options {
    unsigned random_choices = 1;  // of unsynced events, for each place to crash
    unsigned single_choices = 4;  // of each kind: one lost alone, one kept alone
    std::uint64_t violations_max = 1;
    std::uint64_t seed = 1;
    bool full_verify = true;
    Mutation mutation;  // a planted bug
    // Planted bugs of order: index commits are durable one late, or before what was done just
    // before them (a sync); promises are made before the last disk access of what promises.
    bool stale_index = false;
    bool early_index = false;
    bool early_promises = false;
  };
  // Runs the steps, then opens the store in every crash state. States seen in an earlier run are
  // not opened again.
  void run(const std::vector<Step>& steps, const Options& options, CrashCounts& counts);

 private:
  struct Recording;
  [[nodiscard]] Status build_base();
  [[nodiscard]] std::uint64_t disk_bytes() const;
  // What the store goes through before the steps.
  [[nodiscard]] Status prepare(Recording& recording, Engine& engine, Performer& performer,
                               const std::function<void()>& note_index);
  [[nodiscard]] Status record(const std::vector<Step>& steps, const Options& options,
                              Recording& recording);
  [[nodiscard]] static Status forget_newest(Engine& engine, Recording& recording);
  void check_crash_at(const Recording& recording, std::size_t event, const Options& options,
                      CrashCounts& counts);
  void check_image(const Recording& recording, std::size_t event, const DiskImage& image,
                   const std::string& index, const Options& options, CrashCounts& counts);
  // What is wrong; "" when all is well.
  [[nodiscard]] static std::string look_for_evidence(const Recording& recording, std::size_t count,
                                                     Engine& engine);
  // The store goes on: what is written and synced now is there at the next opening.
  [[nodiscard]] std::string go_on(RecordingIo& io);
  [[nodiscard]] std::string look(const Recording& recording, std::size_t event, Engine& engine,
                                 const Options& options);
  [[nodiscard]] static std::string look_at_chain(Engine& engine);
  void put_index(const std::string& bytes);
  [[nodiscard]] std::string index_bytes() const;

  const Base base_kind_;
  TempDir directory_;
  std::string store_;
  DiskImage base_;
  std::string base_index_;
  TreeModel base_tree_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace amberfs::testing
