// SPDX-License-Identifier: Apache-2.0
// Key slots: any two files of keys open the data key of the store or are refused; no bytes make
// another key of it, and no slot asks for more work than it may. Bit 0 of the first byte: the
// checksums of JSON objects are made right, so that the fuzzer gets behind them.
//
//   input: u8 choice, u16 size of the first file, its bytes; the rest is the second file
#include "blockstore/base/coding.h"
#include "blockstore/base/hash.h"
#include "blockstore/key_slots.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>

namespace amberfs {
namespace {

using Json = nlohmann::json;
using fuzz::require;

// Beyond this, scrypt takes longer than a run may.
constexpr std::uint64_t kWorkMax = 64 * kKiB;

SecretBytes secret(char byte) {
  return SecretBytes::copy_of(Bytes(kKeySize, byte)).value();
}

Bytes with_right_checksum(ByteView text) {
  bool is_deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, const Json&) {
    is_deep = is_deep || depth > 8;
    return !is_deep;
  };
  Json json = Json::parse(text, keep, false);
  if (is_deep || !json.is_object()) return Bytes(text);
  json.erase("checksum");
  const Sha256 digest = sha256(json.dump(-1, ' ', false, Json::error_handler_t::replace));
  json["checksum"] = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void try_keys(const KeySlots& keys) {
  require(!keys.slots().empty() && keys.slots().size() <= KeySlots::kSlotsMax);
  std::uint64_t work = 0;
  for (const KeySlot& slot : keys.slots()) {
    require(slot.id > 0 && slot.id <= KeySlots::kSlotsMax);
    if (slot.kind != SecretKind::kPassphrase) continue;
    require(slot.cost.n * slot.cost.r * slot.cost.p <= kGiB / 128);
    work += 128 * slot.cost.n * slot.cost.r * slot.cost.p;
  }
  const auto by_file = keys.unlock({SecretKind::kKeyFile, secret('F')});
  require(!by_file || by_file->data_key.view() == secret('T').view());
  if (work > kWorkMax) return;
  const auto by_phrase = keys.unlock({SecretKind::kPassphrase, secret('P')});
  require(!by_phrase || by_phrase->data_key.view() == secret('T').view());
}

void check_text(ByteView text) {
  const auto keys = KeySlots::decode(text);
  if (!keys) return;
  try_keys(*keys);
  const std::string again = keys->encode();
  const auto second = KeySlots::decode(again);
  require(second && second->encode() == again);
}

void check_files(Bytes first, Bytes second) {
  // The lock alone is on the disk.
  static const auto& directory = *new testing::TempDir;
  testing::MemoryIo io;
  const std::string store = directory.path();
  const bool any = KeySlots::decode(first).has_value() || KeySlots::decode(second).has_value();
  io.files()[store + "/keys.json"] = std::make_shared<Bytes>(std::move(first));
  io.files()[store + "/keys.copy.json"] = std::make_shared<Bytes>(std::move(second));
  const auto found = read_key_slots(io, store);
  if (!found) {
    require(!any || found.error().code == Errc::kNewerFormat);
    return;
  }
  // Both are good from now on.
  const std::string text = found->encode();
  for (const char* name : {"/keys.json", "/keys.copy.json"}) {
    const auto kept = KeySlots::decode(*io.files().at(store + name));
    require(kept && kept->encode() == text);
  }
}

Bytes input_of(char choice, ByteView first, ByteView second) {
  Encoder e;
  e.u8(static_cast<std::uint8_t>(choice)).u16(static_cast<std::uint16_t>(first.size()));
  e.bytes(first).bytes(second);
  return std::move(e).take();
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  KeySlots keys("0123456789abcdef");
  require(keys.add(secret('T'), {SecretKind::kKeyFile, secret('F')}, "file").has_value());
  const std::string old = keys.encode();
  const ScryptCost cost{.n = 16, .r = 1, .p = 1};
  require(
      keys.add(secret('T'), {SecretKind::kPassphrase, secret('P')}, "phrase", cost).has_value());
  keys.set_generation(2);
  const std::string text = keys.encode();
  for (const char choice : {'\0', '\1'}) {
    add(input_of(choice, text, text));
    add(input_of(choice, old, text));
    add(input_of(choice, "", old));
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 2 * KeySlots::kFileSizeMax) return 0;
  Decoder d(fuzz::as_bytes(data, size));
  const bool fix = (d.u8() & 1) != 0;
  const std::uint16_t first_size = d.u16();
  Bytes first(d.bytes(std::min<std::size_t>(first_size, d.remaining())));
  Bytes second(d.bytes(d.remaining()));
  if (fix) {
    first = with_right_checksum(first);
    second = with_right_checksum(second);
  }
  check_text(first);
  check_text(second);
  check_files(std::move(first), std::move(second));
  return 0;
}
