// SPDX-License-Identifier: Apache-2.0
#include "snapshot/signing_slots.h"

#include "blockstore/base/coding.h"
#include "blockstore/base/hash.h"

#include <cstring>

namespace amberfs {
namespace {

constexpr std::uint32_t kMagic = 0x4b534241;  // "ABSK"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kSlotSize = 4096;  // no two slots share a sector
constexpr std::size_t kSecretAt = 56;
constexpr std::size_t kSealedSize = SigningKey::kSecretSize + Sealer::kOverhead;
constexpr std::size_t kSummed = kSecretAt + kSealedSize;  // the checksum stands behind it
constexpr std::string_view kSealedAs = "amberfs signing key v1";

// What a sealed secret belongs to: number and previous, as they stand in the slot.
Bytes associated(ByteView slot) {
  return Bytes(kSealedAs).append(slot.substr(8, 8)).append(slot.substr(24, sizeof(Sha256)));
}

}  // namespace

// Written into memory that is wiped: no string of it may be left behind.
Result<SecretBytes> SigningSlots::encode_slot(const Slot& slot) const {
  TRY_ASSIGN(SecretBytes bytes, SecretBytes::zeros(kSlotSize));
  char* at = bytes.data();
  store_le(at, kMagic);
  store_le(at + 4, kVersion);
  store_le(at + 8, slot.number);
  std::memcpy(at + 24, slot.previous.data(), slot.previous.size());
  if (cipher_ != nullptr) {
    const Bytes sealed = cipher_->heads().seal(associated(bytes.view()), slot.key.secret());
    std::memcpy(at + kSecretAt, sealed.data(), kSealedSize);
  } else {
    std::memcpy(at + kSecretAt, slot.key.secret().data(), SigningKey::kSecretSize);
  }
  store_le(at + 16, std::uint64_t{cipher_ != nullptr ? kSealedSize : SigningKey::kSecretSize});
  store_le(at + kSummed, xxh3(bytes.view().substr(0, kSummed)));
  return bytes;
}

Result<std::optional<SigningSlots::Slot>> SigningSlots::decode_slot(ByteView bytes) const {
  if (bytes.size() < kSlotSize || load_le<std::uint32_t>(bytes.data()) != kMagic ||
      load_le<std::uint64_t>(bytes.data() + kSummed) != xxh3(bytes.substr(0, kSummed))) {
    return std::nullopt;
  }
  if (load_le<std::uint16_t>(bytes.data() + 4) != kVersion) {
    return fail(Errc::kNewerFormat, 0, "read the signing key");
  }
  const std::size_t size = cipher_ != nullptr ? kSealedSize : SigningKey::kSecretSize;
  if (load_le<std::uint64_t>(bytes.data() + 16) != size) return std::nullopt;
  SigningSlots::Slot slot;
  slot.number = load_le<std::uint64_t>(bytes.data() + 8);
  std::memcpy(slot.previous.data(), bytes.data() + 24, slot.previous.size());
  if (cipher_ == nullptr) {
    TRY_ASSIGN(SecretBytes secret, SecretBytes::copy_of(bytes.substr(kSecretAt, size)));
    slot.key = SigningKey::from(std::move(secret));
    return slot;
  }
  auto opened = cipher_->heads().open(associated(bytes), bytes.substr(kSecretAt, size));
  if (!opened) return std::nullopt;
  auto secret = SecretBytes::copy_of(*opened);
  wipe(*opened);
  if (!secret) return fail(std::move(secret).error());
  slot.key = SigningKey::from(*std::move(secret));
  return slot;
}

// Beside and renamed, so that a file that is there never is a half; the secret in the file beside
// is the same file's.
Status SigningSlots::create(const Slot& first) {
  TRY_ASSIGN(const SecretBytes slot, encode_slot(first));
  TRY_ASSIGN(SecretBytes file, SecretBytes::random(2 * kSlotSize));
  std::memcpy(file.data() + first.number % 2 * kSlotSize, slot.view().data(), kSlotSize);
  return io_->replace_file(path_, file.view());
}

Result<std::optional<SigningSlots::Both>> SigningSlots::read() {
  TRY_ASSIGN(const bool there, io_->exists(path_));
  if (!there) return std::nullopt;
  TRY_ASSIGN(auto file, io_->open(path_, OpenMode::kRead));
  TRY_ASSIGN(SecretBytes bytes, SecretBytes::zeros(2 * kSlotSize));
  TRY_ASSIGN(const std::size_t got, file->pread_some(bytes.data(), bytes.size(), 0));
  Both both;
  for (std::size_t i = 0; i < both.size() && (i + 1) * kSlotSize <= got; ++i) {
    TRY_ASSIGN(both[i], decode_slot(bytes.view().substr(i * kSlotSize, kSlotSize)));
  }
  return std::optional<Both>(std::move(both));
}

Status SigningSlots::write_slot(std::uint64_t number, ByteView bytes) {
  TRY_ASSIGN(auto file, io_->open(path_, OpenMode::kReadWrite));
  TRY(file->pwrite(bytes, number % 2 * kSlotSize));
  TRY(file->sync_data());
  return file->close();
}

Status SigningSlots::store(const Slot& slot) {
  TRY_ASSIGN(const SecretBytes bytes, encode_slot(slot));
  return write_slot(slot.number, bytes.view());
}

Status SigningSlots::destroy(std::uint64_t number) {
  return write_slot(number, random_bytes(kSlotSize));
}

}  // namespace amberfs
