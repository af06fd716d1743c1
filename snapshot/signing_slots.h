// SPDX-License-Identifier: Apache-2.0
// SigningSlots: STORE/signing.key, the secret that signs the next link of the chain. Two slots of
// fixed size, overwritten in place: the secret of link N is in slot N mod 2, so that the next one
// is durable beside it before it is used, and the one before can be overwritten with random bytes.
// Overwriting in place is the most a program can do: a disk that remaps what is written (SSD, a
// copy-on-write file system), a copy of the store or a snapshot of its volume may keep the old one
// (docs/SECURITY.md).
// Durability: every method returns when what it wrote is on the disk.
// Threads: one at a time.   Owns: nothing; borrows Io.
// Format:  docs/format/chain.md.
// Errors:  those of Io. A slot that holds nothing readable is empty, not an error.
#pragma once

#include "blockstore/base/hash.h"
#include "blockstore/base/io.h"
#include "blockstore/base/signature.h"
#include "blockstore/store_cipher.h"

#include <array>
#include <optional>

namespace amberfs {

constexpr std::string_view kSigningKeyFileName = "signing.key";

class SigningSlots {
 public:
  struct Slot {
    std::uint64_t number = 0;  // of the link that the key signs
    Sha256 previous{};         // hash of the link before that
    SigningKey key;
  };

  // `cipher`: of an encrypted store, whose secrets are sealed; may be null.
  SigningSlots(Io& io, std::string path, std::shared_ptr<const StoreCipher> cipher)
      : io_(&io), path_(std::move(path)), cipher_(std::move(cipher)) {}
  // A new file (mode 0600) with one key, over one that is there, if any.
  [[nodiscard]] Status create(const Slot& first);
  // Both slots; nothing when there is no such file.
  using Both = std::array<std::optional<Slot>, 2>;
  [[nodiscard]] Result<std::optional<Both>> read();
  [[nodiscard]] Status store(const Slot& slot);
  // Overwrites the slot of that number, whatever is in it.
  [[nodiscard]] Status destroy(std::uint64_t number);

 private:
  [[nodiscard]] Result<SecretBytes> encode_slot(const Slot& slot) const;
  [[nodiscard]] Result<std::optional<Slot>> decode_slot(ByteView bytes) const;
  [[nodiscard]] Status write_slot(std::uint64_t number, ByteView bytes);

  Io* io_;
  std::string path_;
  std::shared_ptr<const StoreCipher> cipher_;
};

}  // namespace amberfs
