// SPDX-License-Identifier: Apache-2.0
// The files of the sealed chain: STORE/chain, signing.key and links that stand in documents. Any
// bytes are a chain or a reason why there is none. What check_chain() takes for proved is what was
// signed: of those that the fuzzer has no key for, the three links that were made. And what goes on
// is there when it is opened again. Of the first byte:
//   bit 0  checksums of records of the chain and slots of the key are made right
//   bit 1  of an encrypted store, whose secrets are sealed (with bit 0 sealed anew)
//   bit 2  the links are signed anew, each with the key that the one before it promised
//
//   input: u8 choice, 2 slots of kSlotSeed bytes (the rest of a slot is zeros), then STORE/chain
#include "blockstore/base/coding.h"
#include "blockstore/base/hash.h"
#include "snapshot/chain_check.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"

#include <cstring>

namespace amberfs {
namespace {

using fuzz::require;

// Offsets of fields: docs/format/chain.md.
constexpr std::size_t kRecordSize = 256;
constexpr std::size_t kSlotSize = 4096;
constexpr std::size_t kSlotSeed = 192;
constexpr std::size_t kSecretAt = 56;
const std::string kStore = "store";

std::shared_ptr<const StoreCipher> cipher() {
  // Never destroyed: OpenSSL may be gone before it at the end of the process.
  static const auto& cipher = *new std::shared_ptr<const StoreCipher>(
      StoreCipher::make(SecretBytes::copy_of(Bytes(kKeySize, 'T')).value()).value());
  return cipher;
}

SigningKey key_of(std::uint64_t number) {
  return SigningKey::from(
      SecretBytes::copy_of(Bytes(SigningKey::kSecretSize, static_cast<char>('a' + number % 16)))
          .value());
}

const PublicKey& first_key() {
  static const PublicKey key = key_of(1).public_key();
  return key;
}

// The chain of a store with three snapshots.
const std::vector<Link>& made_links() {
  static const std::vector<Link> links = [] {
    std::vector<Link> made;
    ChainEnd end = ChainEnd::before_first(first_key());
    for (std::uint64_t number = 1; number <= 3; ++number) {
      Link link{.number = number,
                .sequence = 2 * number,
                .time_ns = static_cast<std::int64_t>(number) * 1'000'000'000,
                .previous = end.hash,
                .next_key = key_of(number + 1).public_key()};
      sign_link(link, key_of(number));
      end = ChainEnd::after(link);
      made.push_back(link);
    }
    return made;
  }();
  return links;
}

void put_checksum(char* bytes, std::size_t size) {
  store_le(bytes + size, xxh3({bytes, size}));
}

void correct_records(Bytes& chain) {
  for (std::size_t at = 0; at + kRecordSize <= chain.size(); at += kRecordSize) {
    put_checksum(chain.data() + at, kRecordSize - 8);
  }
}

// Whatever else the records say, who holds the keys could have said.
ChainEnd sign_records(Bytes& chain) {
  ChainEnd end = ChainEnd::before_first(first_key());
  for (std::size_t at = kRecordSize; at + kRecordSize <= chain.size(); at += kRecordSize) {
    auto link = decode_link(ByteView(chain).substr(at + 8, kLinkSize));
    if (!link) continue;
    const std::uint64_t number = at / kRecordSize;
    link->number = number;
    link->previous = end.hash;
    link->next_key = key_of(number + 1).public_key();
    sign_link(*link, key_of(number));
    chain.replace(at + 8, kLinkSize, encode_link(*link));
    end = ChainEnd::after(*link);
  }
  return end;
}

void put_next_key(const ChainEnd& end, Bytes& slots) {
  char* slot = slots.data() + (end.length + 1) % 2 * kSlotSize;
  store_le(slot + 8, end.length + 1);
  std::memcpy(slot + 24, end.hash.data(), end.hash.size());
  std::memcpy(slot + kSecretAt, key_of(end.length + 1).secret().data(), SigningKey::kSecretSize);
}

void correct_slot(char* slot, bool sealed) {
  std::size_t size = SigningKey::kSecretSize;
  if (sealed) {
    const Bytes associated =
        Bytes("amberfs signing key v1") + Bytes(slot + 8, 8) + Bytes(slot + 24, sizeof(Sha256));
    const ByteView secret(slot + kSecretAt, SigningKey::kSecretSize);
    const Bytes bytes = cipher()->heads().seal(associated, secret);
    std::memcpy(slot + kSecretAt, bytes.data(), bytes.size());
    size = bytes.size();
  }
  store_le(slot + 16, std::uint64_t{size});
  put_checksum(slot, kSecretAt + SigningKey::kSecretSize + Sealer::kOverhead);
}

// What the chain does with it; afterwards it is opened again.
void use(Io& io, const Chain::Cipher& with) {
  auto opened = Chain::open(io, kStore, with);
  if (!opened) {
    require(!opened.error().to_string().empty());
    return;
  }
  Chain& chain = **opened;
  chain.catch_up({});
  const ChainEnd before = chain.end();
  if (before.time_ns == INT64_MAX || before.sequence == UINT64_MAX) return;
  if (!chain.can_sign()) {
    require(!chain.problem().empty() || !chain.is_sealed());
    return;
  }
  const auto link = chain.prepare({.kind = LinkKind::kSnapshot,
                                   .sequence = before.sequence + 1,
                                   .time_ns = before.time_ns + 1,
                                   .id = {}});
  // Who signs anew can write a last link behind which none fits: then no snapshot is taken.
  if (!link) return require(link.error().code == Errc::kBadRequest);
  chain.confirm();
  auto again = Chain::open(io, kStore, with);
  require(again.has_value());
  (*again)->catch_up({});
  require((*again)->end().length == before.length + 1 && (*again)->can_sign());
}

void check(Io& io, const Chain::Cipher& with, bool signed_anew) {
  auto opened = Chain::open(io, kStore, with);
  if (!opened) return;
  Chain& chain = **opened;
  ChainEvidence evidence{.sealed = chain.is_sealed(), .recorded_key = chain.first_key()};
  auto records = chain.read_records();
  auto state = chain.read_signing_state();
  if (!records || !state) return;  // kNewerFormat
  evidence.records = *std::move(records);
  evidence.signing_state = *std::move(state);
  // Each is in a document as well, as if the newest record were not there yet.
  for (const auto& link : evidence.records.links) {
    if (!link) continue;
    Manifest manifest;
    manifest.sequence = link->sequence;
    manifest.time_ns = link->time_ns;
    manifest.link = link;
    evidence.manifests.good.push_back(std::move(manifest));
  }
  const ChainReport report = check_chain(evidence, first_key());
  std::uint64_t number = 0;
  for (const Link& link : report.links) {
    require(link.number == ++number);
    require(signed_anew || (number <= made_links().size() && link == made_links()[number - 1]));
  }
  if (report.links.empty()) return;
  require(chain.replace_records(first_key(), report.links).has_value());
  require(chain.end() == report.end);
}

struct Input {
  Bytes slots;
  Bytes chain;
};

Input input_of(ByteView bytes, unsigned choice) {
  const bool sealed = (choice & 2) != 0;
  Input input;
  for (std::size_t i = 0; i < 2; ++i) {
    const ByteView slot = bytes.substr(0, kSlotSeed);
    bytes.remove_prefix(slot.size());
    input.slots += slot;
    input.slots.resize((i + 1) * kSlotSize, '\0');
  }
  input.chain = bytes;
  if ((choice & 4) != 0) put_next_key(sign_records(input.chain), input.slots);
  if ((choice & 1) != 0) {
    correct_records(input.chain);
    for (std::size_t i = 0; i < 2; ++i) correct_slot(input.slots.data() + i * kSlotSize, sealed);
  }
  return input;
}

void run(const Input& input, unsigned choice) {
  const Chain::Cipher with = (choice & 2) != 0 ? cipher() : nullptr;
  testing::MemoryIo io;
  const auto put = [&] {
    io.files()[kStore + "/signing.key"] = std::make_shared<Bytes>(input.slots);
    io.files()[kStore + "/chain"] = std::make_shared<Bytes>(input.chain);
  };
  put();
  use(io, with);
  put();
  check(io, with, (choice & 4) != 0);
}

Bytes seed(bool sealed) {
  const Chain::Cipher with = sealed ? cipher() : nullptr;
  testing::MemoryIo io;
  require(Chain::create(io, kStore, with).has_value());
  require(ChainFile::create(io, kStore + "/chain", first_key()).has_value());
  ChainFile file = ChainFile::open(io, kStore + "/chain").value();
  for (const Link& link : made_links()) require(file.append(link).has_value());
  SigningSlots slots(io, kStore + "/signing.key", with);
  for (const std::uint64_t number : {3U, 4U}) {
    require(slots
                .store({.number = number,
                        .previous = link_hash(made_links()[number - 2]),
                        .key = key_of(number)})
                .has_value());
  }
  const Bytes& both = *io.files().at(kStore + "/signing.key");
  return both.substr(0, kSlotSeed) + both.substr(kSlotSize, kSlotSeed) +
         *io.files().at(kStore + "/chain");
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  for (const bool sealed : {false, true}) {
    const Bytes bytes = seed(sealed);
    const Input input = input_of(bytes, 0);
    testing::MemoryIo io;
    io.files()[kStore + "/signing.key"] = std::make_shared<Bytes>(input.slots);
    io.files()[kStore + "/chain"] = std::make_shared<Bytes>(input.chain);
    const auto chain = Chain::open(io, kStore, sealed ? cipher() : nullptr);
    require(chain.has_value());
    (*chain)->catch_up({});
    require((*chain)->can_sign() && (*chain)->end().length == 3);
    for (const unsigned choice : {0U, 1U, 5U}) {
      if (sealed && choice == 1) continue;  // what is sealed already would be sealed again
      add(static_cast<char>(choice | (sealed ? 2U : 0U)) + bytes);
    }
  }
  add('\3' + seed(false));
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 64 * kKiB) return 0;
  run(input_of(fuzz::as_bytes(data + 1, size - 1), data[0]), data[0]);
  return 0;
}
