// SPDX-License-Identifier: Apache-2.0
// Chain: the sealed chain of a store as it goes on: makes the link of each document, and lets the
// signing key evolve. The key changes at every link: the next one is drawn anew, its public half is
// signed by the present one, and then the present secret is overwritten. So who takes the machine
// over later cannot sign anything again that was signed before.
//
// Order of durability for link N, and what a crash behind each step leaves:
//   1 the secret of N+1 in its slot    link N does not exist: key N is there, and signs it anew
//   2 the document, with link N in it  it exists: the next open appends it (catch_up)
//   3 the record in STORE/chain        the same, key N is overwritten by the next open
//   4 key N overwritten
// The document comes before the record, because it alone holds what the link is about: a record
// whose document the crash took would be a snapshot that is missing for ever. It comes after the
// next secret, because a chain whose next key nobody has cannot go on.
//
// Flow:    Engine: open → catch_up;  snapshot: Catalog::add → prepare → (written) → confirm
// Threads: every method from any thread; one document at a time (Engine::commit_mu_).
// Owns:    nothing on disk but signing.key, signing.pub and chain; borrows Io.
// Errors:  of Io. What keeps the chain from going on is no error: can_sign() is false, problem()
//          says why, documents stay unsigned until it is mended. A store must go on.
#pragma once

#include "blockstore/base/mutex.h"
#include "snapshot/chain_file.h"
#include "snapshot/signing_slots.h"

#include <memory>

namespace amberfs {

constexpr std::string_view kPublicKeyFileName = "signing.pub";

// What signing.key holds, without the secrets.
struct SigningState {
  struct Slot {
    std::uint64_t number = 0;
    Sha256 previous{};
    PublicKey key;
  };
  bool file_is_there = false;
  std::vector<Slot> slots;
};
// "" when one of them holds the key that signs the next link; else what it means that none does.
[[nodiscard]] std::string why_no_key(const SigningState& slots, const ChainEnd& end);

class Chain {
 public:
  using Cipher = std::shared_ptr<const StoreCipher>;  // of an encrypted store, or null
  // Begins a chain in a store that has none.
  [[nodiscard]] static Status create(Io& io, const std::string& store, Cipher cipher = nullptr);
  [[nodiscard]] static Result<std::unique_ptr<Chain>> open(Io& io, const std::string& store,
                                                           Cipher cipher = nullptr);

  // False: the store was made before there were chains.
  [[nodiscard]] bool is_sealed();
  [[nodiscard]] ChainEnd end();
  [[nodiscard]] std::optional<PublicKey> first_key();  // nothing: not sealed, or lost
  [[nodiscard]] std::string problem();                 // "" when all is well
  // What is wrong with signing.pub, which people take the verification key from. "": nothing.
  [[nodiscard]] std::string key_file_problem();

  // After open(): the links of durable documents that lie behind the end, in order of number. Then
  // the key is looked for, and one before it that a crash left is overwritten.
  void catch_up(std::span<const Link> links);
  [[nodiscard]] bool can_sign();

  // The link of a document that is about to be written. Then either confirm(), when it is durable,
  // or give_up(), when it certainly is not there.
  [[nodiscard]] Result<Link> prepare(const LinkSubject& subject);
  [[nodiscard]] bool is_pending();
  void confirm();
  void give_up();

  // create() in an open store. Of a chain that cannot go on the file is kept, as
  // chain.before-NANOSECONDS; its secrets, if there are any left, are not.
  [[nodiscard]] Status begin();

  // For verify and repair. All that is damaged is left out.
  [[nodiscard]] Result<ChainFile::Records> read_records();
  [[nodiscard]] Result<SigningState> read_signing_state();
  // STORE/chain anew, also when it is gone; the chain may go on then.
  [[nodiscard]] Status replace_records(const PublicKey& first_key, std::span<const Link> links);

 private:
  struct Pending {
    Link link;
    SigningKey next;
  };

  Chain(Io& io, std::string store, Cipher cipher);
  [[nodiscard]] Status load() REQUIRES(mu_);
  void add_record(const Link& link) REQUIRES(mu_);
  void find_key() REQUIRES(mu_);

  Io& io_;
  const std::string store_;
  const Cipher cipher_;
  Mutex mu_;
  bool sealed_ GUARDED_BY(mu_) = false;
  std::optional<ChainFile> file_ GUARDED_BY(mu_);
  std::optional<PublicKey> first_key_ GUARDED_BY(mu_);
  SigningSlots slots_ GUARDED_BY(mu_);
  std::optional<SigningKey> key_ GUARDED_BY(mu_);  // of the next link
  std::optional<Pending> pending_ GUARDED_BY(mu_);
  std::string cut_ GUARDED_BY(mu_);      // why it cannot go on
  std::string warning_ GUARDED_BY(mu_);  // it goes on, but
  std::string key_file_problem_ GUARDED_BY(mu_);
};

}  // namespace amberfs
