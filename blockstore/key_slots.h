// SPDX-License-Identifier: Apache-2.0
// KeySlots: the ways to the data key of an encrypted store. The data key is random and never
// changes; each slot holds it sealed under what a person keeps: a passphrase (through scrypt) or a
// key file (through HKDF, as it has the entropy of a key). So slots are added, replaced and taken
// away without a byte of the store being written anew.
// On disk: STORE/keys.json and the same again in STORE/keys.copy.json, as one flipped bit must not
//          cost every log. Of two good ones the one of the higher generation counts; what is
//          damaged, missing or older is written anew from it.
// Flow:    init → add → write_key_slots;   open → read_key_slots → unlock → StoreCipher::make.
// Threads: a value type; who changes the files holds a KeySlotsLock.
// Errors:  kWrongKey: no slot opens with this secret. kKeysDamaged: neither file can be used.
//          kNewerFormat. kBadRequest for what cannot be asked for (the last slot's removal).
// Format:  docs/format/keys.md.
#pragma once

#include "blockstore/base/cipher.h"
#include "blockstore/base/io.h"

#include <string>
#include <vector>

namespace amberfs {

enum class SecretKind : std::uint8_t { kPassphrase = 1, kKeyFile = 2 };
[[nodiscard]] std::string_view name_of(SecretKind kind);  // "passphrase", "keyfile"

// What a person keeps.
struct StoreSecret {
  static constexpr std::size_t kKeyFileSizeMin = 32;
  static constexpr std::size_t kKeyFileSizeMax = 64 * kKiB;
  SecretKind kind = SecretKind::kPassphrase;
  SecretBytes bytes;
};

struct KeySlot {
  std::uint32_t id = 0;  // 1 … kSlotsMax
  SecretKind kind = SecretKind::kPassphrase;
  std::string label;
  std::int64_t created_ns = 0;  // since 1970
  Bytes salt;
  ScryptCost cost;  // kPassphrase
  Bytes wrapped;    // the data key, sealed under the slot's key with all of the above
};

class KeySlots {
 public:
  static constexpr std::uint32_t kSlotsMax = 8;
  static constexpr std::size_t kLabelSizeMax = 64;
  static constexpr std::size_t kFileSizeMax = 64 * kKiB;

  explicit KeySlots(std::string store_id) : store_id_(std::move(store_id)) {}
  [[nodiscard]] static Result<KeySlots> decode(ByteView json);
  [[nodiscard]] std::string encode() const;

  struct Unlocked {
    SecretBytes data_key;
    std::uint32_t slot = 0;
  };
  // Tries the slots of the secret's kind; about half a second for each passphrase.
  [[nodiscard]] Result<Unlocked> unlock(const StoreSecret& secret) const;
  // Returns the slot's id.
  [[nodiscard]] Result<std::uint32_t> add(const SecretBytes& data_key, const StoreSecret& secret,
                                          std::string label, const ScryptCost& cost = {});
  // The slot opens with another secret from now on, and no more with the one before.
  [[nodiscard]] Status replace(std::uint32_t id, const SecretBytes& data_key,
                               const StoreSecret& secret, const ScryptCost& cost = {});
  // Not the last one: without any the store could never be read again.
  [[nodiscard]] Status remove(std::uint32_t id);

  [[nodiscard]] const std::string& store_id() const { return store_id_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  void set_generation(std::uint64_t generation) { generation_ = generation; }
  [[nodiscard]] const std::vector<KeySlot>& slots() const { return slots_; }

 private:
  [[nodiscard]] Result<KeySlot> make_slot(std::uint32_t id, const SecretBytes& data_key,
                                          const StoreSecret& secret, std::string label,
                                          const ScryptCost& cost) const;
  [[nodiscard]] Result<SecretBytes> open_slot(const KeySlot& slot, const StoreSecret& secret) const;
  [[nodiscard]] Bytes associated_of(const KeySlot& slot) const;

  std::string store_id_;
  std::uint64_t generation_ = 0;  // of the file's content; grows with each write
  std::vector<KeySlot> slots_;    // by id
};

// Held while the slots are read, changed and written: two commands must not undo each other.
[[nodiscard]] Result<FileLock> lock_key_slots(const std::string& store);
// True when the store has a file of keys: it is encrypted.
[[nodiscard]] Result<bool> has_key_slots(Io& io, const std::string& store);
// The newer good one of both files; mends the other one, warning when that fails.
[[nodiscard]] Result<KeySlots> read_key_slots(Io& io, const std::string& store);
// Both files, durably; the generation grows. What the files held before is overwritten as far as
// the disk lets one do that, so that a slot that was taken away does not stay behind.
[[nodiscard]] Status write_key_slots(Io& io, const std::string& store, KeySlots& slots);

}  // namespace amberfs
