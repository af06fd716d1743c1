// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog.h"

#include "blockstore/base/clock.h"
#include "snapshot/document_seal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ranges>

namespace amberfs {
namespace {

constexpr std::size_t kSequenceDigits = 12;
constexpr std::size_t kTimeSize = 20;  // 20261120T103305.123Z
constexpr std::size_t kIdDigits = 16;
constexpr std::string_view kSuffix = ".json";
constexpr std::uint64_t kManifestSizeMax = 1 * kMiB;
constexpr std::size_t kIdPrefixMin = 4;
constexpr std::size_t kNameSizeMaximum = 128;
constexpr std::int64_t kNsPerMillisecond = 1'000'000;

// Rounded down, as format_time() does.
std::int64_t to_ms(std::int64_t time_ns) {
  return time_ns / kNsPerMillisecond - (time_ns % kNsPerMillisecond < 0 ? 1 : 0);
}

// 20261120T103305.123Z: format_time() without - and :, which look odd in file names.
std::string compact_time(std::int64_t time_ns) {
  std::string text = format_time(time_ns);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

std::optional<std::int64_t> parse_compact_time(std::string_view text) {
  if (text.size() != kTimeSize) return std::nullopt;
  const auto part = [&](std::size_t at, std::size_t size) { return text.substr(at, size); };
  return parse_time(fmt::format("{}-{}-{}T{}:{}:{}", part(0, 4), part(4, 2), part(6, 2), part(9, 2),
                                part(11, 2), part(13, 7)),
                    0);
}

std::string file_name(const Manifest& manifest) {
  return fmt::format("{:012}-{}-{}{}", manifest.sequence, compact_time(manifest.time_ns),
                     manifest.id.substr(0, kIdDigits), kSuffix);
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> no_such(std::string_view snap) {
  return fail(Errc::kNoSuchSnapshot, 0, "find a snapshot", std::string(snap));
}

}  // namespace

struct Catalog::Entry {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;
  std::string id_prefix;  // kIdDigits
  std::string path;
  std::optional<Manifest> manifest;  // once read; guarded by the catalog's mutex
};

Catalog::Catalog(Io& io, std::string directory, std::shared_ptr<const StoreCipher> cipher)
    : io_(io), directory_(std::move(directory)), cipher_(std::move(cipher)) {}
Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::open(Io& io, const std::string& directory,
                                               std::shared_ptr<const StoreCipher> cipher) {
  std::unique_ptr<Catalog> catalog(new Catalog(io, directory, std::move(cipher)));
  TRY_ASSIGN(auto files, io.list(directory));
  MutexLock lock(catalog->mu_);
  for (const DirEntry& file : files) {
    // Anything else is not ours, or was being written when the power went: replace_file() leaves
    // NAME.new behind.
    auto entry = parse_file_name(file.name);
    if (!entry || file.is_directory) continue;
    entry->path = directory + "/" + file.name;
    const auto [it, is_new] = catalog->entries_.try_emplace(entry->sequence, entry);
    if (!is_new) catalog->doubles_.push_back(entry->path);
  }
  return catalog;
}

std::shared_ptr<Catalog::Entry> Catalog::parse_file_name(std::string_view name) {
  constexpr std::size_t kTimeAt = kSequenceDigits + 1;
  constexpr std::size_t kIdAt = kTimeAt + kTimeSize + 1;
  if (name.size() != kIdAt + kIdDigits + kSuffix.size() || !name.ends_with(kSuffix)) return nullptr;
  const auto sequence = parse_number(name.substr(0, kSequenceDigits));
  const auto time = parse_compact_time(name.substr(kTimeAt, kTimeSize));
  const auto id = name.substr(kIdAt, kIdDigits);
  if (!sequence || !time || !is_hex(id)) return nullptr;
  auto entry = std::make_shared<Entry>();
  entry->sequence = *sequence;
  entry->time_ms = to_ms(*time);
  entry->id_prefix = id;
  return entry;
}

Result<std::string> Catalog::to_disk(std::string text) const {
  if (!cipher_) return text;
  return seal_document(cipher_->manifests(), text);
}

Result<Manifest> Catalog::from_disk(std::string text) const {
  if (cipher_) {
    TRY_ASSIGN(text, open_document(cipher_->manifests(), text));
  }
  return decode_manifest(text);
}

Status Catalog::load(Entry& entry) {
  if (entry.manifest) return ok();
  TRY_ASSIGN(Bytes text, io_.read_file(entry.path, kManifestSizeMax));
  auto manifest = from_disk(std::move(text));
  if (!manifest) {
    Error error = std::move(manifest).error();
    error.object = entry.path;
    return fail(std::move(error));
  }
  if (manifest->sequence != entry.sequence || to_ms(manifest->time_ns) != entry.time_ms ||
      !manifest->id.starts_with(entry.id_prefix)) {
    return fail(Errc::kCorrupt, 0, "read a snapshot's manifest: it is not the one its name says",
                entry.path);
  }
  entry.manifest = *std::move(manifest);
  return ok();
}

Result<Manifest> Catalog::loaded(const std::shared_ptr<Entry>& entry) {
  TRY(load(*entry));
  return *entry->manifest;
}

Status Catalog::check_name(std::string_view name) {
  const bool characters_ok = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  const bool looks_like_something_else =
      name.starts_with("latest") || name.starts_with(".") || name == "live" || name == "now" ||
      (name.size() >= kIdPrefixMin && is_hex(name)) || parse_time(name, 0).has_value();
  if (name.empty() || name.size() > kNameSizeMaximum || !characters_ok ||
      looks_like_something_else) {
    return fail(Errc::kBadSnapshotName, 0, "name a snapshot", std::string(name));
  }
  return ok();
}

// A damaged manifest is passed over: nothing can be found by its name any more. A disk error or a
// lack of memory is not, as it may hide the name for now only.
Result<std::shared_ptr<Catalog::Entry>> Catalog::find_by_name(std::string_view name,
                                                              Error* damaged) {
  for (const auto& [sequence, entry] : entries_) {
    if (Status status = load(*entry); !status) {
      const Errc code = status.error().code;
      if (code != Errc::kCorrupt && code != Errc::kNewerFormat) return fail(status.error());
      *damaged = std::move(status).error();
    } else if (entry->manifest->name == name) {
      return entry;
    }
  }
  return std::shared_ptr<Entry>();
}

Status Catalog::check_free(const Manifest& manifest) {
  if (entries_.contains(manifest.sequence)) {
    return fail(Errc::kBadRequest, 0, "add a snapshot: its sequence is taken",
                "#" + std::to_string(manifest.sequence));
  }
  if (manifest.name.empty()) return ok();
  Error ignored;
  TRY_ASSIGN(const auto named, find_by_name(manifest.name, &ignored));
  if (named) return fail(Errc::kSnapshotNameTaken, 0, "name a snapshot", manifest.name);
  return ok();
}

Status Catalog::check_writable(const Manifest& manifest) {
  const auto name = file_name(manifest);
  const auto back = parse_file_name(name);
  if (back && back->sequence == manifest.sequence && back->time_ms == to_ms(manifest.time_ns)) {
    return ok();
  }
  return fail(Errc::kBadRequest, 0, "add a snapshot: its file name could not be read back", name);
}

Status Catalog::add(Manifest& manifest, const LinkMaker& make_link) {
  if (!manifest.name.empty()) TRY(check_name(manifest.name));
  MutexLock lock(mu_);
  TRY(check_free(manifest));
  TRY_ASSIGN(const std::string draft, to_disk(encode_manifest(manifest)));
  // What could not be read back must not be promised.
  auto back = from_disk(draft);
  if (!back) return fail(Errc::kBadRequest, 0, "add a snapshot: " + back.error().tried);
  manifest = *std::move(back);
  TRY(check_writable(manifest));
  constexpr std::uint64_t kRoomForLink = 4 * kKiB;
  if (draft.size() > kManifestSizeMax - kRoomForLink) {
    return fail(Errc::kBadRequest, 0, "add a snapshot: its reason is too long");
  }
  if (make_link) {
    TRY_ASSIGN(manifest.link, make_link(link_subject(manifest)));
  }
  TRY_ASSIGN(const std::string text, to_disk(encode_manifest(manifest)));
  auto entry = std::make_shared<Entry>();
  entry->sequence = manifest.sequence;
  entry->time_ms = to_ms(manifest.time_ns);
  entry->id_prefix = manifest.id.substr(0, kIdDigits);
  entry->path = directory_ + "/" + file_name(manifest);
  entry->manifest = manifest;
  unsettled_ = entry;
  TRY(io_.replace_file(entry->path, text));
  unsettled_.reset();
  entries_[entry->sequence] = std::move(entry);
  return ok();
}

Result<bool> Catalog::settle() {
  MutexLock lock(mu_);
  if (!unsettled_) return false;
  TRY(io_.sync_directory(directory_));
  TRY_ASSIGN(const bool there, io_.exists(unsettled_->path));
  if (there) entries_[unsettled_->sequence] = unsettled_;
  unsettled_.reset();
  return there;
}

Status Catalog::remove(std::uint64_t sequence) {
  MutexLock lock(mu_);
  const auto it = entries_.find(sequence);
  if (it == entries_.end()) return ok();
  // Unlinked by an attempt before, of which only the directory's sync failed: goes on there.
  TRY_ASSIGN(const bool there, io_.exists(it->second->path));
  if (there) TRY(io_.unlink(it->second->path));
  TRY(io_.sync_directory(directory_));
  entries_.erase(it);
  return ok();
}

bool Catalog::contains(std::uint64_t sequence) {
  MutexLock lock(mu_);
  return entries_.contains(sequence);
}

std::vector<Link> Catalog::links_above(std::uint64_t number) {
  MutexLock lock(mu_);
  std::vector<Link> links;
  for (const auto& [sequence, entry] : entries_ | std::views::reverse) {
    if (!load(*entry)) continue;
    // Without a link it was taken when the chain could not go on: none before it is missing.
    if (!entry->manifest->link || entry->manifest->link->number <= number) break;
    links.push_back(*entry->manifest->link);
  }
  return links;
}

Result<std::vector<Manifest>> Catalog::list() {
  MutexLock lock(mu_);
  std::vector<Manifest> manifests;
  for (const auto& [sequence, entry] : entries_) {
    TRY_ASSIGN(Manifest manifest, loaded(entry));
    manifests.push_back(std::move(manifest));
  }
  return manifests;
}

Result<Catalog::Inspection> Catalog::inspect() {
  MutexLock lock(mu_);
  Inspection inspection;
  for (const auto& [sequence, entry] : entries_) {
    entry->manifest.reset();  // what is on disk, not what was read long ago
    auto manifest = loaded(entry);
    if (manifest) {
      inspection.good.push_back(*std::move(manifest));
    } else {
      inspection.damaged.emplace_back(entry->path, std::move(manifest).error());
    }
  }
  for (const std::string& path : doubles_) {
    inspection.damaged.emplace_back(
        path,
        Error{Errc::kCorrupt, 0, "read a snapshot's manifest: another has its sequence", path});
  }
  return inspection;
}

Result<Manifest> Catalog::resolve(std::string_view snap) {
  MutexLock lock(mu_);
  if (snap == "latest" || snap.starts_with("latest~")) return resolve_latest(snap);
  Error damaged;
  if (check_name(snap)) {  // else nothing can be called that, and no manifest need be read
    TRY_ASSIGN(const auto named, find_by_name(snap, &damaged));
    if (named) return *named->manifest;
  }
  if (snap.starts_with('#')) {
    const auto sequence = parse_number(snap.substr(1));
    const auto it = sequence ? entries_.find(*sequence) : entries_.end();
    return it == entries_.end() ? Result<Manifest>(no_such(snap)) : loaded(it->second);
  }
  if (snap.size() >= kIdPrefixMin && is_hex(snap)) {
    TRY_ASSIGN(auto found, find_by_id(snap));
    if (found) return loaded(found);
  }
  if (const auto time = parse_time(snap, now_ns())) {
    const auto found = newest_at(*time);
    if (found) return loaded(found);
  }
  if (damaged.object.empty()) return no_such(snap);
  return fail(Errc::kNoSuchSnapshot, 0,
              "find a snapshot (" + damaged.object + " is damaged and may be the one)",
              std::string(snap));
}

Result<Manifest> Catalog::resolve_latest(std::string_view snap) {
  std::optional<std::uint64_t> back = 0;
  if (snap.starts_with("latest~")) back = parse_number(snap.substr(7));
  if (!back || *back >= entries_.size()) return no_such(snap);
  return loaded(std::next(entries_.rbegin(), static_cast<std::ptrdiff_t>(*back))->second);
}

Result<std::shared_ptr<Catalog::Entry>> Catalog::find_by_id(std::string_view prefix) {
  std::shared_ptr<Entry> found;
  for (const auto& [sequence, entry] : entries_) {
    const std::string_view short_prefix = prefix.substr(0, kIdDigits);
    if (!std::string_view(entry->id_prefix).starts_with(short_prefix)) continue;
    if (prefix.size() > kIdDigits) {
      TRY(load(*entry));
      if (!entry->manifest->id.starts_with(prefix)) continue;
    }
    if (found) {
      return fail(Errc::kAmbiguousSnapshot, 0,
                  fmt::format("find a snapshot: {} and {} both begin with", found->id_prefix,
                              entry->id_prefix),
                  std::string(prefix));
    }
    found = entry;
  }
  return found;
}

std::shared_ptr<Catalog::Entry> Catalog::newest_at(std::int64_t time_ns) {
  // In milliseconds, as listings show them, so that the time shown names the snapshot itself.
  const std::int64_t time_ms = to_ms(time_ns);
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (it->second->time_ms <= time_ms) return it->second;
  }
  return nullptr;
}

Result<Manifest> Catalog::by_sequence(std::uint64_t sequence) {
  MutexLock lock(mu_);
  const auto it = entries_.find(sequence);
  if (it == entries_.end()) return no_such("#" + std::to_string(sequence));
  return loaded(it->second);
}

Result<Manifest> Catalog::at(std::int64_t time_ns) {
  MutexLock lock(mu_);
  const auto found = newest_at(time_ns);
  if (!found) return no_such(format_time(time_ns));
  return loaded(found);
}

Result<Manifest> Catalog::by_time_name(std::string_view directory_name) {
  MutexLock lock(mu_);
  const auto time = parse_time(directory_name, 0);
  const auto found = time ? newest_at(*time) : nullptr;
  // Only the one spelling is a name; everything else belongs to at/.
  if (!found || format_time(found->time_ms * kNsPerMillisecond) != directory_name) {
    return no_such(directory_name);
  }
  return loaded(found);
}

std::optional<std::uint64_t> Catalog::newest_sequence() {
  MutexLock lock(mu_);
  if (entries_.empty()) return std::nullopt;
  return entries_.rbegin()->first;
}

std::size_t Catalog::count() {
  MutexLock lock(mu_);
  return entries_.size();
}

}  // namespace amberfs
