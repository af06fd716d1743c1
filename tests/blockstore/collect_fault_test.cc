// SPDX-License-Identifier: Apache-2.0
// Fails each call to the disk, and each commit of the index, while packs are rewritten, and cuts
// the power after it: every live block and the head are there, by the index and by the packs alone.
#include "blockstore/pack_store.h"
#include "tests/blockstore/collect_support.h"
#include "tests/blockstore/fault_rig.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/fault_io.h"
#include "tests/support/memory_index.h"

#include <filesystem>

namespace amberfs {
namespace {

using testing::collect;
using testing::Fault;
using testing::FaultIo;
using testing::Form;
using testing::live_list;
using testing::log_text;
using testing::MemoryIndex;
using testing::MemoryIndexState;
using testing::must;

struct Rig : testing::FaultRig {
  explicit Rig(Form form) : FaultRig(5 * kKiB, form) { options.index_map_size_bytes = 16 * kMiB; }
};

// What is published, and which of it is live.
struct Content {
  void fill(BlockStore& store) {
    for (std::uint64_t i = 0; i < 24; ++i) {
      Bytes text = log_text(i, 1500);
      const BlockId id = must(store.put(text, i % 4 == 0 ? BlockKind::kNode : BlockKind::kData));
      if (i % 3 != 0) live[id] = std::move(text);
      if (i % 6 == 5) must(store.publish(head = "head " + std::to_string(i)));
    }
  }
  void expect_kept(BlockStore& store) const {
    EXPECT_EQ(must(store.head()), head);
    for (const auto& [id, bytes] : live) {
      auto got = store.get(id);
      ASSERT_TRUE(got) << got.error().to_string();
      ASSERT_EQ(**got, bytes);
    }
    for (const Damage& damage : must(store.verify({.full = true, .progress = {}}))) {
      ADD_FAILURE() << damage.file << " at " << damage.offset << ": " << damage.what;
    }
  }

  std::map<BlockId, Bytes> live;
  Bytes head;
};

// From the packs alone, the index aside.
void expect_rebuilt(Rig& rig, const Content& content) {
  std::error_code failed;
  std::filesystem::remove_all(rig.dir / "index", failed);
  const RebuildReport report =
      must(BlockStore::rebuild_index(*rig.posix, rig.dir.path(), rig.options));
  EXPECT_TRUE(report.head_found);
  auto store = must(BlockStore::open(*rig.posix, rig.dir.path(), rig.options));
  content.expect_kept(*store);
  must(store->close());
}

// Everything goes on behind the fault: more is put, and the next collection does its work.
void expect_goes_on(Rig& rig, Content& content) {
  auto store = must(rig.open());
  Bytes text = log_text(900, 1500);
  content.live[must(store->put(text, BlockKind::kData))] = text;
  must(store->publish(content.head = "after"));
  const CompactReport report = must(collect(*store, live_list(content.live)));
  EXPECT_TRUE(report.damage.empty());
  EXPECT_EQ(must(store->stats()).block_count, content.live.size());
  content.expect_kept(*store);
  must(store->close());
  // No pack is left that the index does not know.
  EXPECT_EQ(must(list_packs(*rig.posix, rig.dir / "packs")).size(),
            must(MemoryIndex(rig.state).packs()).size());
}

enum class Aftermath { kKill, kPowerCut, kRebuild, kEncryptedRebuild };

Form form_of(Aftermath aftermath) {
  return aftermath == Aftermath::kEncryptedRebuild ? Form::kEncrypted : Form::kPlain;
}

void look(Rig& rig, Content& content, Aftermath aftermath) {
  if (aftermath != Aftermath::kKill) must(rig.io.lose_unsynced());
  if (aftermath == Aftermath::kRebuild || aftermath == Aftermath::kEncryptedRebuild) {
    return expect_rebuilt(rig, content);
  }
  auto store = must(rig.open());
  content.expect_kept(*store);
  must(store->close());
  store.reset();
  expect_goes_on(rig, content);
}

void run(const Fault& fault, testing::IoOpSet counted, Aftermath aftermath, bool* fired) {
  Rig rig(form_of(aftermath));
  Content content;
  auto store = must(rig.open());
  content.fill(*store);
  rig.io.count(counted);
  rig.io.arm(fault);
  const auto report = collect(*store, live_list(content.live));
  *fired = rig.io.fired();
  EXPECT_TRUE(report || *fired) << report.error().to_string();
  rig.io.disarm();
  content.expect_kept(*store);  // also before anything is opened again
  store.reset();
  look(rig, content, aftermath);
}

class CollectFault : public ::testing::TestWithParam<Aftermath> {
 protected:
  void run_every(Fault fault, testing::IoOpSet counted) {
    bool fired = true;
    std::uint64_t at = 1;
    for (; fired; ++at) {
      SCOPED_TRACE("call " + std::to_string(at));
      fault.at = at;
      run(fault, counted, GetParam(), &fired);
      if (HasFailure()) return;
    }
    EXPECT_GT(at, 40U) << "the fault struck too seldom to prove anything";
  }
};

TEST_P(CollectFault, LosesNothingWhenAnyChangeFails) {
  run_every({.sys_errno = EIO}, testing::kIoChanges);
}

TEST_P(CollectFault, LosesNothingWhenTheDiskIsFull) {
  run_every({.sys_errno = ENOSPC, .torn_percent = 60}, testing::kIoChanges);
}

TEST_P(CollectFault, LosesNothingWhenTheDiskGoesAway) {
  run_every({.sys_errno = EIO, .torn_percent = 30, .sticky = true}, testing::kIoChanges);
}

TEST_P(CollectFault, LosesNothingWhenAnyCallAtAllFails) {
  run_every({.sys_errno = EIO}, testing::kIoAll);
}

TEST_P(CollectFault, LosesNothingWhenTheIndexFails) {
  for (const bool takes_effect : {false, true}) {
    bool fired = true;
    for (std::uint64_t at = 1; fired; ++at) {
      SCOPED_TRACE("index commit " + std::to_string(at) + (takes_effect ? ", done" : ""));
      Rig rig(form_of(GetParam()));
      Content content;
      auto store = must(rig.open());
      content.fill(*store);
      {
        MutexLock lock(rig.state->mu);
        rig.state->fail_at = rig.state->commits + at;
        rig.state->takes_effect = takes_effect;
      }
      const auto report = collect(*store, live_list(content.live));
      {
        MutexLock lock(rig.state->mu);
        fired = rig.state->commits >= rig.state->fail_at;
        rig.state->fail_at = 0;
      }
      EXPECT_TRUE(report || fired);
      content.expect_kept(*store);
      store.reset();
      look(rig, content, GetParam());
      if (HasFailure()) return;
      if (!fired) {
        EXPECT_GT(at, 4U);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CollectFault,
                         ::testing::Values(Aftermath::kKill, Aftermath::kPowerCut,
                                           Aftermath::kRebuild, Aftermath::kEncryptedRebuild),
                         [](const auto& with) {
                           return with.param == Aftermath::kKill       ? "Kill"
                                  : with.param == Aftermath::kPowerCut ? "PowerCut"
                                  : with.param == Aftermath::kRebuild  ? "Rebuild"
                                                                       : "EncryptedRebuild";
                         });

}  // namespace
}  // namespace amberfs
