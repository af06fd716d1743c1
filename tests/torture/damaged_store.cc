// SPDX-License-Identifier: Apache-2.0
#include "tests/torture/damaged_store.h"

#include "fs/service.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <random>

namespace amberfs::bitflip {
namespace {

namespace fs = std::filesystem;

const Origin kNobody;
const std::string kStoreId(32, '0');

StoreSecret key_file() {
  return {SecretKind::kKeyFile, must(SecretBytes::copy_of(Bytes(kKeySize, 'F')))};
}

// Small packs and chunks, so that there are many of each.
std::string config_text(bool encrypted) {
  std::string text = default_config_text(kStoreId, encrypted);
  const auto set = [&](std::string_view from, std::string_view to) {
    text.replace(text.find(from), from.size(), to);
  };
  set("average = \"1MiB\"", "average = \"16KiB\"");
  set("min = \"256KiB\"", "min = \"4KiB\"");
  set("max = \"4MiB\"", "max = \"64KiB\"");
  set("[packs]\nsize = \"256MiB\"", "[packs]\nsize = \"1MiB\"");
  set("segment = \"64MiB\"", "segment = \"32MiB\"");
  return text;
}

void create_store(Io& io, const std::string& store, bool encrypted) {
  std::optional<NewKeys> keys;
  if (encrypted) {
    const SecretBytes data_key = must(SecretBytes::random(kKeySize));
    keys.emplace(NewKeys{KeySlots(kStoreId), must(StoreCipher::make(data_key))});
    must(keys->slots.add(data_key, key_file(), "campaign"));
  }
  must(Engine::create(io, store, config_text(encrypted), 0, std::move(keys)));
}

class Maker {
 public:
  Maker(const std::string& store, bool encrypted) : store_(store) {
    create_store(*io_, store, encrypted);
    engine_ = must(open_store(*io_, store));
  }

