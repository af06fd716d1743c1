// SPDX-License-Identifier: Apache-2.0
#include "snapshot/notes.h"

#include "snapshot/json_document.h"
#include "snapshot/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ranges>

namespace amberfs {
namespace {

constexpr DocumentKind kDocument{
    .name = "note", .format_max = 1, .tried = "read a note of the chain"};
constexpr std::uint64_t kNoteSizeMax = 32 * kMiB;
constexpr std::size_t kSequenceDigits = 12;
constexpr std::size_t kIdDigits = 16;
constexpr std::string_view kSuffix = ".json";
// Before the nonce of a note of an encrypted store; associated with what is sealed.
constexpr std::size_t kMagicSize = 8;
constexpr ByteView kSealedMagic{"AMBNOTE1", kMagicSize};

Json to_json(const Note::Named& snapshot) {
  Json json{{"sequence", snapshot.sequence}, {"time_ns", snapshot.time_ns}, {"id", snapshot.id}};
  if (snapshot.link) json["link"] = to_hex(encode_link(*snapshot.link));
  return json;
}

Result<Note::Named> decode_named(const Json& json) {
  if (!json.is_object()) return kDocument.corrupt("no valid \"snapshots\"");
  Note::Named named;
  JsonMembers read(json);
  read.number("sequence", named.sequence);
  read.number("time_ns", named.time_ns);
  read.text("id", named.id);
  if (!read.wrong().empty()) return kDocument.corrupt("no valid \"snapshots\"");
  if (!json.contains("link")) return named;
  std::array<std::uint8_t, kLinkSize> bytes{};
  read.hex("link", bytes.data(), bytes.size());
  if (!read.wrong().empty()) return kDocument.corrupt("no valid \"link\" of a snapshot");
  TRY_ASSIGN(named.link, decode_link({reinterpret_cast<const char*>(bytes.data()), kLinkSize}));
  return named;
}

std::string file_name(const Note& note) {
  return fmt::format("{:012}-{}{}", note.sequence, note.id.substr(0, kIdDigits), kSuffix);
}

// The sequence in a note's file name; nothing for files of other names.
std::optional<std::uint64_t> parse_file_name(std::string_view name) {
  if (name.size() != kSequenceDigits + 1 + kIdDigits + kSuffix.size() || !name.ends_with(kSuffix) ||
      name[kSequenceDigits] != '-') {
    return std::nullopt;
  }
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kSequenceDigits, sequence);
  if (error != std::errc() || end != name.data() + kSequenceDigits) return std::nullopt;
  return sequence;
}

}  // namespace

std::string encode_note(Note& note) {
  Json snapshots = Json::array();
  for (const Note::Named& snapshot : note.snapshots) snapshots.push_back(to_json(snapshot));
  Json json{{"amberfs", kDocument.name},
            {"format", 1},
            {"kind", to_text(note.kind)},
            {"sequence", note.sequence},
            {"time", format_time(note.time_ns)},
            {"time_ns", note.time_ns},
            {"reason", note.reason},
            {"snapshots", std::move(snapshots)}};
  note.id = json_hash_text(json);
  json["id"] = note.id;
  return finish_document(std::move(json), note.link);
}

Result<Note> decode_note(ByteView text) {
  TRY_ASSIGN(Json json, parse_document(text, kDocument));
  Note note;
  std::string kind;
  JsonMembers read(json);
  read.text("id", note.id);
  read.text("kind", kind);
  read.number("sequence", note.sequence);
  read.number("time_ns", note.time_ns);
  read.text("reason", note.reason);
  if (!read.wrong().empty()) return kDocument.corrupt("no valid \"" + read.wrong() + "\"");
  if (kind == to_text(LinkKind::kBegin)) {
    note.kind = LinkKind::kBegin;
  } else if (kind != to_text(LinkKind::kTombstone)) {
    return kDocument.corrupt("no such kind");
  }
  const auto snapshots = json.find("snapshots");
  if (snapshots == json.end() || !snapshots->is_array()) {
    return kDocument.corrupt("no valid \"snapshots\"");
  }
  for (const Json& element : *snapshots) {
    TRY_ASSIGN(Note::Named named, decode_named(element));
    note.snapshots.push_back(std::move(named));
  }
  json.erase("id");
  TRY_ASSIGN(note.link, take_link(json, kDocument, link_subject(note)));
  if (note.id != json_hash_text(json)) return kDocument.corrupt("its id does not match");
  if (note.sequence == 0) return kDocument.corrupt("sequence 0");
  return note;
}

