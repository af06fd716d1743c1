// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_store.h"

#include "fs/inode_edit.h"
#include "fs/seal.h"
#include "tests/support/both_forms.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

namespace amberfs::testing {
namespace {

void require(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "TestStore: %s\n", status.error().to_string().c_str());
  std::abort();
}

template <class T>
T require(Result<T> result) {
  if (!result) require(Status(fail(std::move(result).error())));
  return *std::move(result);
}

}  // namespace

TestStore::TestStore() : io_(make_posix_io()) {
  InodeRecord root;
  root.mode = S_IFDIR | 0755;
  root.nlink = 2;
  root.atime = root.mtime = root.ctime = root.btime = current_time();
  const std::vector<Change> changes{{inode_key(kRootIno), encode(root)}};
  head_.root = require(Tree(blocks_, BlockId{}).apply(changes)).root();
  head_.totals = {.inode_count = 1, .logical_bytes = 0};
  require(blocks_.publish("head"));
  open();
}

TestStore::~TestStore() {
  if (Status closed = journal_->close(); !closed) {
    std::fprintf(stderr, "TestStore: %s\n", closed.error().to_string().c_str());
  }
}

void TestStore::open() {
  live_ = std::make_unique<LiveMap>(blocks_, head_.root, head_.totals, head_.next_ino);
  const Packing packing{.zstd_level = 1, .size_min = 64, .cipher = test_cipher()};
  const JournalOptions options{
      .packing = packing, .segment_size_bytes = 32 * kMiB, .prepare_ahead = false};
  journal_ = require(Journal::open(*io_, directory_.path(), options, head_.position,
                                   [this](const Batch& batch, const Appended&) {
                                     live_->replay(batch);
                                     return ok();
                                   }));
  live_->attach_journal(*journal_);
  fs_ = std::make_unique<FileSystem>(*live_, blocks_, *journal_);
  fs_->set_packing(packing);  // so that tests meet packed data often
  if (audit_) start_watching();
}

void TestStore::start_watching() {
  tampering_ = std::make_unique<Tampering>(*live_, fs_->data(), *audit_);
  fs_->set_tampering(*tampering_);
}

void TestStore::reopen() {
  fs_.reset();
  live_.reset();
  journal_.reset();
  blocks_.crash();
  open();
}

Frozen TestStore::begin_commit() {
  return live_->freeze();
}

void TestStore::abandon_commit() {
  live_->thaw();
}

std::vector<Change> TestStore::sealed_changes(const Frozen& frozen) {
  const ChunkerOptions options{.size_min = 256, .size_average = 1024, .size_max = 4096};
  return require(seal(frozen, blocks_, *journal_, options)).changes;
}

void TestStore::finish_commit(Frozen frozen) {
  const std::vector<Change> changes = sealed_changes(frozen);
  head_.root = require(frozen.tree.apply(changes)).root();
  head_.totals = frozen.totals;
  head_.next_ino = frozen.next_ino;
  head_.position = frozen.position;
  require(blocks_.publish("head"));
  const std::uint64_t lowest = live_->install(head_.root, head_.position);
  require(journal_->release_before(lowest));
}

std::string TestStore::problems() {
  const CheckReport report = require(check_view(*live_->view()));
  std::string text;
  for (const CheckFinding& finding : report.findings) {
    text += "inode " + std::to_string(finding.ino) + ": " + finding.what + "\n";
  }
  const TreeTotals totals = live_->totals();
  if (!(totals == report.totals)) {
    text += "totals say " + std::to_string(totals.inode_count) + " inodes, " +
            std::to_string(totals.logical_bytes) + " bytes; there are " +
            std::to_string(report.totals.inode_count) + " inodes, " +
            std::to_string(report.totals.logical_bytes) + " bytes\n";
  }
  return text;
}

}  // namespace amberfs::testing
