// SPDX-License-Identifier: Apache-2.0
// Manifests, plain and sealed, notes of the chain (tombstones), and times: any text is one of them
// or refused. What is accepted survives being written and read again. Of the first byte, bit 0: if
// the rest is a JSON object, its hashes are made right, so that the fuzzer gets behind them; bit 1:
// it is read as a sealed document; bit 2: it is what a sealed document hides, which only who has
// the key can choose.
#include "snapshot/catalog.h"
#include "snapshot/document_seal.h"
#include "snapshot/manifest.h"
#include "snapshot/notes.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/right_sums.h"
#include "tests/support/sample_manifest.h"

#include <nlohmann/json.hpp>

namespace amberfs {
namespace {

using Json = nlohmann::json;
using fuzz::require;

void check_times(ByteView text) {
  const auto time = parse_time(text, 0);
  if (!time || text.starts_with("now")) return;
  const std::int64_t ms = *time / 1'000'000 - (*time % 1'000'000 < 0 ? 1 : 0);
  const auto again = parse_time(format_time(*time), 0);
  // A zone can move the first and the last instants out of the years that are parsed.
  require(!again || *again == ms * 1'000'000);
}

const Sealer& sealer() {
  // Never destroyed: OpenSSL may be gone before it at the end of the process.
  static const auto& sealer = *new Sealer(SecretBytes::copy_of(Bytes(kKeySize, 'T')).value());
  return sealer;
}

// A document whose sealed member opens, and is `hidden`.
Bytes sealed_around(ByteView hidden) {
  Json json{{"amberfs", "snapshot"}, {"format", 2}, {"sequence", 7}, {"time_ns", 5}};
  json["sealed"] = to_hex(sealer().seal(json.dump(), hidden));
  json["checksum"] = fuzz::hash_of(fuzz::dump(json));
  return json.dump();
}

void check_manifest(ByteView text);

void check_sealed(ByteView text) {
  const auto plain = open_document(sealer(), text);
  if (!plain) return;
  check_manifest(*plain);
  const auto sealed = seal_document(sealer(), *plain);
  require(sealed.has_value());
  const auto again = open_document(sealer(), *sealed);
  require(again && *again == *plain);
}

void check_note(ByteView text) {
  auto note = decode_note(text);
  if (!note) return;
  require(note->sequence > 0 && note->id.size() == 64);
  const auto again = decode_note(encode_note(*note));
  require(again && again->id == note->id && again->link == note->link &&
          again->snapshots.size() == note->snapshots.size());
}

void run(unsigned choice, ByteView input) {
  check_times(input);
  (void)Catalog::check_name(input);
  if ((choice & 4) != 0) return check_sealed(sealed_around(input));
  const Bytes text =
      (choice & 1) != 0 ? fuzz::with_right_sums(input, {"id", "checksum"}) : Bytes(input);
  if ((choice & 2) != 0) return check_sealed(text);
  check_note(text);
  check_manifest(text);
  if (const auto sealed = seal_document(sealer(), text)) check_sealed(*sealed);
}

void check_manifest(ByteView text) {
  auto manifest = decode_manifest(text);
  if (!manifest) return;
  require(manifest->sequence > 0 && manifest->id.size() == 64);
  const auto again = decode_manifest(encode_manifest(*manifest));
  require(again.has_value() && again->root == manifest->root && again->name == manifest->name &&
          again->time_ns == manifest->time_ns && again->totals == manifest->totals);
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  Manifest manifest = testing::sample_manifest();
  const std::string text = encode_manifest(manifest);
  add('\0' + text);
  add('\1' + text);
  const std::string sealed = seal_document(sealer(), text).value();
  add('\2' + sealed);
  add('\3' + sealed);
  add('\4' + Bytes(R"({"name":"n","reason":"r","kind":"manual","root":"00"})"));
  const SigningKey key = SigningKey::from(SecretBytes::copy_of(Bytes(32, 'k')).value());
  Link link{.number = 3, .next_key = key.public_key()};
  sign_link(link, key);
  manifest.link = link;
  manifest.audit_size = 400;
  manifest.audit_hash = std::string(64, 'b');
  add('\1' + encode_manifest(manifest));
  Note note{.sequence = 8, .time_ns = 1'790'000'000'123'456'789, .reason = "given up"};
  note.snapshots.push_back({7, 5, std::string(64, 'a'), link});
  note.snapshots.push_back({6, 4, std::string(64, 'c'), std::nullopt});
  (void)encode_note(note);
  note.link = link;
  add('\1' + encode_note(note));
  for (const char* time : {"2026-11-20T10:33:05.123Z", "2026-11-20 10:33+02:00", "now-90s"}) {
    add(Bytes(1, '\0') + time);
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 256 * amberfs::kKiB) return 0;
  amberfs::run(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
