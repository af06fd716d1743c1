// SPDX-License-Identifier: Apache-2.0
// Engine::collect: every snapshot, every held view and the live tree stay as they are; what nothing
// names any more goes.
#include "fs/engine.h"
#include "fs/verify_store.h"
#include "tests/support/both_forms.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace amberfs {
namespace {

const Origin kNobody;

std::string noise(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

class EngineCollect : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string config = testing::test_config_text(std::string(32, '0'));
    const auto set = [&](std::string_view from, std::string_view to) {
      const auto at = config.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      config.replace(at, from.size(), to);
    };
    set("average = \"1MiB\"", "average = \"64KiB\"");
    set("min = \"256KiB\"", "min = \"16KiB\"");
    set("max = \"4MiB\"", "max = \"256KiB\"");
    const Status made = testing::create_store(*io_, store_, config);
    ASSERT_TRUE(made) << made.error().to_string();
    open();
    options_.compact.zstd_level = 3;
    options_.recent = std::chrono::seconds(0);
  }
  void open() {
    engine_.reset();
    auto opened = testing::open_engine(*io_, store_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    engine_ = *std::move(opened);
  }
  Ino make(ByteView name) {
    auto made = engine_->filesystem().make(kNobody, kRootIno, name, {.mode = S_IFREG | 0644});
    EXPECT_TRUE(made);
    return made ? made->ino : kNoIno;
  }
  void write(Ino ino, std::uint64_t offset, const std::string& data) {
    const Status written = engine_->filesystem().write(kNobody, ino, offset, data, {});
    ASSERT_TRUE(written) << written.error().to_string();
  }
  std::string read(const View& view, ByteView name) {
    auto ino = view.resolve_path(name);
    EXPECT_TRUE(ino);
    if (!ino) return {};
    auto inode = view.inode(*ino);
    EXPECT_TRUE(inode);
    std::string bytes(inode ? inode->size_bytes : 0, '\0');
    auto got = engine_->data().read(view, *ino, 0, bytes.data(), bytes.size());
    EXPECT_TRUE(got) << (got ? "" : got.error().to_string());
    return bytes;
  }
  Manifest snapshot() {
    auto taken = engine_->snapshot({});
    EXPECT_TRUE(taken);
    return taken ? taken->manifest : Manifest{};
  }
  CompactReport collect() {
    auto report = engine_->collect(options_);
    EXPECT_TRUE(report) << (report ? "" : report.error().to_string());
    return report ? *report : CompactReport{};
  }
  void expect_whole() {
    auto report = verify_store(*engine_, true, {});
    ASSERT_TRUE(report);
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.object << finding.what;
  }
  using Kept = std::vector<std::pair<Manifest, std::string>>;
  // Snapshots with what "log" was in them, and what it is now; as it stands, and opened anew.
  void expect_kept(const Kept& kept, const std::string& content) {
    for (int round = 0; round < 2; ++round) {
      for (const auto& [manifest, expected] : kept) {
        EXPECT_EQ(read(*engine_->view_of(manifest).view, "log"), expected);
      }
      EXPECT_EQ(read(*engine_->live_view(), "log"), content);
      expect_whole();
      open();
    }
  }
  std::uint64_t pack_bytes() { return engine_->blocks().stats()->pack_bytes; }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  const std::string store_ = dir_ / "store";
  CollectOptions options_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineCollect, KeepsEverySnapshotAndDropsTheCommitsBetween) {
  Kept kept;
  const Ino ino = make("log");
  std::string content;
  for (std::uint64_t i = 0; i < 12; ++i) {
    content = noise(i, 200'000);
    write(ino, 0, content);
    if (i % 4 == 3) {
      kept.emplace_back(snapshot(), content);
    } else {
      ASSERT_TRUE(engine_->commit());
    }
  }
  const std::uint64_t before = pack_bytes();
  const CompactReport report = collect();
  EXPECT_GT(report.blocks_dropped, 9U);
  EXPECT_LT(pack_bytes(), 3 * 230'000U);
  EXPECT_GT(before, 12 * 200'000U);
  expect_kept(kept, content);
  EXPECT_EQ(collect().blocks_moved, 0U);
}

TEST_F(EngineCollect, CommitsFirstAndKeepsWhatIsOnlyInTheJournal) {
  write(make("log"), 0, noise(1, 100'000));
  collect();
  EXPECT_FALSE(engine_->live().dirty());
  EXPECT_EQ(read(*engine_->live_view(), "log"), noise(1, 100'000));
  EXPECT_EQ(collect().blocks_moved, 0U);
}

TEST_F(EngineCollect, KeepsATreeThatSomebodyLooksAt) {
  const Ino ino = make("log");
  write(ino, 0, noise(1, 100'000));
  ASSERT_TRUE(engine_->commit());
  auto held = engine_->view_of({.root = engine_->head().root});
  write(ino, 0, noise(2, 100'000));
  ASSERT_TRUE(engine_->commit());
  collect();
  EXPECT_EQ(read(*held.view, "log"), noise(1, 100'000));
  held = {};
  EXPECT_GT(collect().blocks_dropped, 0U);
}

TEST_F(EngineCollect, KeepsTreesThatWereLiveAMomentAgo) {
  const Ino ino = make("log");
  write(ino, 0, noise(1, 100'000));
  ASSERT_TRUE(engine_->commit());
  const BlockId root = engine_->head().root;
  write(ino, 0, noise(2, 100'000));
  ASSERT_TRUE(engine_->commit());
  options_.recent = std::chrono::seconds(300);
  collect();
  EXPECT_EQ(read(*engine_->view_of({.root = root}).view, "log"), noise(1, 100'000));
}

TEST_F(EngineCollect, DropsNothingWhenASnapshotCannotBeRead) {
  const Ino ino = make("log");
  write(ino, 0, noise(1, 100'000));
  snapshot();
  write(ino, 0, noise(2, 100'000));
  ASSERT_TRUE(engine_->commit());
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(store_ + "/snapshots")) {
    path = entry.path();
  }
  engine_.reset();
  std::ofstream(path, std::ios::trunc) << "rot";
  open();
  const std::uint64_t before = engine_->blocks().stats()->block_count;
  const auto report = engine_->collect(options_);
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().object.find(std::filesystem::path(path).filename()), std::string::npos);
  EXPECT_EQ(engine_->blocks().stats()->block_count, before);
}

// Writers, snapshots and a rollback beside collections.
TEST_F(EngineCollect, IsNoticedByNobody) {
  options_.compact.low_priority = false;
  const Ino ino = make("log");
  std::atomic<bool> stop = false;
  Kept kept;
  std::string content;
  std::thread writer([&] {
    std::mt19937_64 random(7);
    for (std::uint64_t i = 0; !stop; ++i) {
      // From few different texts, so that blocks that were dropped come again.
      const std::string part = noise(random() % 6, 70'000);
      const std::uint64_t offset = random() % 3 * 70'000;
      write(ino, offset, part);
      if (content.size() < offset + part.size()) content.resize(offset + part.size());
      content.replace(offset, part.size(), part);
      if (i % 3 == 0) {
        ASSERT_TRUE(engine_->commit());
      } else if (i % 7 == 0 && kept.size() < 8) {
        kept.emplace_back(snapshot(), content);
      } else if (i % 29 == 0 && !kept.empty()) {
        auto rolled = engine_->rollback(kept.front().first, true);
        ASSERT_TRUE(rolled) << rolled.error().to_string();
        content = kept.front().second;
      }
      ASSERT_EQ(read(*engine_->live_view(), "log"), content);
    }
  });
  for (int round = 0; round < 30; ++round) collect();
  stop = true;
  writer.join();
  expect_kept(kept, content);
}

}  // namespace
}  // namespace amberfs
