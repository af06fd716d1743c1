// SPDX-License-Identifier: Apache-2.0
#include "fs/config.h"

#include "blockstore/base/hash.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <set>

namespace amberfs {
namespace {

// Of stores whose config.toml does not say.
constexpr std::int64_t kParityPercent = 3;
constexpr std::uint64_t kCheckAgeS = 30 * 86400;

constexpr std::string_view kTemplate =
    R"(# amberfs store. Read when the store is opened: unmount before you edit it.
# Sizes: 64KiB, 1MiB, 2GiB.  Durations: 30s, 10m, 2h, 1d.

[store]
format = {format}                # of the store on disk; never edit
id = "{id}"
{encryption}
[chunking]                 # how file data is cut; changed, new data matches old data less often
average = "1MiB"           # a power of two
min = "256KiB"
max = "4MiB"

[codec]
zstd_level = 3             # -7 (fast) to 19 (small); 0 stores uncompressed

[packs]
size = "256MiB"            # a pack is sealed when it has grown to this

[cache]
blocks = "64MiB"           # memory for decoded blocks

[journal]
segment = "64MiB"          # size of one journal file
sync_every = "1s"          # everything is durable after this long even without fsync
zstd_level = 1             # of writes of 64 KiB and more; 0: they are journaled as they are

[commit]
every = "30s"              # the journal is folded into the block store this often
journal = "256MiB"         # and whenever it has grown by this much

[memory]
budget = "512MiB"          # at most half of it for the cache, an eighth for changes not committed,
                           # an eighth (at least 64 MiB) for compressing in gc

[disk]
# reserve = "64MiB"        # kept for commits, removing and unmounting when the disk is full; when
                           # this is not set, a twelfth of the disk, from 4 to 128 MiB

[capture]
exact = []                 # globs of files whose every write(2) is journaled on its own, with the
                           # uid, gid, pid and command of the writer: ["audit/**", "secure*"]

[access]
group = ""                 # whose members may read all of it by commands (list, diff, cat …): a
                           # name or number, as "adm"; "" for root and who mounted it alone
snapshots = "all"          # who may look into .snapshots, where files have the modes they had then:
                           # "all", "root" (and who mounted it), or "none"

[audit]
watch = ["**"]             # globs of files that only grow: what is taken from them is recorded and
                           # kept; [] for none
# ignore = []              # globs of files that are rewritten; when this is not set, the usual:
                           # *.journal *.db *.sqlite* *-wal *.lock *.pid *.swp *.tmp lastlog utmp …
keep = "30d"               # what was taken away is dropped after this,
keep_percent = 10          # or, the oldest first, when it is more than this share of the disk

[schedule]
every = "10m"              # automatic snapshots, skipped when nothing changed; "off" for none

[gc]
every = "1d"               # packs smaller what stays, gives back what nothing names; or "off"
zstd_level = 22            # 1 (fast) to 22 (small), in threads that run when nothing else does

[parity]
percent = 3                # kept beside each full pack, to make again what rots in it; 0 for none,
                           # 25 at most

[scrub]
every = "7d"               # everything stored is looked at, and healed from parity; or "off"
rate = "20MiB"             # so much a second at most; "0" for no limit
age = "30d"                # a block not looked at for so long is read before new data relies on it;
                           # or "off"
)";

constexpr std::string_view kCipherName = "xaes-256-gcm";

// As it would be written in the file.
std::string size_text(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 4> kUnits = {"B", "KiB", "MiB", "GiB"};
  std::size_t unit = 0;
  for (; bytes >= kKiB && bytes % kKiB == 0 && unit + 1 < kUnits.size(); ++unit) bytes /= kKiB;
  return fmt::format("{}{}", bytes, kUnits[unit]);
}

std::string seconds_text(std::uint64_t seconds) {
  return fmt::format("{}s", seconds);
}

std::unexpected<Error> bad(const std::string& path, std::string_view key, std::string_view why) {
  return fail(Errc::kBadConfig, 0, fmt::format("read setting {}: {}", key, why), path);
}

// One typed look-up a setting; the first wrong one is remembered, so parse_config reads as a list.
class Reader {
 public:
  Reader(const toml::table& root, const std::string& path) : root_(root), path_(path) {}