  Expected make() {
    for (int i = 0; i < 12; ++i) append(fmt::format("file{}", i), 120'000);
    keep("first");
    for (int i = 0; i < 4; ++i) append(fmt::format("file{}", i), 50'000);
    keep("second");
    append("given-up", 5'000);
    keep("third");
    must(engine_->forget({must(engine_->catalog().resolve("third"))}, "the campaign's tombstone"));
    expected_.erase("third");
    must(engine_->blocks().protect({}));
    must(engine_->scrub({}));
    // From here on in a segment of its own, which is replayed.
    must(engine_->close());
    engine_.reset();
    engine_ = must(open_store(*io_, store_));
    cut("file11", 20'000);
    for (int i = 0; i < 40; ++i) {
      append("log", 10'000);
      if (i % 5 == 0) must(engine_->filesystem().sync());
    }
    engine_->audit().note("campaign", nlohmann::json::object());
    must(engine_->filesystem().sync());
    // What a kill leaves: the newest changes are in the journal only.
    fs::copy(store_, store_ + ".killed", fs::copy_options::recursive);
    must(engine_->close());
    engine_.reset();
    fs::remove_all(store_);
    fs::rename(store_ + ".killed", store_);
    return std::move(expected_);
  }

 private:
  void append(const std::string& name, std::size_t size) {
    Bytes& content = expected_["live"][name];
    Bytes more(size, '\0');
    for (char& byte : more) byte = static_cast<char>(random_());
    Ino ino = 0;
    if (content.empty()) {
      ino = must(engine_->filesystem().make(kNobody, kRootIno, name, {.mode = S_IFREG | 0644})).ino;
    } else {
      ino = must(engine_->live_view()->resolve_path(name));
    }
    must(engine_->filesystem().write(kNobody, ino, content.size(), more, {}));
    content += more;
  }
  void cut(const std::string& name, std::size_t size) {
    const Ino ino = must(engine_->live_view()->resolve_path(name));
    must(engine_->filesystem().setattr(kNobody, ino, {.size_bytes = size}));
    expected_["live"][name].resize(size);
  }
  void keep(const std::string& name) {
    must(engine_->snapshot({.name = name}));
    expected_[name] = expected_["live"];
  }

  const std::string store_;
  std::mt19937_64 random_{42};
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Engine> engine_;
  Expected expected_;
};

bool is_absent(const Error& error) {
  return error.sys_errno == ENOENT || error.code == Errc::kNoSuchPath;
}

// Page by page, so that one that cannot be read does not hide the others.
void read_file(Engine& engine, const View& view, Ino ino, const Bytes& content, ReadBack& found) {
  constexpr std::size_t kPage = 4096;
  for (std::size_t at = 0; at < content.size(); at += kPage) {
    const std::size_t size = std::min(kPage, content.size() - at);
    Bytes bytes(size, '\0');
    const auto got = engine.data().read(view, ino, at, bytes.data(), size);
    found.failed |= !got;
    found.wrong |= got && (*got != size || bytes != content.substr(at, size));
  }
}

// What may be behind is the live tree, and only by what its newest changes were: appended bytes, a
// new file, one cut off.
void read_tree(Engine& engine, const View& view, const Tree& expected, const Tree* before,
               ReadBack& found) {
  for (const auto& [name, content] : expected) {
    const auto ino = view.resolve_path(name);
    const auto inode = ino ? view.inode(*ino) : fail(ino.error());
    if (!inode) {
      const bool absent = is_absent(inode.error());
      (absent ? (before != nullptr ? found.behind : found.wrong) : found.failed) = true;
      continue;
    }
    if (inode->size_bytes == content.size()) {
      read_file(engine, view, *ino, content, found);
      continue;
    }
    const auto earlier = before != nullptr ? before->find(name) : Tree::const_iterator{};
    const bool known = before != nullptr && earlier != before->end();
    Bytes was = known && inode->size_bytes == earlier->second.size() ? earlier->second : content;
    if (before == nullptr || inode->size_bytes > was.size()) {
      found.wrong = true;
      continue;
    }
    was.resize(inode->size_bytes);
    found.behind = true;
    read_file(engine, view, *ino, was, found);
  }
}

}  // namespace

void give_up(const Error& error) {
  fmt::print(stderr, "bitflip: {}\n", error.to_string());
  std::exit(kGaveUp);
}

void must(const Status& status) {
  if (!status) give_up(status.error());
}

Expected make_store(const std::string& store, bool encrypted) {
  return Maker(store, encrypted).make();
}

Result<std::unique_ptr<Engine>> open_store(Io& io, const std::string& store) {
  TRY_ASSIGN(const Config config, read_config(io, store));
  if (!config.encrypted) return Engine::open(io, store);
  TRY_ASSIGN(const KeySlots slots, read_key_slots(io, store));
  if (slots.store_id() != config.store_id) return fail(Errc::kKeysDamaged, 0, "of another store");
  TRY_ASSIGN(const KeySlots::Unlocked unlocked, slots.unlock(key_file()));
  TRY_ASSIGN(auto cipher, StoreCipher::make(unlocked.data_key));
  return Engine::open(io, store, std::move(cipher));
}

ReadBack read_all(Engine& engine, const Expected& expected) {
  ReadBack found;
  for (const auto& [name, tree] : expected) {
    if (name == "live") {
      const auto before = expected.find("second");
      read_tree(engine, *engine.live_view(), tree, &before->second, found);
      continue;
    }
    const auto manifest = engine.catalog().resolve(name);
    if (!manifest) {
      found.failed = true;
    } else {
      read_tree(engine, *engine.view_of(*manifest).view, tree, nullptr, found);
    }
  }
  return found;
}

Result<bool> is_verified(Engine& engine) {
  TRY_ASSIGN(const Reply reply, Service(engine).call(R"({"command":"verify","full":true})", {}));
  return nlohmann::json::parse(reply.json).at("ok").get<bool>();
}

}  // namespace amberfs::bitflip
