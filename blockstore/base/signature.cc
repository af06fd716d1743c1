// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/signature.h"

#include "blockstore/base/hash.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

namespace amberfs {
namespace {

constexpr std::string_view kKeyPrefix = "amberfs-key:";

void require(bool done) {
  if (!done) std::abort();
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

Context make_context() {
  Context context(EVP_MD_CTX_new());
  require(context != nullptr);
  return context;
}

Key private_key(ByteView secret) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, u8(secret), secret.size()));
  require(key != nullptr);
  return key;
}

}  // namespace

Result<SigningKey> SigningKey::generate() {
  TRY_ASSIGN(SecretBytes secret, SecretBytes::random(kSecretSize));
  return from(std::move(secret));
}

SigningKey SigningKey::from(SecretBytes secret) {
  SigningKey key;
  key.secret_ = std::move(secret);
  std::size_t size = PublicKey::kSize;
  require(EVP_PKEY_get_raw_public_key(private_key(key.secret_.view()).get(),
                                      key.public_key_.bytes.data(), &size) == 1 &&
          size == PublicKey::kSize);
  return key;
}

Signature SigningKey::sign(ByteView message) const {
  const Key key = private_key(secret_.view());
  const Context context = make_context();
  Signature signature{};
  std::size_t size = signature.size();
  require(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
          EVP_DigestSign(context.get(), signature.data(), &size, u8(message), message.size()) ==
              1 &&
          size == signature.size());
  return signature;
}

bool is_signed_by(const PublicKey& public_key, ByteView message, const Signature& signature) {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key.bytes.data(),
                                            public_key.bytes.size()));
  require(key != nullptr);  // any 32 bytes are taken here; those that are no key sign nothing
  const Context context = make_context();
  require(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), u8(message),
                          message.size()) == 1;
}

std::string to_text(const PublicKey& key) {
  return std::string(kKeyPrefix) + to_hex(key.view());
}

std::optional<PublicKey> parse_public_key(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  text = text.substr(0, text.find_last_not_of(kSpace) + 1);
  if (!text.starts_with(kKeyPrefix)) return std::nullopt;
  PublicKey key;
  if (!from_hex(text.substr(kKeyPrefix.size()), key.bytes.data(), PublicKey::kSize)) {
    return std::nullopt;
  }
  return key;
}

}  // namespace amberfs