  void size(std::string_view key, std::uint64_t& target, std::uint64_t min, std::uint64_t max) {
    number(key, target, {min, max, size_text}, parse_size, "a size like \"64MiB\"");
  }
  void duration_ms(std::string_view key, std::uint64_t& target, std::uint64_t min) {
    std::uint64_t seconds = target / 1000;
    number(key, seconds, {min, 366 * 86400, seconds_text}, parse_duration_s,
           "a duration like \"10m\" or \"off\"");
    target = seconds * 1000;
  }
  void duration_s(std::string_view key, std::uint64_t& target, std::uint64_t min) {
    number(key, target, {min, 366 * 86400, seconds_text}, parse_duration_s,
           "a duration like \"10m\" or \"off\"");
  }
  void integer(std::string_view key, std::int64_t& target, std::int64_t min, std::int64_t max) {
    auto node = find(key);
    if (!node) return;
    const auto value = node.is_integer() ? node.value<std::int64_t>() : std::nullopt;
    if (!value || *value < min || *value > max) {
      note(key, fmt::format("a whole number from {} to {} is expected", min, max));
      return;
    }
    target = *value;
  }
  void text(std::string_view key, std::string& target) {
    auto node = find(key);
    if (!node) return;
    auto value = node.value<std::string>();
    if (!value) {
      note(key, "a text is expected");
      return;
    }
    target = *value;
  }
  void texts(std::string_view key, std::vector<std::string>& target) {
    auto node = find(key);
    if (!node) return;
    const toml::array* array = node.as_array();
    if (array == nullptr) {
      note(key, "a list of texts is expected");
      return;
    }
    target.clear();
    for (const auto& element : *array) {
      auto value = element.value<std::string>();
      if (!value) {
        note(key, "a list of texts is expected");
        return;
      }
      target.push_back(*value);
    }
  }
  // Settings that nobody asked for are typing errors.
  void refuse_unknown() {
    for (const auto& [section, node] : root_) {
      const toml::table* table = node.as_table();
      if (table == nullptr) {
        note(section.str(), "it stands outside of every [section]");
        continue;
      }
      for (const auto& [key, value] : *table) {
        auto full = fmt::format("{}.{}", section.str(), key.str());
        if (!known_.contains(full)) note(full, "there is no such setting");
      }
    }
  }
  [[nodiscard]] Status result() const {
    if (!wrong_.empty()) return bad(path_, wrong_, why_);
    return ok();
  }

 private:
  struct Range {
    std::uint64_t min;
    std::uint64_t max;
    std::string (*text)(std::uint64_t);
  };
  toml::node_view<const toml::node> find(std::string_view key) {
    known_.emplace(key);
    return root_.at_path(key);
  }
  void note(std::string_view key, std::string why) {
    if (!wrong_.empty()) return;
    wrong_ = key;
    why_ = std::move(why);
  }
  void number(std::string_view key, std::uint64_t& target, Range range,
              std::optional<std::uint64_t> (*parse)(std::string_view), std::string_view expected) {
    auto node = find(key);
    if (!node) return;
    auto written = node.value<std::string>();
    auto value = written ? parse(*written) : std::nullopt;
    if (!value) return note(key, fmt::format("{} is expected", expected));
    if (*value < range.min || *value > range.max) {
      return note(key, fmt::format("it may be from {} to {}", range.text(range.min),
                                   range.text(range.max)));
    }
    target = *value;
  }

  const toml::table& root_;
  const std::string& path_;
  std::set<std::string> known_;
  std::string wrong_;
  std::string why_;
};

Result<toml::table> parse_toml(std::string_view text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    return fail(Errc::kBadConfig, 0,
                fmt::format("read line {}: {}", e.source().begin.line, e.description()), path);
  }
}

std::optional<std::uint64_t> parse_unit(
    std::string_view text, std::span<const std::pair<std::string_view, std::uint64_t>> units) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, factor] : units) {
    if (unit == name && number <= UINT64_MAX / factor) return number * factor;
  }
  return std::nullopt;
}

// All places of a pattern that the path so far leads to, kept at once: trying one way after the
// other takes for ever with patterns as "*a*a*a*b", which anybody may send who may read.
class GlobPlaces {
 public:
  explicit GlobPlaces(std::string_view pattern) {
    for (; !pattern.empty(); pattern.remove_prefix(1)) {
      if (pattern.starts_with("**")) {
        if (pattern.starts_with("**/")) parts_.push_back({Part::kMaySkipTwo, '\0'});
        parts_.push_back({Part::kStars, '\0'});
        pattern.remove_prefix(1);
      } else {
        const char c = pattern.front();
        parts_.push_back({c == '*' ? Part::kStar : c == '?' ? Part::kOne : Part::kLetter, c});
      }
    }
    here_.assign(parts_.size() + 1, false);
    next_ = here_;
    here_.front() = true;
    pass_what_may_be_nothing();
  }
  // After one more character of the path.
  void take(char c) {
    next_.assign(next_.size(), false);
    for (std::size_t at = 0; at < parts_.size(); ++at) {
      if (!here_[at]) continue;
      const Part& part = parts_[at];
      if (part.kind == Part::kStars || (part.kind == Part::kStar && c != '/')) next_[at] = true;
      if (part.kind == Part::kOne && c != '/') next_[at + 1] = true;
      if (part.kind == Part::kLetter && c == part.letter) next_[at + 1] = true;
    }
    std::swap(here_, next_);
    pass_what_may_be_nothing();
  }
  [[nodiscard]] bool at_end() const { return here_.back(); }

