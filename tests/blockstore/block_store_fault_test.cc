// SPDX-License-Identifier: Apache-2.0
// Fails each call to the disk in turn, and cuts the power after it: nothing published is ever
// lost, nothing unpublished appears half, and the store works again as soon as the disk does.
#include "blockstore/pack_store.h"
#include "tests/blockstore/fault_rig.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/fault_io.h"
#include "tests/support/memory_index.h"

#include <set>

namespace amberfs {
namespace {

using testing::Fault;
using testing::FaultIo;
using testing::Form;
using testing::log_text;
using testing::MemoryIndex;
using testing::MemoryIndexState;
using testing::must;

constexpr std::uint64_t kCommits = 6;
constexpr std::uint64_t kBlocksPerCommit = 5;

struct Rig : testing::FaultRig {
  explicit Rig(Form form = Form::kPlain) : FaultRig(3 * kKiB, form) {}  // some seal a pack or two
};

// What the layer above does: puts the blocks of a commit, publishes, and remembers what it was
// told. A head names the commit that made it.
struct Writer {
  Status commit(BlockStore& store, std::uint64_t number) {
    std::map<BlockId, Bytes> blocks;
    attempted = number;
    for (std::uint64_t i = 0; i < kBlocksPerCommit; ++i) {
      Bytes text = log_text(number * 100 + i, 900);
      TRY_ASSIGN(BlockId id, store.put(text, BlockKind::kData));
      of_commit[number].push_back(id);
      blocks[id] = std::move(text);
    }
    TRY(store.publish(std::to_string(number)));
    promised.merge(blocks);
    published = number;
    return ok();
  }

