// SPDX-License-Identifier: Apache-2.0
// Manifests and times: any text is a manifest, a time, or refused. What is accepted survives being
// written and read again. If the first byte is odd and the rest is a JSON object, its hashes are
// made right, so that the fuzzer gets behind them.
#include "snapshot/catalog.h"
#include "snapshot/manifest.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/sample_manifest.h"

#include <nlohmann/json.hpp>

namespace amberfs {
namespace {

using Json = nlohmann::json;
using fuzz::require;

std::string hash_of(const Json& json) {
  const Sha256 digest = sha256(json.dump(-1, ' ', false, Json::error_handler_t::replace));
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// Flat objects only: what nests deep is for decode_manifest() to refuse, not for dump() here.
Bytes with_right_hashes(ByteView text) {
  bool is_deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, const Json&) {
    is_deep = is_deep || depth > 8;
    return !is_deep;
  };
  Json json = Json::parse(text, keep, false);
  if (is_deep || !json.is_object()) return Bytes(text);
  json.erase("id");
  json.erase("checksum");
  json["id"] = hash_of(json);
  json["checksum"] = hash_of(json);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void check_times(ByteView text) {
  const auto time = parse_time(text, 0);
  if (!time || text.starts_with("now")) return;
  const std::int64_t ms = *time / 1'000'000 - (*time % 1'000'000 < 0 ? 1 : 0);
  const auto again = parse_time(format_time(*time), 0);
  // A zone can move the first and the last instants out of the years that are parsed.
  require(!again || *again == ms * 1'000'000);
}

void run(bool fix_hashes, ByteView input) {
  check_times(input);
  (void)Catalog::check_name(input);
  auto manifest = decode_manifest(fix_hashes ? with_right_hashes(input) : Bytes(input));
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
  for (const char* time : {"2026-11-20T10:33:05.123Z", "2026-11-20 10:33+02:00", "now-90s"}) {
    add(Bytes(1, '\0') + time);
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 256 * amberfs::kKiB) return 0;
  amberfs::run((data[0] & 1) != 0, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
