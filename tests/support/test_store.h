// SPDX-License-Identifier: Apache-2.0
// TestStore: a FileSystem on a real journal, with blocks in memory and a commit that is as simple
// as one can be (each journal extent becomes one block). For tests of what operations mean.
// Threads: one test thread; operations of fs() may run in others between open() and reopen().
// Errors:  of the store itself end the test.
#pragma once

#include "fs/check.h"
#include "fs/filesystem.h"
#include "tests/support/memory_block_store.h"
#include "tests/support/temp_dir.h"

namespace amberfs::testing {

class TestStore {
 public:
  TestStore();
  ~TestStore();

  [[nodiscard]] FileSystem& fs() { return *fs_; }
  [[nodiscard]] LiveMap& live() { return *live_; }
  [[nodiscard]] Journal& journal() { return *journal_; }

  // From now on, also after reopen().
  void watch(const AuditOptions& options) {
    audit_ = options;
    start_watching();
  }
  [[nodiscard]] Tampering& tampering() { return *tampering_; }

  void commit() { finish_commit(begin_commit()); }
  [[nodiscard]] Frozen begin_commit();  // operations go on between the two
  void finish_commit(Frozen frozen);
  void abandon_commit();  // a commit that failed after begin_commit()
  // As after a kill of the process: what the head and the journal say, and nothing else.
  void reopen();
  // "" when the tree is consistent and the totals are right; else what is not.
  [[nodiscard]] std::string problems();

 private:
  struct Head {
    BlockId root;
    TreeTotals totals;
    Ino next_ino = kRootIno + 1;
    JournalPosition position;
  };
  void open();
  void start_watching();
  [[nodiscard]] std::vector<Change> sealed_changes(const Frozen& frozen);

  TempDir directory_;
  std::unique_ptr<Io> io_;
  MemoryBlockStore blocks_;
  Head head_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LiveMap> live_;
  std::optional<AuditOptions> audit_;
  std::unique_ptr<Tampering> tampering_;
  std::unique_ptr<FileSystem> fs_;
};

}  // namespace amberfs::testing