  std::map<BlockId, Bytes> promised;
  std::map<std::uint64_t, std::vector<BlockId>> of_commit;  // put, promised or not
  std::uint64_t published = 0;
  std::uint64_t attempted = 0;
};

void expect_promises_kept(BlockStore& store, const Writer& writer) {
  const Bytes head = must(store.head());
  const std::uint64_t at = head.empty() ? 0 : std::stoull(head);
  // A publish that failed may have reached the disk as a whole, but nothing older may be there.
  EXPECT_GE(at, writer.published);
  EXPECT_LE(at, writer.attempted);
  for (const auto& [id, bytes] : writer.promised) {
    auto got = store.get(id);
    ASSERT_TRUE(got) << got.error().to_string();
    ASSERT_EQ(**got, bytes);
  }
  if (at == 0) return;
  ASSERT_GE(writer.of_commit.at(at).size(), kBlocksPerCommit);
  for (const BlockId& id : writer.of_commit.at(at)) {
    auto got = store.get(id);
    ASSERT_TRUE(got) << "the head stands, its blocks do not: " << got.error().to_string();
  }
  for (const Damage& damage : must(store.verify({.full = true, .progress = {}}))) {
    ADD_FAILURE() << damage.file << " at " << damage.offset << ": " << damage.what;
  }
}

struct Aftermath {
  bool power_cut = false;
  Form form = Form::kPlain;
};

// Commits with one fault on the way; a commit that failed is started again once. Ends with the
// store reopened, after a power cut if asked for.
void run(const Fault& fault, testing::IoOpSet counted, const Aftermath& aftermath, bool* fired) {
  Rig rig(aftermath.form);
  rig.io.count(counted);
  Writer writer;
  rig.io.arm(fault);
  auto store = rig.open();
  for (std::uint64_t number = 1; store && number <= kCommits; ++number) {
    if (!writer.commit(**store, number)) {
      (*store)->abandon();
      const Status again = writer.commit(**store, number);
      EXPECT_TRUE(again || fault.sticky) << number;
    }
    if (number == kCommits / 2) {
      const Status closed = (*store)->close();
      EXPECT_TRUE(closed || rig.io.fired());
      store->reset();
      store = rig.open();
    }
  }
  EXPECT_TRUE(store || rig.io.fired());
  *fired = rig.io.fired();
  if (store) store->reset();
  rig.io.disarm();
  if (aftermath.power_cut) must(rig.io.lose_unsynced());
  auto again = must(rig.open());
  expect_promises_kept(*again, writer);
  // And it goes on.
  Writer later = writer;
  must(later.commit(*again, writer.attempted + 1));
  expect_promises_kept(*again, later);
}

void run_every(Fault fault, testing::IoOpSet counted, const Aftermath& aftermath) {
  bool fired = true;
  std::uint64_t at = 1;
  for (; fired; ++at) {
    SCOPED_TRACE("call " + std::to_string(at));
    fault.at = at;
    run(fault, counted, aftermath, &fired);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(at, 40U) << "the fault struck too seldom to prove anything";
}

class BlockStoreFault : public ::testing::TestWithParam<Aftermath> {};

TEST_P(BlockStoreFault, KeepsPromisesWhenAnyChangeFails) {
  run_every({.sys_errno = EIO}, testing::kIoChanges, GetParam());
}

TEST_P(BlockStoreFault, KeepsPromisesWhenTheDiskIsFull) {
  run_every({.sys_errno = ENOSPC, .torn_percent = 60}, testing::kIoChanges, GetParam());
}

TEST_P(BlockStoreFault, KeepsPromisesWhenTheDiskGoesAway) {
  run_every({.sys_errno = EIO, .torn_percent = 30, .sticky = true}, testing::kIoChanges,
            GetParam());
}

TEST_P(BlockStoreFault, KeepsPromisesWhenAnyCallAtAllFails) {
  run_every({.sys_errno = EIO}, testing::kIoAll, GetParam());
}

TEST_P(BlockStoreFault, KeepsPromisesWhenTheIndexFails) {
  for (const bool takes_effect : {false, true}) {
    for (std::uint64_t at = 1; at < 20; ++at) {
      SCOPED_TRACE("index commit " + std::to_string(at));
      Rig rig(GetParam().form);
      {
        MutexLock lock(rig.state->mu);
        rig.state->fail_at = at;
        rig.state->takes_effect = takes_effect;
      }
      Writer writer;
      auto store = must(rig.open());
      for (std::uint64_t number = 1; number <= kCommits; ++number) {
        if (writer.commit(*store, number)) continue;
        store->abandon();
        EXPECT_TRUE(writer.commit(*store, number));
      }
      store.reset();
      if (GetParam().power_cut) must(rig.io.lose_unsynced());
      store = must(rig.open());
      expect_promises_kept(*store, writer);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BlockStoreFault,
                         ::testing::Values(Aftermath{false, Form::kPlain},
                                           Aftermath{true, Form::kPlain},
                                           Aftermath{true, Form::kEncrypted}),
                         [](const auto& with) {
                           if (!with.param.power_cut) return "Kill";
                           return with.param.form == Form::kPlain ? "PowerCut"
                                                                  : "EncryptedPowerCut";
                         });

TEST(BlockStoreFaultRule, NeverPublishesACommitThatLostABlock) {
  Rig rig;
  auto store = must(rig.open());
  Writer writer;
  must(writer.commit(*store, 1));
  must(store->put("kept", BlockKind::kData));
  rig.io.arm({.at = 1, .sys_errno = ENOSPC});
  EXPECT_FALSE(store->put("lost", BlockKind::kData));
  // The caller did not notice, and goes on.
  must(store->put("more", BlockKind::kData));
  auto published = store->publish("2");
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code, Errc::kNoSpace);
  EXPECT_EQ(must(store->head()), "1");
  // Started again as a whole, it succeeds.
  must(writer.commit(*store, 2));
}

TEST(BlockStoreFaultRule, NeverRetriesAFailedSyncIntoASuccess) {
  Rig rig;
  auto store = must(rig.open());
  Writer writer;
  must(writer.commit(*store, 1));
  const std::set<std::string> before = [&] {
    std::set<std::string> paths;
    for (const PackId& id : must(list_packs(*rig.posix, rig.dir / "packs"))) {
      paths.insert(pack_file_name(id));
    }
    return paths;
  }();
  must(store->put("block", BlockKind::kData));
  rig.io.count(testing::io_ops({testing::IoOp::kSync}));
  rig.io.arm({.at = 1});
  EXPECT_FALSE(store->publish("2"));
  ASSERT_TRUE(rig.io.fired());
  EXPECT_FALSE(must(store->contains(block_id(nullptr, "block"))))
      << "forgotten blocks are still there";
  rig.io.record();
  must(store->put("block", BlockKind::kData));
  must(store->publish("2"));
  for (const testing::IoCall& call : rig.io.take_calls()) {
    if (call.op != testing::IoOp::kSync && call.op != testing::IoOp::kWrite) continue;
    for (const std::string& path : before) EXPECT_FALSE(call.path.ends_with(path)) << call.path;
  }
}

TEST(BlockStoreFaultRule, LeavesNoPacksBehindOnAFullDisk) {
  Rig rig;
  auto store = must(rig.open());
  Writer writer;
  must(writer.commit(*store, 1));
  const std::size_t before = must(list_packs(*rig.posix, rig.dir / "packs")).size();
  for (int i = 0; i < 20; ++i) {
    // The third counted call of a fresh pack and later: creation works, writing does not.
    rig.io.count(testing::io_ops({testing::IoOp::kWrite}));
    rig.io.arm({.at = 2, .sys_errno = ENOSPC, .torn_percent = 50, .sticky = true});
    EXPECT_FALSE(writer.commit(*store, 2));
    store->abandon();
  }
  rig.io.disarm();
  EXPECT_LE(must(list_packs(*rig.posix, rig.dir / "packs")).size(), before + 1);
  must(writer.commit(*store, 2));
  expect_promises_kept(*store, writer);
}

}  // namespace
}  // namespace amberfs
