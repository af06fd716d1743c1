// SPDX-License-Identifier: Apache-2.0
// ParityFile: the parity of one sealed pack, opened for reading: whatever of it can be read helps.
// Flow:    heal: open → matches() for each shard of the pack → ErasureCode.
// Threads: one at a time.
// Owns:    its descriptor and both copies of the checksums (two times 8 bytes a shard).
// Errors:  kCorrupt when neither header is valid; ENOENT; kNewerFormat. What else is damaged is in
//          damaged() and check().
// Format:  docs/format/parity.md.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/pace.h"
#include "blockstore/parity_format.h"

namespace amberfs {

// A damaged part of a file.
struct FileRange {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::string what;
};

// A piece of a file that is cut into shards, as far as it can be read.
struct ShardRun {
  explicit ShardRun(std::uint32_t shard) : shard_size(shard) {}
  // Reads `count` shards at `offset`. Bytes from `end` on are zeros that need not be in the file.
  void read(File& file, std::uint64_t offset, std::uint64_t count, std::uint64_t end);
  [[nodiscard]] ByteView shard(std::uint64_t i) const {
    return ByteView(bytes).substr(i * shard_size, shard_size);
  }

  const std::uint32_t shard_size;
  Bytes bytes;                 // zeros where it cannot be read
  std::vector<bool> readable;  // of each shard
};

class ParityFile {
 public:
  [[nodiscard]] static Result<ParityFile> open(Io& io, const std::string& packs_directory,
                                               const PackId& id, std::uint64_t pack_size);

  [[nodiscard]] const ParityGeometry& geometry() const { return header_.geometry; }
  // Whether these are the bytes of the shard as it was. Shards are counted by rows, data first.
  [[nodiscard]] bool matches(std::uint64_t shard, ByteView bytes) const;
  // Shards of a parity row, from column `first` on.
  void read_row(unsigned parity_row, std::uint64_t first, std::uint64_t count, ShardRun& run);
  // What is wrong with headers and checksums.
  [[nodiscard]] const std::vector<FileRange>& damaged() const { return damaged_; }
  // The same and of the parity rows; shorter when the pace says stop.
  [[nodiscard]] std::vector<FileRange> check(Pace& pace);
  [[nodiscard]] const std::string& path() const { return file_->path(); }

 private:
  explicit ParityFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  [[nodiscard]] Status read_headers(const PackId& id, std::uint64_t pack_size);
  void read_table(std::uint64_t offset, Bytes& table);

  std::unique_ptr<File> file_;
  ParityHeader header_;
  Bytes tables_[2];  // as they stand in the file, zeros where they cannot be read
  std::vector<FileRange> damaged_;
};

}  // namespace amberfs
