// SPDX-License-Identifier: Apache-2.0
#include "snapshot/manifest.h"

#include <nlohmann/json.hpp>

namespace amberfs {
namespace {

using Json = nlohmann::json;  // keys sorted, so dump() is canonical

constexpr int kFormat = 1;
// dump() recurses into the text that a file gives it; a manifest is flat, an extension of it may
// nest a little.
constexpr int kNestingMax = 16;

std::string canonical(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hash_of(const Json& json) {
  const Sha256 digest = sha256(canonical(json));
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Json body_of(const Manifest& manifest) {
  return Json{{"amberfs", "snapshot"},
              {"format", kFormat},
              {"sequence", manifest.sequence},
              {"time", format_time(manifest.time_ns)},
              {"time_ns", manifest.time_ns},
              {"root", manifest.root.to_hex()},
              {"name", manifest.name},
              {"reason", manifest.reason},
              {"kind", manifest.kind},
              {"previous", manifest.previous_id},
              {"inodes", manifest.totals.inode_count},
              {"logical_bytes", manifest.totals.logical_bytes},
              {"changed_bytes", manifest.changed_bytes},
              {"stored_bytes", manifest.stored_bytes},
              {"journal_seq", manifest.journal_seq}};
}

std::unexpected<Error> corrupt(std::string why) {
  return fail(Errc::kCorrupt, 0, "read a snapshot's manifest: " + std::move(why));
}

// Reads members; the first one that is missing or of another type is remembered.
class Members {
 public:
  explicit Members(const Json& json) : json_(json) {}
  void text(const char* key, std::string& target) {
    const auto it = json_.find(key);
    if (it == json_.end() || !it->is_string()) return note(key);
    target = it->get_ref<const std::string&>();
  }
  void number(const char* key, std::uint64_t& target) {
    const auto it = json_.find(key);
    if (it == json_.end() || !it->is_number_unsigned()) return note(key);
    target = it->get<std::uint64_t>();
  }
  void number(const char* key, std::int64_t& target) {
    const auto it = json_.find(key);
    if (it == json_.end() || !it->is_number_integer()) return note(key);
    if (it->is_number_unsigned() && it->get<std::uint64_t>() > INT64_MAX) return note(key);
    target = it->get<std::int64_t>();
  }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

 private:
  void note(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const Json& json_;
  std::string wrong_;
};

}  // namespace

std::string encode_manifest(Manifest& manifest) {
  Json json = body_of(manifest);
  manifest.id = hash_of(json);
  json["id"] = manifest.id;
  json["checksum"] = hash_of(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Manifest> decode_manifest(ByteView text) {
  bool too_deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, const Json&) {
    too_deep = too_deep || depth > kNestingMax;
    return !too_deep;  // what is refused is not built
  };
  Json json = Json::parse(text, keep, false);
  if (too_deep) return corrupt("nested too deep");
  if (!json.is_object()) return corrupt("not JSON");
  if (json.value("amberfs", Json()) != "snapshot") return corrupt("not a manifest");
  const Json format = json.value("format", Json());
  if (!format.is_number_integer()) return corrupt("no format");
  if (format < kFormat) return corrupt("no such format");
  if (format > kFormat) return fail(Errc::kNewerFormat, 0, "read a snapshot's manifest");

  const Json checksum = json.value("checksum", Json());
  json.erase("checksum");
  if (checksum != hash_of(json)) return corrupt("its checksum does not match");

  Manifest manifest;
  Members read(json);
  std::string root;
  read.text("id", manifest.id);
  read.number("sequence", manifest.sequence);
  read.number("time_ns", manifest.time_ns);
  read.text("root", root);
  read.text("name", manifest.name);
  read.text("reason", manifest.reason);
  read.text("kind", manifest.kind);
  read.text("previous", manifest.previous_id);
  read.number("inodes", manifest.totals.inode_count);
  read.number("logical_bytes", manifest.totals.logical_bytes);
  read.number("changed_bytes", manifest.changed_bytes);
  read.number("stored_bytes", manifest.stored_bytes);
  read.number("journal_seq", manifest.journal_seq);
  if (!read.wrong().empty()) return corrupt("no valid \"" + read.wrong() + "\"");
  json.erase("id");
  if (manifest.id != hash_of(json)) return corrupt("its id does not match");
  if (manifest.sequence == 0) return corrupt("sequence 0");
  if (!from_hex(root, manifest.root.bytes.data(), BlockId::kSize)) return corrupt("no valid root");
  return manifest;
}

}  // namespace amberfs
