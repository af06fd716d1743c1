// SPDX-License-Identifier: Apache-2.0
#include "snapshot/manifest.h"

#include "snapshot/json_document.h"

namespace amberfs {
namespace {

constexpr DocumentKind kDocument{
    .name = "snapshot", .format_max = Manifest::kFormat, .tried = "read a snapshot's manifest"};

constexpr std::string_view kKeyedIds = "keyed";

Json body_of(const Manifest& manifest) {
  Json json{{"amberfs", kDocument.name},
            {"format", manifest.format},
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
  if (manifest.keyed_ids) json["ids"] = kKeyedIds;
  if (!manifest.audit_hash.empty()) {
    json["audit_size"] = manifest.audit_size;
    json["audit_hash"] = manifest.audit_hash;
  }
  return json;
}

}  // namespace

std::string encode_manifest(Manifest& manifest) {
  Json json = body_of(manifest);
  manifest.id = json_hash_text(json);
  json["id"] = manifest.id;
  return finish_document(std::move(json), manifest.link);
}

LinkSubject link_subject(const Manifest& manifest) {
  LinkSubject subject{.kind = LinkKind::kSnapshot,
                      .sequence = manifest.sequence,
                      .time_ns = manifest.time_ns,
                      .id = {}};
  // The id of a manifest is always this many digits: it was made or checked by us.
  (void)from_hex(manifest.id, subject.id.data(), subject.id.size());
  return subject;
}

Result<Manifest> decode_manifest(ByteView text) {
  TRY_ASSIGN(Json json, parse_document(text, kDocument));
  Manifest manifest;
  JsonMembers read(json);
  read.text("id", manifest.id);
  read.number("format", manifest.format);
  read.number("sequence", manifest.sequence);
  read.number("time_ns", manifest.time_ns);
  read.hex("root", manifest.root.bytes.data(), BlockId::kSize);
  read.text("name", manifest.name);
  read.text("reason", manifest.reason);
  read.text("kind", manifest.kind);
  read.text("previous", manifest.previous_id);
  read.number("inodes", manifest.totals.inode_count);
  read.number("logical_bytes", manifest.totals.logical_bytes);
  read.number("changed_bytes", manifest.changed_bytes);
  read.number("stored_bytes", manifest.stored_bytes);
  read.number("journal_seq", manifest.journal_seq);
  if (json.contains("audit_hash")) {
    read.number("audit_size", manifest.audit_size);
    read.text("audit_hash", manifest.audit_hash);
  }
  if (const auto ids = json.find("ids"); ids != json.end() && manifest.format > 1) {
    if (*ids != kKeyedIds) return kDocument.corrupt("no valid \"ids\"");
    manifest.keyed_ids = true;
  }
  if (!read.wrong().empty()) return kDocument.corrupt("no valid \"" + read.wrong() + "\"");
  json.erase("id");
  // In format 1 a member of that name was one of those not known, and part of the id.
  if (manifest.format >= Manifest::kFormatWithLink) {
    TRY_ASSIGN(manifest.link, take_link(json, kDocument, link_subject(manifest)));
  }
  if (manifest.id != json_hash_text(json)) return kDocument.corrupt("its id does not match");
  if (manifest.sequence == 0) return kDocument.corrupt("sequence 0");
  return manifest;
}

}  // namespace amberfs
