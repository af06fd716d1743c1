// SPDX-License-Identifier: Apache-2.0
// The slots themselves; their text is in key_slots_format.cc, their files in key_slots_files.cc.
#include "blockstore/key_slots.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/coding.h"

#include <fmt/format.h>

#include <algorithm>

namespace amberfs {
namespace {

constexpr std::size_t kSaltSize = 32;
constexpr std::string_view kDomain = "amberfs key slot";

Result<SecretBytes> key_of_slot(const KeySlot& slot, const StoreSecret& secret) {
  if (slot.kind == SecretKind::kPassphrase) return scrypt(secret.bytes, slot.salt, slot.cost);
  return derive_key(secret.bytes, kDomain, kKeySize, slot.salt);
}

Status check_secret(const StoreSecret& secret) {
  const std::size_t size = secret.bytes.size();
  if (size == 0) return fail(Errc::kBadRequest, 0, "use a key: it is empty");
  if (secret.kind == SecretKind::kKeyFile && size < StoreSecret::kKeyFileSizeMin) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("use a key file of {} bytes: at least {} random bytes are needed "
                            "(head -c 32 /dev/urandom)",
                            size, StoreSecret::kKeyFileSizeMin));
  }
  return ok();
}

Error no_such_slot(std::string_view tried, std::uint32_t id) {
  return {Errc::kBadRequest,
          0,
          fmt::format("{} key {}: there is none; amberfs key list names them", tried, id),
          {}};
}

// As it stands in JSON byte by byte: the label is part of what the key is sealed with.
Status check_label(std::string_view label) {
  const bool plain = std::ranges::all_of(label, [](char c) { return c >= ' ' && c <= '~'; });
  if (plain && label.size() <= KeySlots::kLabelSizeMax) return ok();
  return fail(
      Errc::kBadRequest, 0,
      fmt::format("label a key: up to {} printable ASCII characters", KeySlots::kLabelSizeMax));
}

}  // namespace

std::string_view name_of(SecretKind kind) {
  return kind == SecretKind::kPassphrase ? "passphrase" : "keyfile";
}

// Every member of the slot, so that none can be changed, nor a slot moved to another store.
Bytes KeySlots::associated_of(const KeySlot& slot) const {
  Encoder out;
  out.prefixed(kDomain).prefixed(store_id_).u32(slot.id).u8(static_cast<std::uint8_t>(slot.kind));
  out.prefixed(slot.label).i64(slot.created_ns).prefixed(slot.salt);
  if (slot.kind == SecretKind::kPassphrase) out.u64(slot.cost.n).u32(slot.cost.r).u32(slot.cost.p);
  return std::move(out).take();
}

Result<SecretBytes> KeySlots::open_slot(const KeySlot& slot, const StoreSecret& secret) const {
  TRY_ASSIGN(SecretBytes key, key_of_slot(slot, secret));
  Result<Bytes> plain = Sealer(std::move(key)).open(associated_of(slot), slot.wrapped);
  if (!plain) return fail(Errc::kWrongKey, 0, "open the store with this key");
  Result<SecretBytes> data_key = SecretBytes::copy_of(*plain);
  wipe(*plain);
  return data_key;
}

Result<KeySlots::Unlocked> KeySlots::unlock(const StoreSecret& secret) const {
  Error why{Errc::kWrongKey, 0, "open the store with this key", {}};
  bool tried = false;
  for (const KeySlot& slot : slots_) {
    if (slot.kind != secret.kind) continue;
    tried = true;
    Result<SecretBytes> data_key = open_slot(slot, secret);
    if (data_key) return Unlocked{*std::move(data_key), slot.id};
    if (data_key.error().code != Errc::kWrongKey) why = std::move(data_key).error();
  }
  if (!tried) {
    why.tried = secret.kind == SecretKind::kPassphrase
                    ? "open the store with a passphrase: it has none, only key files"
                    : "open the store with a key file: it has none, only passphrases";
  }
  return fail(std::move(why));
}

Result<KeySlot> KeySlots::make_slot(std::uint32_t id, const SecretBytes& data_key,
                                    const StoreSecret& secret, std::string label,
                                    const ScryptCost& cost) const {
  TRY(check_secret(secret));
  TRY(check_label(label));
  KeySlot slot;
  slot.id = id;
  slot.kind = secret.kind;
  slot.label = std::move(label);
  slot.created_ns = now_ns();
  slot.salt = random_bytes(kSaltSize);
  slot.cost = cost;
  TRY_ASSIGN(SecretBytes key, key_of_slot(slot, secret));
  slot.wrapped = Sealer(std::move(key)).seal(associated_of(slot), data_key.view());
  return slot;
}

Result<std::uint32_t> KeySlots::add(const SecretBytes& data_key, const StoreSecret& secret,
                                    std::string label, const ScryptCost& cost) {
  if (slots_.size() >= kSlotsMax) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("add a key: there are {} already; remove one first", kSlotsMax));
  }
  std::uint32_t id = 1;
  while (std::ranges::find(slots_, id, &KeySlot::id) != slots_.end()) ++id;
  TRY_ASSIGN(KeySlot slot, make_slot(id, data_key, secret, std::move(label), cost));
  slots_.push_back(std::move(slot));
  std::ranges::sort(slots_, {}, &KeySlot::id);
  return id;
}

Status KeySlots::replace(std::uint32_t id, const SecretBytes& data_key, const StoreSecret& secret,
                         const ScryptCost& cost) {
  const auto at = std::ranges::find(slots_, id, &KeySlot::id);
  if (at == slots_.end()) return fail(no_such_slot("replace", id));
  TRY_ASSIGN(*at, make_slot(id, data_key, secret, at->label, cost));
  return ok();
}

Status KeySlots::remove(std::uint32_t id) {
  const auto at = std::ranges::find(slots_, id, &KeySlot::id);
  if (at == slots_.end()) return fail(no_such_slot("remove", id));
  if (slots_.size() == 1) {
    return fail(Errc::kBadRequest, 0,
                "remove the last key: nothing could ever be read again; add another one first");
  }
  slots_.erase(at);
  return ok();
}

}  // namespace amberfs
