// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/small_store.h"

#include "tests/fuzz/fuzz_target.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace amberfs::fuzz {
namespace {

Ino make(FileSystem& fs, Ino parent, ByteView name, std::uint32_t mode) {
  const auto made = fs.make({}, parent, name, {.mode = mode});
  require(made.has_value());
  return made->ino;
}

void write(FileSystem& fs, Ino file, std::uint64_t offset, ByteView bytes) {
  require(fs.write({}, file, offset, bytes, {}).has_value());
}

Bytes lines(int from, int to) {
  Bytes text;
  for (int i = from; i < to; ++i) text += "line " + std::to_string(i * 7919) + " of a log\n";
  return text;
}

}  // namespace

Status SmallStore::SplitIo::make_directory(const std::string& path) {
  TRY(disk_.make_directory(path));
  return memory_.make_directory(path);
}

SmallStore::SmallStore(std::shared_ptr<const StoreCipher> cipher) : cipher_(std::move(cipher)) {
  const std::string id(32, '0');
  std::optional<NewKeys> keys;
  if (cipher_) {
    // The engine is given the cipher: what the slots hold does not matter.
    keys.emplace(NewKeys{KeySlots(id), cipher_});
    const auto secret = [](char byte) { return SecretBytes::copy_of(Bytes(kKeySize, byte)); };
    require(
        keys->slots.add(secret('T').value(), {SecretKind::kKeyFile, secret('F').value()}, "fuzz")
            .has_value());
  }
  const std::string config = default_config_text(id, cipher_ != nullptr);
  require(Engine::create(io_, path_, config, 0, std::move(keys)).has_value());
  fill();
}

Result<RebuildReport> SmallStore::rebuild_index() {
  BlockStoreOptions options;
  options.cipher = cipher_;
  return BlockStore::rebuild_index(io_, path_, options);
}

void SmallStore::fill() {
  auto opened = open();
  require(opened.has_value());
  Engine& engine = **opened;
  FileSystem& fs = engine.filesystem();
  const Ino folder = make(fs, kRootIno, "d", S_IFDIR | 0755);
  const Ino log = make(fs, folder, "log", S_IFREG | 0644);
  const Ino other = make(fs, kRootIno, "other", S_IFREG | 0600);
  require(fs.symlink({}, kRootIno, "link", "d/log").has_value());
  require(fs.set_xattr({}, other, "user.x", "value", FileSystem::XattrMode::kAny).has_value());
  write(fs, log, 0, lines(0, 3000));
  write(fs, other, 10'000, "behind a hole");
  const Bytes hole = Bytes(10'000, '\0') + "behind a hole";
  const auto snapshot = [&](const char* name, Contents contents) {
    const auto taken = engine.snapshot({.name = name});
    require(taken.has_value());
    snapshots_[taken->manifest.id] = std::move(contents);
  };
  snapshot("first", {{"d/log", lines(0, 3000)}, {"other", hole}});
  write(fs, log, lines(0, 3000).size(), lines(3000, 4000));
  const Ino third = make(fs, folder, "third", S_IFREG | 0644);
  write(fs, third, 0, "third");
  snapshot("second", {{"d/log", lines(0, 4000)}, {"other", hole}, {"d/third", "third"}});
  // Only in the journal: a small write and a large one, which is packed.
  write(fs, third, 0, "THIRD");
  require(engine.live().sync().has_value());
  write(fs, log, lines(0, 4000).size(), lines(4000, 9000));
  require(engine.live().sync().has_value());
  live_["d/third"] = {"third", "THIRD"};
  live_["d/log"] = {lines(0, 4000), lines(0, 9000)};
  live_["other"] = {hole};
  keep(engine);
  require(engine.close().has_value());
}

// While it is open: what a kill leaves.
void SmallStore::keep(Engine&) {
  for (const auto& [path, bytes] : memory_.files()) {
    kept_[path] = std::make_shared<Bytes>(*bytes);
  }
  std::ifstream index(path_ + "/index/data.mdb", std::ios::binary);
  kept_index_.assign(std::istreambuf_iterator<char>(index), {});
  require(!kept_index_.empty());
}

void SmallStore::restore() {
  for (auto it = memory_.files().begin(); it != memory_.files().end();) {
    it = kept_.contains(it->first) ? std::next(it) : memory_.files().erase(it);
  }
  for (const auto& [path, bytes] : kept_) {
    memory_.files()[path] = std::make_shared<Bytes>(*bytes);
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path_ + "/index")) {
    std::filesystem::remove(entry.path(), ignored);
  }
  std::ofstream index(path_ + "/index/data.mdb", std::ios::binary);
  index.write(kept_index_.data(), static_cast<std::streamsize>(kept_index_.size()));
  require(index.flush().good());
}

}  // namespace amberfs::fuzz
