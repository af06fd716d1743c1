// SPDX-License-Identifier: Apache-2.0
// PackFiles: the packs that are open for reading, a bounded number; and which packs there are.
// Flow:    get: index → PackFiles → read_block.
// Threads: every method from any thread.
// Owns:    its descriptors; a file handed out lives as long as its holder wants. Borrows Io.
// Errors:  kCorrupt when there is no such pack; as of Io.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"
#include "blockstore/pack_format.h"

#include <cstring>
#include <list>
#include <memory>
#include <unordered_map>

namespace amberfs {

// Every file below `packs_directory` that is named like a pack, in order of name.
[[nodiscard]] Result<std::vector<PackId>> list_packs(Io& io, const std::string& packs_directory);

// What else is there by name.
struct ParityFiles {
  std::vector<PackId> whole;            // "abcd….parity"
  std::vector<std::string> unfinished;  // paths of what a crash left
};
[[nodiscard]] Result<ParityFiles> list_parity(Io& io, const std::string& packs_directory);

class PackFiles {
 public:
  // More than this many packs are never kept open for reading.
  static constexpr std::size_t kOpenMax = 64;

  PackFiles(Io& io, std::string packs_directory)
      : io_(io), packs_directory_(std::move(packs_directory)) {}

  [[nodiscard]] Result<std::shared_ptr<File>> open(const PackId& id);
  void forget(const PackId& id);
  void clear();

 private:
  struct Entry {
    PackId id{};
    std::shared_ptr<File> file;
  };
  struct IdHash {
    std::size_t operator()(const PackId& id) const noexcept {
      std::size_t value = 0;
      std::memcpy(&value, id.data(), sizeof value);  // random already
      return value;
    }
  };

  Io& io_;
  const std::string packs_directory_;
  Mutex mu_;
  std::list<Entry> entries_ GUARDED_BY(mu_);  // most recently used first
  std::unordered_map<PackId, std::list<Entry>::iterator, IdHash> by_id_ GUARDED_BY(mu_);
};

}  // namespace amberfs
