// SPDX-License-Identifier: Apache-2.0
#include "snapshot/document_seal.h"

#include "blockstore/base/flat_json.h"
#include "blockstore/base/hash.h"

#include <algorithm>
#include <array>

namespace amberfs {
namespace {

using Json = nlohmann::json;  // keys sorted, so dump() is canonical

constexpr std::array<std::string_view, 6> kBound{"amberfs",  "format", "id",
                                                 "sequence", "time",   "time_ns"};
// Readable, but not bound: it carries a signature of its own, and repair may write it anew without
// the key.
constexpr std::string_view kLink = "link";
constexpr const char* kSealed = "sealed";
constexpr const char* kChecksum = "checksum";

std::unexpected<Error> corrupt(const char* why) {
  return fail(Errc::kCorrupt, 0, std::string("read a sealed document: ") + why);
}

std::string canonical(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hash_of(const Json& json) {
  const Sha256 digest = sha256(canonical(json));
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string finished(Json json) {
  json[kChecksum] = hash_of(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Checked, and without its checksum.
Result<Json> parse(ByteView text) {
  Json json = parse_flat_json(text);
  if (!json.is_object()) return corrupt("not JSON");
  const Json checksum = json.value(kChecksum, Json());
  json.erase(kChecksum);
  if (checksum != hash_of(json)) return corrupt("its checksum does not match");
  return json;
}

bool is_visible(std::string_view member) {
  return member == kLink || std::ranges::find(kBound, member) != kBound.end();
}

std::string bound_text(const Json& json) {
  Json bound = Json::object();
  for (const std::string_view member : kBound) {
    const auto it = json.find(member);
    if (it != json.end()) bound[std::string(member)] = *it;
  }
  return canonical(bound);
}

}  // namespace

Result<std::string> seal_document(const Sealer& sealer, ByteView text) {
  TRY_ASSIGN(Json json, parse(text));
  Json visible = Json::object();
  Json hidden = Json::object();
  for (auto& [member, value] : json.items()) {
    (is_visible(member) ? visible : hidden)[member] = std::move(value);
  }
  visible[kSealed] = to_hex(sealer.seal(bound_text(visible), canonical(hidden)));
  return finished(std::move(visible));
}

Result<std::string> open_document(const Sealer& sealer, ByteView text) {
  TRY_ASSIGN(Json json, parse(text));
  const auto sealed = json.find(kSealed);
  if (sealed == json.end() || !sealed->is_string()) return corrupt("it is not sealed");
  const auto& digits = sealed->get_ref<const std::string&>();
  Bytes bytes(digits.size() / 2, '\0');
  if (!from_hex(digits, reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size())) {
    return corrupt("it is not sealed");
  }
  const auto plain = sealer.open(bound_text(json), bytes);
  if (!plain) return corrupt("it is not what this store's key sealed");
  Json hidden = parse_flat_json(*plain);
  if (!hidden.is_object()) return corrupt("what is sealed is no JSON");
  json.erase(kSealed);
  for (auto& [member, value] : hidden.items()) {
    if (is_visible(member) || member == kSealed || member == kChecksum) {
      return corrupt("a member is there twice");
    }
    json[member] = std::move(value);
  }
  return finished(std::move(json));
}

}  // namespace amberfs
