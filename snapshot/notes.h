// SPDX-License-Identifier: Apache-2.0
// Notes: the documents of the sealed chain that are no snapshots: a tombstone names snapshots that
// were forgotten on purpose, a begin note those that were there before the chain. Immutable.
// On disk: notes/SEQUENCE-ID16.json, one a file; an older store gets the directory with the first.
// Format:  docs/format/chain.md. Id and checksum as those of a manifest; sealed in an encrypted
//          store.
// Durability: add() returns after the note and its name are durable.
// Threads: every method from any thread.
// Owns:    nothing on disk but the files; borrows Io.
// Errors:  kCorrupt and kNewerFormat with the file; kBadRequest for a note that is too large.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"
#include "blockstore/store_cipher.h"
#include "snapshot/link.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace amberfs {

struct Note {
  static constexpr std::size_t kSnapshotsMax = 10'000;  // of a tombstone

  LinkKind kind = LinkKind::kTombstone;  // or kBegin
  std::uint64_t sequence = 0;
  std::int64_t time_ns = 0;
  std::string reason;
  struct Named {
    std::uint64_t sequence = 0;
    std::int64_t time_ns = 0;
    std::string id;            // of the manifest: 64 hex digits
    std::optional<Link> link;  // of the manifest that goes: so that two copies of it stay
  };
  std::vector<Named> snapshots;
  std::string id;  // 64 hex digits
  std::optional<Link> link;
};

[[nodiscard]] std::string encode_note(Note& note);  // fills in id
[[nodiscard]] Result<Note> decode_note(ByteView json);
[[nodiscard]] LinkSubject link_subject(const Note& note);

class Notes {
 public:
  // `cipher`: of an encrypted store, or null.
  [[nodiscard]] static Result<std::unique_ptr<Notes>> open(
      Io& io, const std::string& directory, std::shared_ptr<const StoreCipher> cipher = nullptr);

  // Fills in id and link. After an error the note may still be there: see settle().
  [[nodiscard]] Status add(Note& note, const LinkMaker& make_link);
  // True: the note whose add() failed last is there after all. Nothing to do after others.
  [[nodiscard]] Result<bool> settle();

  struct Inspection {
    std::vector<Note> good;                              // in order of sequence
    std::vector<std::pair<std::string, Error>> damaged;  // file, why
  };
  [[nodiscard]] Result<Inspection> inspect();
  [[nodiscard]] Result<std::optional<Note>> newest();
  [[nodiscard]] std::uint64_t newest_sequence();  // 0: none
  // Links in notes that can be read, their own and those of the snapshots they name, from the
  // newest note down to the first whose own number is not above `number`.
  [[nodiscard]] std::vector<Link> links_above(std::uint64_t number);

 private:
  Notes(Io& io, std::string directory, std::shared_ptr<const StoreCipher> cipher)
      : io_(io), directory_(std::move(directory)), cipher_(std::move(cipher)) {}
  [[nodiscard]] Result<Note> load(std::uint64_t sequence, const std::string& path);

  Io& io_;
  const std::string directory_;
  const std::shared_ptr<const StoreCipher> cipher_;
  Mutex mu_;
  std::map<std::uint64_t, std::string> files_ GUARDED_BY(mu_);  // paths by sequence
  std::optional<std::pair<std::uint64_t, std::string>> unsettled_ GUARDED_BY(mu_);
};

}  // namespace amberfs
