// SPDX-License-Identifier: Apache-2.0
// Catalog: the snapshots of a store: adds, lists, and resolves what a user types as SNAP.
// On disk: snapshots/SEQUENCE-TIME-ID16.json, one manifest a file. Sequence, time and the first 16
//          digits of the id stand in the file's name, so opening lists a directory and reads
//          nothing; manifests are read when asked for and kept.
// Durability: add() returns after the manifest and its name are durable; before that the snapshot
//          is not visible to anyone.
// Threads: every method from any thread.
// Owns:    nothing on disk but the directory's files; borrows Io.
// Errors:  kNoSuchSnapshot, kAmbiguousSnapshot, kSnapshotNameTaken, kBadSnapshotName, kCorrupt;
//          kBadRequest for a manifest that could not be read back or whose sequence is taken.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"
#include "blockstore/store_cipher.h"
#include "snapshot/manifest.h"

#include <map>
#include <memory>
#include <vector>

namespace amberfs {

class Catalog {
 public:
  // `cipher`: of an encrypted store; its manifests are sealed (document_seal.h).
  [[nodiscard]] static Result<std::unique_ptr<Catalog>> open(
      Io& io, const std::string& directory, std::shared_ptr<const StoreCipher> cipher = nullptr);
  ~Catalog();

  // Writes the manifest; fills in its id, and gives its texts the form they have on disk (valid
  // UTF-8). The name must be free and valid, the sequence never used before. After an error the
  // snapshot may still be there when the catalog is opened again, or settled.
  // With `make_link` it is sealed: the link is made last before it is written.
  [[nodiscard]] Status add(Manifest& manifest, const LinkMaker& make_link = {});
  // True: the snapshot whose add() failed last is there after all, and is known from now on.
  // Nothing to do after others.
  [[nodiscard]] Result<bool> settle();
  // Forgets a snapshot: its manifest's name is gone for good when it returns. No error when there
  // is none of that sequence.
  [[nodiscard]] Status remove(std::uint64_t sequence);
  [[nodiscard]] bool contains(std::uint64_t sequence);
  // Links in manifests that can be read, from the newest down to the first whose number is not
  // above `number`.
  [[nodiscard]] std::vector<Link> links_above(std::uint64_t number);
  // In order of sequence. A manifest that cannot be read is an error naming its file.
  [[nodiscard]] Result<std::vector<Manifest>> list();
  // Damaged manifests apart from the good ones: what list() would refuse over, and files that claim
  // the sequence of another one.
  struct Inspection {
    std::vector<Manifest> good;
    std::vector<std::pair<std::string, Error>> damaged;  // file, why
  };
  [[nodiscard]] Result<Inspection> inspect();

  // SNAP: `latest`, `latest~N`, an exact name, an id prefix of at least 4 hex digits, a sequence
  // written `#N`, or a time (the newest snapshot at or before it), tried in this order. When a
  // damaged manifest may be the one meant by a name, the error says so.
  [[nodiscard]] Result<Manifest> resolve(std::string_view snap);
  [[nodiscard]] Result<Manifest> by_sequence(std::uint64_t sequence);
  // The newest at or before the instant; kNoSuchSnapshot when all are later.
  [[nodiscard]] Result<Manifest> at(std::int64_t time_ns);
  // The directory name of a snapshot in .snapshots/ is format_time(time_ns): unique, as times
  // strictly increase by at least a millisecond.
  [[nodiscard]] Result<Manifest> by_time_name(std::string_view directory_name);
  [[nodiscard]] std::optional<std::uint64_t> newest_sequence();
  [[nodiscard]] std::size_t count();

  [[nodiscard]] static Status check_name(std::string_view name);

 private:
  struct Entry;
  Catalog(Io& io, std::string directory, std::shared_ptr<const StoreCipher> cipher);
  // A manifest's text between what it is and how it stands on disk.
  [[nodiscard]] Result<std::string> to_disk(std::string text) const;
  [[nodiscard]] Result<Manifest> from_disk(std::string text) const;
  [[nodiscard]] static std::shared_ptr<Entry> parse_file_name(std::string_view name);
  [[nodiscard]] static Status check_writable(const Manifest& manifest);
  [[nodiscard]] Status check_free(const Manifest& manifest) REQUIRES(mu_);
  // The snapshot of that name, or null. `*damaged`: a manifest that may have had it.
  [[nodiscard]] Result<std::shared_ptr<Entry>> find_by_name(std::string_view name, Error* damaged)
      REQUIRES(mu_);
  [[nodiscard]] Status load(Entry& entry) REQUIRES(mu_);
  [[nodiscard]] Result<Manifest> loaded(const std::shared_ptr<Entry>& entry) REQUIRES(mu_);
  [[nodiscard]] Result<Manifest> resolve_latest(std::string_view snap) REQUIRES(mu_);
  [[nodiscard]] Result<std::shared_ptr<Entry>> find_by_id(std::string_view prefix) REQUIRES(mu_);
  [[nodiscard]] std::shared_ptr<Entry> newest_at(std::int64_t time_ns) REQUIRES(mu_);

  Io& io_;
  std::string directory_;
  const std::shared_ptr<const StoreCipher> cipher_;
  Mutex mu_;
  std::map<std::uint64_t, std::shared_ptr<Entry>> entries_ GUARDED_BY(mu_);  // by sequence
  // Files that claim the sequence of an entry: kept off, as it is a view's number in node ids.
  std::vector<std::string> doubles_ GUARDED_BY(mu_);
  std::shared_ptr<Entry> unsettled_ GUARDED_BY(mu_);  // add() failed in the midst of writing it
};

}  // namespace amberfs
