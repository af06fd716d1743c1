// SPDX-License-Identifier: Apache-2.0
// Ed25519 (RFC 8032) signatures, by OpenSSL: who holds a SigningKey can sign, everybody who has its
// PublicKey can check.
// Threads: values; signing and checking from any thread.
// Owns:    a SigningKey keeps its secret in SecretBytes. While it signs, OpenSSL has a copy in
//          memory of its own, which it wipes.
// Errors:  kOutOfMemory for the secret's memory. What else can fail is only OpenSSL's memory: then
//          the process ends, as nothing may be taken for signed that is not.
#pragma once

#include "blockstore/base/secret.h"

#include <array>
#include <compare>
#include <optional>
#include <string>

namespace amberfs {

struct PublicKey {
  static constexpr std::size_t kSize = 32;
  std::array<std::uint8_t, kSize> bytes{};

  friend auto operator<=>(const PublicKey&, const PublicKey&) = default;
  [[nodiscard]] ByteView view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

using Signature = std::array<std::uint8_t, 64>;

class SigningKey {
 public:
  static constexpr std::size_t kSecretSize = 32;

  SigningKey() = default;  // none: may only be assigned to
  [[nodiscard]] static Result<SigningKey> generate();
  [[nodiscard]] static SigningKey from(SecretBytes secret);  // kSecretSize bytes

  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] Signature sign(ByteView message) const;
  [[nodiscard]] ByteView secret() const { return secret_.view(); }

 private:
  SecretBytes secret_;
  PublicKey public_key_;
};

[[nodiscard]] bool is_signed_by(const PublicKey& key, ByteView message, const Signature& signature);

// "amberfs-key:" and 64 hex digits: how people hand on a key. Space around it does not count.
[[nodiscard]] std::string to_text(const PublicKey& key);
[[nodiscard]] std::optional<PublicKey> parse_public_key(std::string_view text);

}  // namespace amberfs
