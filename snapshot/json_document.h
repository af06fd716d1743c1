// SPDX-License-Identifier: Apache-2.0
// What the JSON documents of a store (manifests, notes of the chain) have in common: a canonical
// form, an id and a checksum over it, and how a link stands in them. Private to snapshot/.
// Threads: functions of values.
// Errors:  kCorrupt, kNewerFormat; they say what was being read.
#pragma once

#include "snapshot/link.h"

#include <nlohmann/json.hpp>

namespace amberfs {

using Json = nlohmann::json;  // keys sorted, so dump() is canonical

// SHA-256 of the object without white space.
[[nodiscard]] Sha256 json_hash(const Json& json);
[[nodiscard]] std::string json_hash_text(const Json& json);

// Adds `link` (if any) and `checksum`; the text as it stands on disk.
[[nodiscard]] std::string finish_document(Json json, const std::optional<Link>& link);

struct DocumentKind {
  std::string_view name;  // member "amberfs"
  int format_max = 1;
  std::string_view tried;  // "read a snapshot's manifest"
  [[nodiscard]] std::unexpected<Error> corrupt(const std::string& why) const;
};
// Parses and checks kind, format and checksum, which it takes out.
[[nodiscard]] Result<Json> parse_document(ByteView text, const DocumentKind& kind);
// Takes `link` out; its subject comes from the document.
[[nodiscard]] Result<std::optional<Link>> take_link(Json& json, const DocumentKind& kind,
                                                    const LinkSubject& subject);

// Reads members; the first one that is missing or of another type is remembered.
class JsonMembers {
 public:
  explicit JsonMembers(const Json& json) : json_(json) {}
  void text(const char* key, std::string& target);
  void number(const char* key, std::uint64_t& target);
  void number(const char* key, std::int64_t& target);
  void hex(const char* key, std::uint8_t* target, std::size_t size);
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

 private:
  void note(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const Json& json_;
  std::string wrong_;
};

}  // namespace amberfs
