// SPDX-License-Identifier: Apache-2.0
// JSON objects whose sums are made right, so that a fuzzer gets behind them.
#pragma once

#include "blockstore/base/flat_json.h"
#include "blockstore/base/hash.h"

#include <initializer_list>
#include <string>

namespace amberfs::fuzz {

inline std::string dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

inline std::string hash_of(ByteView text) {
  const Sha256 digest = sha256(text);
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// Each member in `members` becomes the hash of the object without it and those behind it. What is
// no object is left as it is.
inline Bytes with_right_sums(ByteView text, std::initializer_list<const char*> members) {
  nlohmann::json json = parse_flat_json(text);
  if (!json.is_object()) return Bytes(text);
  for (const char* member : members) json.erase(member);
  for (const char* member : members) json[member] = hash_of(dump(json));
  return dump(json);
}

}  // namespace amberfs::fuzz
