// SPDX-License-Identifier: Apache-2.0
#include "snapshot/json_document.h"

#include "blockstore/base/flat_json.h"
#include "blockstore/base/hash.h"

namespace amberfs {
namespace {

// dump() recurses into the text that a file gives it; a document is nearly flat.

template <std::size_t kSize>
std::string hex_of(const std::array<std::uint8_t, kSize>& bytes) {
  return to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Json to_json(const Link& link) {
  return Json{{"number", link.number},
              {"previous", hex_of(link.previous)},
              {"key", hex_of(link.key.bytes)},
              {"next_key", hex_of(link.next_key.bytes)},
              {"signature", hex_of(link.signature)}};
}

}  // namespace

Sha256 json_hash(const Json& json) {
  return sha256(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string json_hash_text(const Json& json) {
  return hex_of(json_hash(json));
}

std::string finish_document(Json json, const std::optional<Link>& link) {
  if (link) json["link"] = to_json(*link);
  json["checksum"] = json_hash_text(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::unexpected<Error> DocumentKind::corrupt(const std::string& why) const {
  return fail(Errc::kCorrupt, 0, std::string(tried) + ": " + why);
}

Result<Json> parse_document(ByteView text, const DocumentKind& kind) {
  Json json = parse_flat_json(text);
  if (!json.is_object()) return kind.corrupt("not JSON, or nested too deep");
  if (json.value("amberfs", Json()) != kind.name) {
    return kind.corrupt("not a " + std::string(kind.name));
  }
  const Json format = json.value("format", Json());
  if (!format.is_number_integer()) return kind.corrupt("no format");
  if (format < 1) return kind.corrupt("no such format");
  if (format > kind.format_max) return fail(Errc::kNewerFormat, 0, std::string(kind.tried));
  const Json checksum = json.value("checksum", Json());
  json.erase("checksum");
  if (checksum != json_hash_text(json)) return kind.corrupt("its checksum does not match");
  return json;
}

Result<std::optional<Link>> take_link(Json& json, const DocumentKind& kind,
                                      const LinkSubject& subject) {
  const auto it = json.find("link");
  if (it == json.end()) return std::nullopt;
  if (!it->is_object()) return kind.corrupt("no valid \"link\"");
  Link link{.kind = subject.kind,
            .sequence = subject.sequence,
            .time_ns = subject.time_ns,
            .id = subject.id};
  JsonMembers read(*it);
  read.number("number", link.number);
  read.hex("previous", link.previous.data(), link.previous.size());
  read.hex("key", link.key.bytes.data(), link.key.bytes.size());
  read.hex("next_key", link.next_key.bytes.data(), link.next_key.bytes.size());
  read.hex("signature", link.signature.data(), link.signature.size());
  if (!read.wrong().empty()) return kind.corrupt("no valid \"" + read.wrong() + "\" in its link");
  json.erase(it);
  return link;
}

void JsonMembers::text(const char* key, std::string& target) {
  const auto it = json_.find(key);
  if (it == json_.end() || !it->is_string()) return note(key);
  target = it->get_ref<const std::string&>();
}

void JsonMembers::number(const char* key, std::uint64_t& target) {
  const auto it = json_.find(key);
  if (it == json_.end() || !it->is_number_unsigned()) return note(key);
  target = it->get<std::uint64_t>();
}

void JsonMembers::number(const char* key, std::int64_t& target) {
  const auto it = json_.find(key);
  if (it == json_.end() || !it->is_number_integer()) return note(key);
  if (it->is_number_unsigned() && it->get<std::uint64_t>() > INT64_MAX) return note(key);
  target = it->get<std::int64_t>();
}

void JsonMembers::hex(const char* key, std::uint8_t* target, std::size_t size) {
  const auto it = json_.find(key);
  if (it == json_.end() || !it->is_string() ||
      !from_hex(it->get_ref<const std::string&>(), target, size)) {
    note(key);
  }
}

}  // namespace amberfs