 private:
  struct Part {
    // kMaySkipTwo: stands before the stars and the slash of "**/", which may be no directory at
    // all.
    enum Kind : std::uint8_t { kLetter, kOne, kStar, kStars, kMaySkipTwo } kind;
    char letter;
  };
  void pass_what_may_be_nothing() {
    for (std::size_t at = 0; at < parts_.size(); ++at) {
      if (!here_[at] || parts_[at].kind < Part::kStar) continue;
      here_[at + 1] = true;
      if (parts_[at].kind == Part::kMaySkipTwo) here_[at + 3] = true;
    }
  }

  std::vector<Part> parts_;
  std::vector<bool> here_;
  std::vector<bool> next_;
};

bool matches_from(std::string_view pattern, std::string_view path) {
  GlobPlaces places(pattern);
  for (const char c : path) places.take(c);
  return places.at_end();
}

}  // namespace

std::string default_config_text(const std::string& store_id, bool encrypted) {
  const std::string encryption =
      encrypted ? fmt::format("encryption = \"{}\"   # its keys are in keys.json; never edit\n",
                              kCipherName)
                : "";
  return fmt::format(kTemplate, fmt::arg("format", Config::kFormatVersion),
                     fmt::arg("id", store_id), fmt::arg("encryption", encryption));
}

Result<Config> parse_config(std::string_view toml, const std::string& path) {
  TRY_ASSIGN(toml::table table, parse_toml(toml, path));
  Config config;
  Reader read(table, path);

  std::int64_t format = 0;
  read.integer("store.format", format, 1, INT32_MAX);
  if (format > Config::kFormatVersion) {
    return fail(Errc::kNewerFormat, 0,
                fmt::format("open a store of format {}, while this amberfs knows up to {}", format,
                            Config::kFormatVersion),
                path);
  }
  read.text("store.id", config.store_id);
  std::string encryption;
  read.text("store.encryption", encryption);
  config.encrypted = !encryption.empty();

  std::uint64_t average = config.chunker.size_average;
  std::uint64_t min = config.chunker.size_min;
  std::uint64_t max = config.chunker.size_max;
  read.size("chunking.average", average, 4 * kKiB, 4 * kMiB);
  read.size("chunking.min", min, 1 * kKiB, 4 * kMiB);
  read.size("chunking.max", max, 8 * kKiB, Blocks::kBlockSizeMax);
  config.chunker = {static_cast<std::uint32_t>(min), static_cast<std::uint32_t>(average),
                    static_cast<std::uint32_t>(max)};

  const auto read_level = [&read](std::string_view key, int& target, int lowest, int highest) {
    std::int64_t level = target;
    read.integer(key, level, lowest, highest);
    target = static_cast<int>(level);
  };
  read_level("codec.zstd_level", config.blocks.zstd_level, -7, 19);
  read_level("journal.zstd_level", config.journal.packing.zstd_level, -7, 19);
  read_level("gc.zstd_level", config.gc_zstd_level, 1, 22);
  read.size("packs.size", config.blocks.pack_size_bytes, 1 * kMiB, 4 * kGiB);
  read.size("cache.blocks", config.blocks.cache_size_bytes, 1 * kMiB, 1024 * kGiB);
  read.size("journal.segment", config.journal.segment_size_bytes, 32 * kMiB, 1 * kGiB);
  read.duration_ms("journal.sync_every", config.journal_sync_ms, 1);
  read.size("commit.journal", config.commit_journal_bytes, 1 * kMiB, 1024 * kGiB);
  read.duration_s("commit.every", config.commit_every_s, 0);
  read.size("memory.budget", config.memory_bytes, 64 * kMiB, 1024 * kGiB);
  config.blocks.cache_size_bytes =
      std::min(config.blocks.cache_size_bytes, config.memory_bytes / 2);
  read.size("disk.reserve", config.reserve_bytes, 1 * kMiB, 1024 * kGiB);
  read.texts("capture.exact", config.exact_globs);
  read.duration_s("schedule.every", config.snapshot_every_s, 0);
  read.duration_s("gc.every", config.gc_every_s, 0);
  read.text("access.group", config.access_group);
  std::string snapshots_for = "all";
  read.text("access.snapshots", snapshots_for);
  std::int64_t parity_percent = kParityPercent;
  read.integer("parity.percent", parity_percent, 0, kParityPercentMax);
  config.blocks.parity_percent = static_cast<unsigned>(parity_percent);
  read.duration_s("scrub.every", config.scrub_every_s, 0);
  read.size("scrub.rate", config.scrub_rate, 0, 1024 * kGiB);
  config.blocks.check_age_s = kCheckAgeS;
  read.duration_s("scrub.age", config.blocks.check_age_s, 0);
  read.texts("audit.watch", config.audit.watch);
  read.texts("audit.ignore", config.audit.ignore);
  read.duration_s("audit.keep", config.audit.keep_s, 1);
  std::int64_t percent = static_cast<std::int64_t>(config.audit.keep_percent);
  read.integer("audit.keep_percent", percent, 0, 90);
  config.audit.keep_percent = static_cast<std::uint64_t>(percent);
  read.refuse_unknown();
  TRY(read.result());
  if (format == 0) return bad(path, "store.format", "it is missing");
  if (config.encrypted && encryption != kCipherName) {
    return bad(path, "store.encryption", fmt::format("only {} is known", kCipherName));
  }
  if (!std::has_single_bit(average) || min > average || average > max) {
    return bad(path, "chunking.average", "a power of two between min and max is expected");
  }
  const auto for_whom = parse_snapshots_for(snapshots_for);
  if (!for_whom) return bad(path, "access.snapshots", "\"all\", \"root\" or \"none\" is expected");
  config.snapshots_for = *for_whom;
  return config;
}

