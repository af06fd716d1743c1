// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/cipher.h"

#include "blockstore/base/random.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace amberfs {
namespace {

constexpr std::size_t kBlock = 16;
constexpr std::uint64_t kScryptMemoryMax = 1 * kGiB;

// What OpenSSL refuses here is for want of memory, or of an algorithm that every build has.
void require(bool done) {
  if (!done) std::abort();
}

const unsigned char* bytes_of(ByteView bytes) {
  return u8(bytes);
}
unsigned char* bytes_of(char* data) {
  return reinterpret_cast<unsigned char*>(data);
}

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

Context make_context() {
  Context context(EVP_CIPHER_CTX_new());
  require(context != nullptr);
  return context;
}

// Fetched once: a fetch by name takes longer than sealing a small block.
const EVP_CIPHER* fetch(const char* name) {
  const EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
  require(cipher != nullptr);
  return cipher;
}
const EVP_CIPHER* aes_ecb() {
  static const EVP_CIPHER* const cipher = fetch("AES-256-ECB");
  return cipher;
}
const EVP_CIPHER* aes_gcm() {
  static const EVP_CIPHER* const cipher = fetch("AES-256-GCM");
  return cipher;
}
const EVP_CIPHER* aes_siv() {
  static const EVP_CIPHER* const cipher = fetch("AES-256-SIV");
  return cipher;
}

void encrypt_blocks(ByteView key, ByteView plain, char* target) {
  const Context context = make_context();
  int size = 0;
  require(EVP_EncryptInit_ex2(context.get(), aes_ecb(), bytes_of(key), nullptr, nullptr) == 1);
  require(EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1);
  require(EVP_EncryptUpdate(context.get(), bytes_of(target), &size, bytes_of(plain),
                            static_cast<int>(plain.size())) == 1);
  require(static_cast<std::size_t>(size) == plain.size());
}

// The key of one message, from the first half of its nonce: NIST SP 800-108 with CMAC, both blocks.
void derive_message_key(ByteView key, ByteView mask, ByteView nonce, char* target) {
  std::array<char, 2 * kBlock> input{};
  for (std::size_t i = 0; i < 2; ++i) {
    char* block = input.data() + i * kBlock;
    block[1] = static_cast<char>(i + 1);
    block[2] = 'X';
    std::memcpy(block + 4, nonce.data(), 12);
    for (std::size_t j = 0; j < kBlock; ++j) block[j] = static_cast<char>(block[j] ^ mask[j]);
  }
  encrypt_blocks(key, {input.data(), input.size()}, target);
}

SecretBytes secret(std::size_t size) {
  auto bytes = SecretBytes::zeros(size);
  require(bytes.has_value());
  return *std::move(bytes);
}

// A message's key on the stack, gone with it.
class MessageKey {
 public:
  MessageKey(ByteView key, ByteView mask, ByteView nonce) {
    derive_message_key(key, mask, nonce, key_.data());
  }
  ~MessageKey() { wipe(key_.data(), key_.size()); }
  MessageKey(const MessageKey&) = delete;
  MessageKey& operator=(const MessageKey&) = delete;
  [[nodiscard]] const unsigned char* get() const { return bytes_of({key_.data(), key_.size()}); }

 private:
  std::array<char, kKeySize> key_{};
};

std::unexpected<Error> not_authentic() {
  return fail(Errc::kCorrupt, 0, "decrypt: these bytes are not what was encrypted with this key");
}

}  // namespace

Sealer::Sealer(SecretBytes key) : key_(std::move(key)), mask_(secret(kBlock)) {
  require(key_.size() == kKeySize);
  const std::array<char, kBlock> zeros{};
  encrypt_blocks(key_.view(), {zeros.data(), zeros.size()}, mask_.data());
  // Doubled in GF(2^128), as in CMAC.
  const bool carry = (mask_.data()[0] & 0x80) != 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const unsigned here = static_cast<unsigned char>(mask_.data()[i]);
    const unsigned next = i + 1 < kBlock ? static_cast<unsigned char>(mask_.data()[i + 1]) : 0U;
    mask_.data()[i] = static_cast<char>((here << 1) | (next >> 7));
  }
  if (carry) mask_.data()[kBlock - 1] = static_cast<char>(mask_.data()[kBlock - 1] ^ 0x87);
}

