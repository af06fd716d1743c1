// SPDX-License-Identifier: Apache-2.0
// Key slots: any two files of keys open the data key of the store or are refused; no bytes make
// another key of it, and no slot asks for more work than it may. Bit 0 of the first byte: the
// checksums of JSON objects are made right, so that the fuzzer gets behind them.
//
//   input: u8 choice, u16 size of the first file, its bytes; the rest is the second file
#include "blockstore/base/coding.h"
#include "blockstore/key_slots.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/right_sums.h"
#include "tests/support/memory_io.h"
#include "tests/support/temp_dir.h"

namespace amberfs {
namespace {

using fuzz::require;

// Beyond this, scrypt takes longer than a run may.
constexpr std::uint64_t kWorkMax = 64 * kKiB;

SecretBytes secret(char byte) {
  return SecretBytes::copy_of(Bytes(kKeySize, byte)).value();
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
    first = fuzz::with_right_sums(first, {"checksum"});
    second = fuzz::with_right_sums(second, {"checksum"});
  }
  check_text(first);
  check_text(second);
  check_files(std::move(first), std::move(second));
  return 0;
}
