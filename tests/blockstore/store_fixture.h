// SPDX-License-Identifier: Apache-2.0
// What the tests of the block store share: a store in a fresh directory, plain or encrypted, blocks
// made from numbers, and access to the bytes of its packs.
#pragma once

#include "blockstore/block_store.h"
#include "blockstore/frame_cipher.h"
#include "blockstore/pack_files.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <random>

namespace amberfs::testing {

// Text that compresses like a log, the same for the same number.
inline Bytes log_text(std::uint64_t number, std::size_t size) {
  std::mt19937_64 random(number + 1);
  Bytes text;
  while (text.size() < size) {
    text += "2026-11-20T10:00:00Z host-" + std::to_string(random() % 8) + " app[" +
            std::to_string(random() % 1000) + "]: request " + std::to_string(random()) + " done\n";
  }
  text.resize(size);
  return text;
}

inline Bytes random_text(std::uint64_t number, std::size_t size) {
  std::mt19937_64 random(number);
  Bytes bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result) << (result ? "" : result.error().to_string());
  if (!result) std::abort();
  return *std::move(result);
}

inline void must(const Status& status) {
  ASSERT_TRUE(status) << status.error().to_string();
}

// What a store is from init on. Every rule of the block store holds for both.
enum class Form { kPlain, kEncrypted };

inline std::shared_ptr<const StoreCipher> cipher_of(char key) {
  return must(StoreCipher::make(must(SecretBytes::copy_of(Bytes(kKeySize, key)))));
}
inline std::shared_ptr<const StoreCipher> cipher_of(Form form) {
  return form == Form::kEncrypted ? cipher_of('k') : nullptr;
}

// INSTANTIATE_TEST_SUITE_P(Forms, Suite, testing::both_forms(), testing::form_name);
inline auto both_forms() {
  return ::testing::Values(Form::kPlain, Form::kEncrypted);
}
inline std::string form_name(const ::testing::TestParamInfo<Form>& with) {
  return with.param == Form::kEncrypted ? "Encrypted" : "Plain";
}

class StoreFixture : public ::testing::TestWithParam<Form> {
 protected:
  void SetUp() override {
    options.cipher = cipher_of(GetParam());
    options.index_map_size_bytes = 64 * kMiB;
    must(BlockStore::create(*io, dir.path(), options));
    open();
  }
  void open() { store = must(BlockStore::open(*io, dir.path(), options)); }
  [[nodiscard]] bool encrypted() const { return options.cipher != nullptr; }
  [[nodiscard]] FrameCipher frames() const { return FrameCipher(options.cipher); }
  [[nodiscard]] BlockId id_of(ByteView bytes) const { return frames().id_of(bytes); }
  void close() {
    if (store) must(store->close());
    store.reset();
  }
  void reopen() {
    close();
    open();
  }
  BlockId put(const Bytes& bytes, BlockKind kind = BlockKind::kData) {
    return must(store->put(bytes, kind));
  }
  // Publishes `count` blocks of their own and returns them by id.
  std::map<BlockId, Bytes> publish_blocks(std::uint64_t first, std::size_t count,
                                          std::size_t size = 2000) {
    std::map<BlockId, Bytes> blocks;
    for (std::size_t i = 0; i < count; ++i) {
      Bytes text = log_text(first + i, size);
      BlockId id = put(text);
      blocks[id] = std::move(text);
    }
    must(store->publish("head after " + std::to_string(first + count)));
    return blocks;
  }
  void expect_all(const std::map<BlockId, Bytes>& blocks) {
    for (const auto& [id, bytes] : blocks) {
      auto got = store->get(id);
      ASSERT_TRUE(got) << got.error().to_string();
      EXPECT_EQ(**got, bytes);
    }
  }
  [[nodiscard]] std::vector<std::string> pack_paths() {
    std::vector<std::string> paths;
    for (const PackId& id : must(list_packs(*io, dir / "packs"))) {
      paths.push_back(dir / "packs/" + pack_file_name(id));
    }
    return paths;
  }
  [[nodiscard]] Bytes bytes_of(const std::string& path) { return must(io->read_file(path, kGiB)); }
  void overwrite(const std::string& path, const Bytes& bytes) {
    auto file = must(io->open(path, OpenMode::kReadWrite));
    must(file->truncate(0));
    must(file->pwrite(bytes, 0));
    must(file->close());
  }
  void flip(const std::string& path, std::size_t offset) {
    Bytes bytes = bytes_of(path);
    bytes.at(offset) = static_cast<char>(bytes.at(offset) ^ 0x40);
    overwrite(path, bytes);
  }

  TempDir dir;
  std::unique_ptr<Io> io = make_posix_io();
  BlockStoreOptions options;
  std::unique_ptr<BlockStore> store;
};

}  // namespace amberfs::testing