Result<Config> read_config(Io& io, const std::string& store) {
  const std::string path = store + "/config.toml";
  TRY_ASSIGN(bool there, io.exists(path));
  if (!there) return fail(Errc::kNotAStore, 0, "open a store: there is no config.toml", store);
  TRY_ASSIGN(Bytes text, io.read_file(path, 1 * kMiB));
  TRY_ASSIGN(Config config, parse_config(text, path));
  const Sha256 hash = sha256(text);
  config.text_hash = to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()});
  return config;
}

// A thirty-second part for a segment, of which two or three exist; what is in the journal must fit
// into packs before the journal comes free, so a commit is made when it has a sixteenth.
void fit_to_disk(Config& config, std::uint64_t disk_total_bytes) {
  constexpr std::uint64_t kSegmentMin = 2 * kMiB;
  constexpr std::uint64_t kSmallDisk = 4 * kGiB;
  const std::uint64_t part = disk_total_bytes / 32 / kMiB * kMiB;
  const std::uint64_t segment = std::max(part, kSegmentMin);
  config.journal.segment_size_bytes = std::min(config.journal.segment_size_bytes, segment);
  config.commit_journal_bytes = std::min(config.commit_journal_bytes, 2 * segment);
  if (disk_total_bytes < kSmallDisk) config.journal.spare_segments_max = 1;
}

std::uint64_t overlay_max_bytes(const Config& config) {
  return config.memory_bytes / 8;
}

std::optional<SnapshotsFor> parse_snapshots_for(std::string_view text) {
  if (text == "all") return SnapshotsFor::kAll;
  if (text == "root") return SnapshotsFor::kRoot;
  if (text == "none") return SnapshotsFor::kNone;
  return std::nullopt;
}

bool matches_glob(std::string_view pattern, std::string_view path) {
  if (pattern.starts_with('/')) {
    pattern.remove_prefix(1);
  } else if (pattern.find('/') == std::string_view::npos) {
    const auto slash = path.find_last_of('/');
    if (slash != std::string_view::npos && pattern != "**") path.remove_prefix(slash + 1);
  }
  return matches_from(pattern, path);
}

bool matches_any(const std::vector<std::string>& globs, std::string_view path) {
  for (const auto& glob : globs) {
    if (matches_glob(glob, path)) return true;
  }
  return false;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 8> kUnits{{{"", 1},
                                                                                     {"B", 1},
                                                                                     {"KiB", kKiB},
                                                                                     {"MiB", kMiB},
                                                                                     {"GiB", kGiB},
                                                                                     {"K", kKiB},
                                                                                     {"M", kMiB},
                                                                                     {"G", kGiB}}};
  return parse_unit(text, kUnits);
}

std::optional<std::uint64_t> parse_duration_s(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 5> kUnits{
      {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}}};
  if (text == "off") return 0;
  return parse_unit(text, kUnits);
}

}  // namespace amberfs
