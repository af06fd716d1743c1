// SPDX-License-Identifier: Apache-2.0
// The ciphers of an encrypted store, all from OpenSSL:
//   Sealer       XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key and nonce derived
//                from a random nonce of 192 bits, so that no counter has to survive a crash, a
//                copied store or a virtual machine resumed twice. For frames, journal, manifests.
//   FixedSealer  AES-256-SIV (RFC 5297): deterministic, without a nonce; 16 bytes more. Equal
//                values under equal names look equal. For the short values of the index.
//   derive_key   HKDF-SHA-256: one key for each purpose from the store's data key.
//   hmac_sha256, scrypt (RFC 7914).
// Threads: any, beside each other.
// Errors:  opening gives kCorrupt when the bytes are not what was sealed under this key. What can
//          fail otherwise is only OpenSSL's memory: then the process ends, as no byte may be
//          written unsealed.
#pragma once

#include "blockstore/base/hash.h"
#include "blockstore/base/secret.h"

#include <memory>
#include <span>

namespace amberfs {

constexpr std::size_t kKeySize = 32;

class Sealer {
 public:
  static constexpr std::size_t kNonceSize = 24;
  static constexpr std::size_t kTagSize = 16;
  static constexpr std::size_t kOverhead = kNonceSize + kTagSize;  // of the sealed over the plain

  explicit Sealer(SecretBytes key);  // kKeySize bytes

  // nonce | ciphertext | tag. `associated` is not in it, but has to be the same when it is opened;
  // the parts are taken as one string: where one ends must be clear from the bytes.
  [[nodiscard]] Bytes seal(std::span<const ByteView> associated,
                           std::span<const ByteView> plain) const;
  [[nodiscard]] Bytes seal(ByteView associated, ByteView plain) const {
    return seal(std::span(&associated, 1), std::span(&plain, 1));
  }
  [[nodiscard]] Result<Bytes> open(std::span<const ByteView> associated, ByteView sealed) const;
  [[nodiscard]] Result<Bytes> open(ByteView associated, ByteView sealed) const {
    return open(std::span(&associated, 1), sealed);
  }
  // With a nonce of the caller's: for the published test vectors only.
  [[nodiscard]] Bytes seal_with(ByteView nonce, std::span<const ByteView> associated,
                                std::span<const ByteView> plain) const;

 private:
  SecretBytes key_;
  SecretBytes mask_;  // K1 of CMAC, which the derivation of each message's key starts with
};

class FixedSealer {
 public:
  static constexpr std::size_t kOverhead = 16;
  explicit FixedSealer(SecretBytes key);  // 2 * kKeySize bytes
  ~FixedSealer();
  FixedSealer(const FixedSealer&) = delete;
  FixedSealer& operator=(const FixedSealer&) = delete;

  [[nodiscard]] Bytes seal(ByteView associated, ByteView plain) const;  // plain: not empty
  [[nodiscard]] Result<Bytes> open(ByteView associated, ByteView sealed) const;

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

// `size` bytes for `purpose`, from a key that has the entropy of one.
[[nodiscard]] Result<SecretBytes> derive_key(const SecretBytes& key, std::string_view purpose,
                                             std::size_t size = kKeySize, ByteView salt = {});

struct ScryptCost {
  std::uint64_t n = 1 << 17;  // 128 MiB, about half a second
  std::uint32_t r = 8;
  std::uint32_t p = 1;
};
// kBadRequest for costs that are none, or would take more than 1 GiB.
[[nodiscard]] Result<SecretBytes> scrypt(const SecretBytes& passphrase, ByteView salt,
                                         const ScryptCost& cost);

[[nodiscard]] Sha256 hmac_sha256(ByteView key, ByteView bytes);

}  // namespace amberfs
