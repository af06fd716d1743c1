// SPDX-License-Identifier: Apache-2.0
// A store that somebody else made, with links in it: whatever its owner does with it, nothing
// outside of it is changed.
#include "fs/engine.h"
#include "fs/service.h"
#include "fs/verify_store.h"
#include "tests/support/both_forms.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

namespace amberfs {
namespace {

namespace fs = std::filesystem;

class HostileStore : public ::testing::Test {
 protected:
  HostileStore() {
    EXPECT_TRUE(
        testing::create_store(*io_, made_, testing::test_config_text(std::string(32, '0'))));
    use(made_);
  }
  // Everything that writes. What it refuses is its own affair.
  void use(const std::string& store) {
    if (testing::encrypting()) (void)read_key_slots(*io_, store);
    auto engine = testing::open_engine(*io_, store);
    if (engine) {
      FileSystem& files = (*engine)->filesystem();
      const std::string name = "log-" + std::to_string(++count_);
      const auto made = files.make({}, kRootIno, name, {.mode = S_IFREG | 0600});
      if (made) (void)files.write({}, made->ino, 0, "a line of a log\n", {});
      (void)(*engine)->snapshot({.reason = name});
      (void)Service(**engine).call(R"({"command":"forget","snaps":["latest"]})", {});
      (void)verify_store(**engine, true, {});
      (void)(*engine)->close();
    }
    engine = {};
    BlockStoreOptions options;
    options.cipher = testing::test_cipher();
    (void)BlockStore::rebuild_index(*io_, store, options);
  }
  static std::map<std::string, std::string> tree_of(const std::string& path) {
    std::map<std::string, std::string> tree;
    const auto add = [&](const fs::path& file) {
      std::ifstream stream(file, std::ios::binary);
      tree[file] = fs::is_directory(file) ? "directory"
                                          : std::string(std::istreambuf_iterator<char>(stream), {});
    };
    if (!fs::exists(path)) return tree;
    add(path);
    if (!fs::is_directory(path)) return tree;
    for (const auto& entry : fs::recursive_directory_iterator(path)) add(entry.path());
    return tree;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  const std::string made_ = dir_ / "made";
  int count_ = 0;
};

TEST_F(HostileStore, NothingIsWrittenThroughALink) {
  std::set<std::string> names{"audit.log.new",
                              "scrub.state",
                              "scrub.state.new",
                              "chain.new",
                              "signing.key.new",
                              "config.toml.new",
                              "keys.json.new",
                              "keys.lock",
                              "index/rebuild.mdb",
                              "index/rebuild.mdb-lock",
                              "reserve"};
  for (const auto& entry : fs::recursive_directory_iterator(made_)) {
    names.insert(fs::relative(entry.path(), made_));
  }
  ASSERT_GT(names.size(), 20U);
  const std::string store = dir_ / "store";
  const std::string outside = dir_ / "outside";
  for (const std::string& name : names) {
    fs::remove_all(store);
    fs::remove_all(outside);
    fs::copy(made_, store, fs::copy_options::recursive);
    // What is there works as it did, but stands elsewhere; or a file of somebody else's does.
    if (fs::exists(store + "/" + name)) {
      fs::rename(store + "/" + name, outside);
    } else {
      std::ofstream(outside) << "a file of somebody else's\n";
    }
    fs::create_symlink(outside, store + "/" + name);
    const auto before = tree_of(outside);
    use(store);
    EXPECT_EQ(tree_of(outside), before) << name;
    // A link to what is not there yet makes nothing there.
    fs::remove_all(outside);
    fs::remove_all(store);
    fs::copy(made_, store, fs::copy_options::recursive);
    fs::remove_all(store + "/" + name);
    fs::create_symlink(outside, store + "/" + name);
    use(store);
    EXPECT_FALSE(fs::exists(outside)) << name;
  }
}

TEST_F(HostileStore, APipeInItHoldsNothingUp) {
  for (const char* name : {"config.toml", "audit.log", "chain", "signing.key", "lock",
                           "index/data.mdb", "index/data.mdb-lock"}) {
    const std::string store = dir_ / "store";
    fs::remove_all(store);
    fs::copy(made_, store, fs::copy_options::recursive);
    fs::remove(store + "/" + name);
    ASSERT_EQ(::mkfifo((store + "/" + name).c_str(), 0600), 0);
    use(store);
  }
}

}  // namespace
}  // namespace amberfs
