// SPDX-License-Identifier: Apache-2.0
// The text of key slots: strict, as who can write the store can write this: sizes, counts and costs
// are bounded before anything is computed, and a member that is missing, double or unknown is an
// error.
#include "blockstore/base/flat_json.h"
#include "blockstore/base/hash.h"
#include "blockstore/key_slots.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>

namespace amberfs {
namespace {

using Json = nlohmann::json;  // keys sorted, so dump() is canonical

constexpr int kFormat = 1;
constexpr int kNestingMax = 4;
constexpr std::size_t kSaltSizeMin = 16;
constexpr std::size_t kSaltSizeMax = 64;
constexpr std::size_t kWrappedSize = kKeySize + Sealer::kOverhead;
constexpr std::size_t kStoreIdSizeMax = 64;
// 128 · n · r · p: seconds of work, not minutes; that n · r fits the memory scrypt() itself checks.
constexpr std::uint64_t kWorkMax = kGiB;

std::unexpected<Error> damaged(std::string_view why) {
  return fail(Errc::kCorrupt, 0, fmt::format("read the keys: {}", why));
}

std::string canonical(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hash_of(const Json& json) {
  const Sha256 digest = sha256(canonical(json));
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Json json_of(const KeySlot& slot) {
  Json json{{"id", slot.id},
            {"kind", name_of(slot.kind)},
            {"label", slot.label},
            {"created_ns", slot.created_ns},
            {"salt", to_hex(slot.salt)},
            {"wrapped", to_hex(slot.wrapped)}};
  if (slot.kind == SecretKind::kPassphrase) {
    json["scrypt"] = {{"n", slot.cost.n}, {"r", slot.cost.r}, {"p", slot.cost.p}};
  }
  return json;
}

// Members of one object: all that are asked for, and no other.
class Members {
 public:
  explicit Members(const Json& json) : json_(json) {}

  template <class T>
  void number(const char* key, T& target, std::uint64_t max) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
      return note(key);
    }
    target = static_cast<T>(value->get<std::uint64_t>());
  }
  void text(const char* key, std::string& target, std::size_t size_max) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_string()) return note(key);
    const auto& found = value->get_ref<const std::string&>();
    if (found.size() > size_max) return note(key);
    target = found;
  }
  void hex(const char* key, Bytes& target, std::size_t size_min, std::size_t size_max) {
    std::string digits;
    text(key, digits, 2 * size_max);
    if (!wrong_.empty()) return;
    target.resize(digits.size() / 2);
    auto* at = reinterpret_cast<std::uint8_t*>(target.data());
    if (target.size() < size_min || !from_hex(digits, at, target.size())) note(key);
  }
  const Json* object(const char* key) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_object()) note(key);
    return wrong_.empty() ? value : nullptr;
  }
  // Not null when result() is good.
  const Json* array(const char* key) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_array()) note(key);
    return value;
  }
  [[nodiscard]] Status result() const {
    if (!wrong_.empty()) return damaged(fmt::format("no valid \"{}\"", wrong_));
    if (asked_ != json_.size()) return damaged("members that do not belong there");
    return ok();
  }

 private:
  const Json* find(const char* key) {
    const auto it = json_.find(key);
    if (it == json_.end()) return nullptr;
    ++asked_;
    return &*it;
  }
  void note(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const Json& json_;
  std::size_t asked_ = 0;
  std::string wrong_;
};

Status read_cost(const Json& json, ScryptCost& cost) {
  Members read(json);
  read.number("n", cost.n, kWorkMax);
  read.number("r", cost.r, kKiB);
  read.number("p", cost.p, kKiB);
  TRY(read.result());
  const bool some = std::has_single_bit(cost.n) && cost.n > 1 && cost.r > 0 && cost.p > 0;
  if (!some || 128 * cost.n * cost.r > kWorkMax / cost.p) return damaged("no such cost of scrypt");
  return ok();
}

Result<KeySlot> read_slot(const Json& json) {
  if (!json.is_object()) return damaged("a slot that is none");
  KeySlot slot;
  Members read(json);
  std::string kind;
  read.number("id", slot.id, KeySlots::kSlotsMax);
  read.text("kind", kind, kStoreIdSizeMax);
  read.text("label", slot.label, KeySlots::kLabelSizeMax);
  read.number("created_ns", slot.created_ns, INT64_MAX);
  read.hex("salt", slot.salt, kSaltSizeMin, kSaltSizeMax);
  read.hex("wrapped", slot.wrapped, kWrappedSize, kWrappedSize);
  if (kind == name_of(SecretKind::kPassphrase)) {
    if (const Json* cost = read.object("scrypt")) TRY(read_cost(*cost, slot.cost));
  } else if (kind == name_of(SecretKind::kKeyFile)) {
    slot.kind = SecretKind::kKeyFile;
  } else {
    return damaged("a slot of an unknown kind");
  }
  TRY(read.result());
  if (slot.id == 0) return damaged("a slot without a number");
  return slot;
}

Result<Json> parse(ByteView text) {
  if (text.size() > KeySlots::kFileSizeMax) return damaged("larger than it can be");
  Json json = parse_flat_json(text, kNestingMax);
  if (!json.is_object()) return damaged("not JSON");
  if (json.value("amberfs", Json()) != "keys") return damaged("not a file of keys");
  // The same in every format: so that a damaged number of the format is damage, and the other file
  // is taken.
  const Json checksum = json.value("checksum", Json());
  json.erase("checksum");
  if (checksum != hash_of(json)) return damaged("the checksum does not match");
  const Json format = json.value("format", Json());
  if (!format.is_number_unsigned() || format < kFormat) return damaged("no format");
  if (format > kFormat) return fail(Errc::kNewerFormat, 0, "read the keys");
  return json;
}

}  // namespace

std::string KeySlots::encode() const {
  Json json{{"amberfs", "keys"},
            {"format", kFormat},
            {"store", store_id_},
            {"generation", generation_},
            {"slots", Json::array()}};
  for (const KeySlot& slot : slots_) json["slots"].push_back(json_of(slot));
  json["checksum"] = hash_of(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<KeySlots> KeySlots::decode(ByteView text) {
  TRY_ASSIGN(const Json json, parse(text));
  KeySlots keys("");
  Members read(json);
  std::string what;
  std::uint64_t format = 0;
  read.text("amberfs", what, kStoreIdSizeMax);
  read.number("format", format, kFormat);
  read.text("store", keys.store_id_, kStoreIdSizeMax);
  read.number("generation", keys.generation_, INT64_MAX);
  const Json* slots = read.array("slots");
  TRY(read.result());
  if (slots->empty() || slots->size() > kSlotsMax) return damaged("no slots, or too many");
  for (const Json& slot : *slots) {
    TRY_ASSIGN(KeySlot next, read_slot(slot));
    if (!keys.slots_.empty() && keys.slots_.back().id >= next.id) {
      return damaged("slots out of order");
    }
    keys.slots_.push_back(std::move(next));
  }
  return keys;
}

}  // namespace amberfs
