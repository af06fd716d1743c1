// SPDX-License-Identifier: Apache-2.0
// ChainFile: STORE/chain, all links ever made, as records of one size, only ever appended to. Each
// link stands in its document as well (manifest or note); so one rotten file does not cut the path
// of trust, and the links of forgotten snapshots stay.
// Durability: append() returns when the record is on the disk. After an error what is there is
//             unknown: the next append() writes the whole file anew beside it, and renames.
// Threads: one at a time (Chain's user holds a lock).
// Owns:    nothing on disk but the file's content; borrows Io.
// Format:  docs/format/chain.md.
// Errors:  kCorrupt when the file's header is damaged, kNewerFormat; damaged records are gaps, not
//          errors.
#pragma once

#include "blockstore/base/io.h"
#include "snapshot/link.h"

#include <vector>

namespace amberfs {

constexpr std::string_view kChainFileName = "chain";

class ChainFile {
 public:
  // An empty chain; over one that is there, if any.
  [[nodiscard]] static Status create(Io& io, const std::string& path, const PublicKey& first_key);
  // Reads the header and the newest record that is whole.
  [[nodiscard]] static Result<ChainFile> open(Io& io, const std::string& path);

  [[nodiscard]] const PublicKey& first_key() const { return first_key_; }
  // The end as the records tell it. Behind it there may be torn or damaged ones.
  [[nodiscard]] const ChainEnd& end() const { return end_; }
  // `link` must be the one that follows end(). It counts from then on, also after an error: its
  // document is on the disk.
  [[nodiscard]] Status append(const Link& link);

  // Every place of the file: a link, or nothing where the record is damaged.
  struct Records {
    std::vector<std::optional<Link>> links;
    std::uint64_t odd_bytes = 0;  // behind the last whole place
  };
  [[nodiscard]] Result<Records> read_all();
  // Written beside, renamed over: for repair.
  [[nodiscard]] Status replace(std::span<const Link> links);

 private:
  ChainFile(Io& io, std::string path, const PublicKey& first_key)
      : io_(&io), path_(std::move(path)), first_key_(first_key) {}
  [[nodiscard]] Status append_in_place(const Link& link);
  [[nodiscard]] Status append_by_replacing();

  Io* io_;
  std::string path_;
  PublicKey first_key_;
  ChainEnd end_;
  std::vector<Link> unwritten_;  // since an append failed
};

}  // namespace amberfs