LinkSubject link_subject(const Note& note) {
  LinkSubject subject{
      .kind = note.kind, .sequence = note.sequence, .time_ns = note.time_ns, .id = {}};
  (void)from_hex(note.id, subject.id.data(), subject.id.size());  // as in a manifest
  return subject;
}

Result<std::unique_ptr<Notes>> Notes::open(Io& io, const std::string& directory,
                                           std::shared_ptr<const StoreCipher> cipher) {
  std::unique_ptr<Notes> notes(new Notes(io, directory, std::move(cipher)));
  TRY_ASSIGN(const bool there, io.exists(directory));
  if (!there) return notes;
  TRY_ASSIGN(const auto files, io.list(directory));
  MutexLock lock(notes->mu_);
  for (const DirEntry& file : files) {
    const auto sequence = parse_file_name(file.name);
    if (sequence) notes->files_.try_emplace(*sequence, directory + "/" + file.name);
  }
  return notes;
}

Result<Note> Notes::load(std::uint64_t sequence, const std::string& path) {
  TRY_ASSIGN(Bytes text, io_.read_file(path, kNoteSizeMax));
  if (cipher_ != nullptr) {
    auto opened = text.starts_with(kSealedMagic)
                      ? cipher_->manifests().open(kSealedMagic, ByteView(text).substr(kMagicSize))
                      : Result<Bytes>(kDocument.corrupt("it is not sealed"));
    if (!opened) {
      opened.error().object = path;
      return fail(std::move(opened).error());
    }
    text = *std::move(opened);
  }
  auto note = decode_note(text);
  if (!note) {
    note.error().object = path;
    return note;
  }
  if (note->sequence != sequence || !path.ends_with("/" + file_name(*note))) {
    return fail(Errc::kCorrupt, 0, "read a note of the chain: it is not the one its name says",
                path);
  }
  return note;
}

Status Notes::add(Note& note, const LinkMaker& make_link) {
  MutexLock lock(mu_);
  if (files_.contains(note.sequence)) {
    return fail(Errc::kBadRequest, 0, "add a note: its sequence is taken", directory_);
  }
  // What could not be read back must not be promised; invalid UTF-8 is made valid by it, too.
  TRY_ASSIGN(note, decode_note(encode_note(note)));
  if (make_link) {
    TRY_ASSIGN(note.link, make_link(link_subject(note)));
  }
  std::string text = encode_note(note);
  if (cipher_ != nullptr) {
    text = Bytes(kSealedMagic) + cipher_->manifests().seal(kSealedMagic, text);
  }
  if (text.size() > kNoteSizeMax) return fail(Errc::kBadRequest, 0, "add a note: it is too large");
  TRY(io_.make_directory(directory_));
  TRY(io_.sync_directory(directory_ + "/.."));
  const std::string path = directory_ + "/" + file_name(note);
  unsettled_ = {note.sequence, path};
  TRY(io_.replace_file(path, text));
  unsettled_.reset();
  files_.emplace(note.sequence, path);
  return ok();
}

Result<bool> Notes::settle() {
  MutexLock lock(mu_);
  if (!unsettled_) return false;
  TRY(io_.sync_directory(directory_));
  TRY_ASSIGN(const bool there, io_.exists(unsettled_->second));
  if (there) files_.insert(*unsettled_);
  unsettled_.reset();
  return there;
}

Result<Notes::Inspection> Notes::inspect() {
  MutexLock lock(mu_);
  Inspection inspection;
  for (const auto& [sequence, path] : files_) {
    auto note = load(sequence, path);
    if (note) {
      inspection.good.push_back(*std::move(note));
    } else {
      inspection.damaged.emplace_back(path, std::move(note).error());
    }
  }
  return inspection;
}

Result<std::optional<Note>> Notes::newest() {
  MutexLock lock(mu_);
  if (files_.empty()) return std::nullopt;
  const auto& [sequence, path] = *files_.rbegin();
  TRY_ASSIGN(Note note, load(sequence, path));
  return std::optional<Note>(std::move(note));
}

std::vector<Link> Notes::links_above(std::uint64_t number) {
  MutexLock lock(mu_);
  std::vector<Link> links;
  for (const auto& [sequence, path] : files_ | std::views::reverse) {
    const auto note = load(sequence, path);
    if (!note || !note->link) continue;
    if (note->link->number <= number) break;
    links.push_back(*note->link);
    for (const Note::Named& named : note->snapshots) {
      if (named.link && named.link->number > number) links.push_back(*named.link);
    }
  }
  return links;
}

std::uint64_t Notes::newest_sequence() {
  MutexLock lock(mu_);
  return files_.empty() ? 0 : files_.rbegin()->first;
}

}  // namespace amberfs