Bytes Sealer::seal(std::span<const ByteView> associated, std::span<const ByteView> plain) const {
  std::array<char, kNonceSize> nonce{};
  fill_random(nonce.data(), nonce.size());
  return seal_with({nonce.data(), nonce.size()}, associated, plain);
}

Bytes Sealer::seal_with(ByteView nonce, std::span<const ByteView> associated,
                        std::span<const ByteView> plain) const {
  require(nonce.size() == kNonceSize);
  std::size_t plain_size = 0;
  for (const ByteView part : plain) plain_size += part.size();
  Bytes sealed(plain_size + kOverhead, '\0');
  std::memcpy(sealed.data(), nonce.data(), kNonceSize);
  const MessageKey key(key_.view(), mask_.view(), nonce);
  const Context context = make_context();
  require(EVP_EncryptInit_ex2(context.get(), aes_gcm(), key.get(),
                              bytes_of(nonce.substr(kNonceSize / 2)), nullptr) == 1);
  int size = 0;
  for (const ByteView part : associated) {
    require(EVP_EncryptUpdate(context.get(), nullptr, &size, bytes_of(part),
                              static_cast<int>(part.size())) == 1);
  }
  char* target = sealed.data() + kNonceSize;
  for (const ByteView part : plain) {
    require(EVP_EncryptUpdate(context.get(), bytes_of(target), &size, bytes_of(part),
                              static_cast<int>(part.size())) == 1);
    target += size;
  }
  require(EVP_EncryptFinal_ex(context.get(), bytes_of(target), &size) == 1);
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize, target) == 1);
  return sealed;
}

Result<Bytes> Sealer::open(std::span<const ByteView> associated, ByteView sealed) const {
  if (sealed.size() < kOverhead) return not_authentic();
  const ByteView nonce = sealed.substr(0, kNonceSize);
  const ByteView text = sealed.substr(kNonceSize, sealed.size() - kOverhead);
  Bytes tag(sealed.substr(sealed.size() - kTagSize));
  const MessageKey key(key_.view(), mask_.view(), nonce);
  const Context context = make_context();
  require(EVP_DecryptInit_ex2(context.get(), aes_gcm(), key.get(),
                              bytes_of(nonce.substr(kNonceSize / 2)), nullptr) == 1);
  int size = 0;
  for (const ByteView part : associated) {
    require(EVP_DecryptUpdate(context.get(), nullptr, &size, bytes_of(part),
                              static_cast<int>(part.size())) == 1);
  }
  Bytes plain;
  plain.resize_and_overwrite(text.size(), [&](char* target, std::size_t) {
    require(EVP_DecryptUpdate(context.get(), bytes_of(target), &size, bytes_of(text),
                              static_cast<int>(text.size())) == 1);
    return text.size();  // what it is called with may be the capacity (libstdc++ 12)
  });
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, tag.data()) == 1);
  std::array<unsigned char, kBlock> rest{};
  if (EVP_DecryptFinal_ex(context.get(), rest.data(), &size) != 1) {
    wipe(plain);
    return not_authentic();
  }
  return plain;
}

// A context that knows the key takes long to make (two ciphers and a CMAC), so each use takes a
// copy of one: which is not used itself, as SIV cannot be made to begin again.
struct FixedSealer::Contexts {
  explicit Contexts(const SecretBytes& key) : sealing(make_context()), opening(make_context()) {
    const auto* bytes = bytes_of(key.view());
    require(EVP_EncryptInit_ex2(sealing.get(), aes_siv(), bytes, nullptr, nullptr) == 1);
    require(EVP_DecryptInit_ex2(opening.get(), aes_siv(), bytes, nullptr, nullptr) == 1);
  }
  static Context copy_of(const Context& context) {
    Context copy = make_context();
    require(EVP_CIPHER_CTX_copy(copy.get(), context.get()) == 1);
    return copy;
  }
  Context sealing;
  Context opening;
};

FixedSealer::FixedSealer(SecretBytes key) {
  require(key.size() == 2 * kKeySize);
  contexts_ = std::make_unique<Contexts>(key);
}
FixedSealer::~FixedSealer() = default;

// tag | ciphertext
Bytes FixedSealer::seal(ByteView associated, ByteView plain) const {
  Bytes sealed(kOverhead + plain.size(), '\0');
  const Context context = Contexts::copy_of(contexts_->sealing);
  int size = 0;
  require(EVP_EncryptUpdate(context.get(), nullptr, &size, bytes_of(associated),
                            static_cast<int>(associated.size())) == 1);
  require(EVP_EncryptUpdate(context.get(), bytes_of(sealed.data() + kOverhead), &size,
                            bytes_of(plain), static_cast<int>(plain.size())) == 1);
  require(EVP_EncryptFinal_ex(context.get(), bytes_of(sealed.data() + kOverhead), &size) == 1);
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kOverhead, sealed.data()) == 1);
  return sealed;
}

Result<Bytes> FixedSealer::open(ByteView associated, ByteView sealed) const {
  if (sealed.size() <= kOverhead) return not_authentic();
  Bytes tag(sealed.substr(0, kOverhead));
  const ByteView text = sealed.substr(kOverhead);
  Bytes plain(text.size(), '\0');
  const Context context = Contexts::copy_of(contexts_->opening);
  int size = 0;
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kOverhead, tag.data()) == 1);
  require(EVP_DecryptUpdate(context.get(), nullptr, &size, bytes_of(associated),
                            static_cast<int>(associated.size())) == 1);
  const bool authentic = EVP_DecryptUpdate(context.get(), bytes_of(plain.data()), &size,
                                           bytes_of(text), static_cast<int>(text.size())) == 1;
  if (!authentic) return not_authentic();
  return plain;
}

Result<SecretBytes> derive_key(const SecretBytes& key, std::string_view purpose, std::size_t size,
                               ByteView salt) {
  TRY_ASSIGN(SecretBytes derived, SecretBytes::zeros(size));
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  require(kdf != nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  EVP_KDF_free(kdf);
  require(context != nullptr);
  std::string digest = "SHA256";
  Bytes info(purpose);
  Bytes salt_bytes(salt);
  const std::array parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<char*>(key.view().data()),
                                        key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_bytes.data(), salt_bytes.size()),
      OSSL_PARAM_construct_end()};
  const int done = EVP_KDF_derive(context, bytes_of(derived.data()), size, parameters.data());
  EVP_KDF_CTX_free(context);
  require(done == 1);
  return derived;
}

Result<SecretBytes> scrypt(const SecretBytes& passphrase, ByteView salt, const ScryptCost& cost) {
  const bool is_power = cost.n > 1 && (cost.n & (cost.n - 1)) == 0;
  const bool in_bounds = cost.r != 0 && cost.p != 0 && cost.r <= 1024 && cost.p <= 16 &&
                         cost.n <= kScryptMemoryMax / 128 / std::max<std::uint32_t>(cost.r, 1);
  if (!is_power || !in_bounds) {
    return fail(Errc::kBadRequest, 0, "derive a key from a passphrase: no such cost of scrypt");
  }
  TRY_ASSIGN(SecretBytes derived, SecretBytes::zeros(kKeySize));
  const std::uint64_t memory = 2 * kScryptMemoryMax;
  if (EVP_PBE_scrypt(passphrase.view().data(), passphrase.size(), bytes_of(salt), salt.size(),
                     cost.n, cost.r, cost.p, memory, bytes_of(derived.data()),
                     derived.size()) != 1) {
    return fail(Errc::kOutOfMemory, 0, "derive a key from a passphrase by scrypt");
  }
  return derived;
}

Sha256 hmac_sha256(ByteView key, ByteView bytes) {
  Sha256 digest{};
  unsigned size = 0;
  require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(bytes),
               bytes.size(), digest.data(), &size) != nullptr);
  require(size == digest.size());
  return digest;
}

}  // namespace amberfs
