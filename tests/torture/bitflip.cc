// SPDX-License-Identifier: Apache-2.0
// The bit-flip campaign: one damage after the other is done to a copy of a small store: single
// bits, ranges of zeros, truncations, in every file of it. What follows is sorted into
//
//   refused      the store is not opened, and the error says why
//   named        verify names the damage
//   repaired     scrub makes the file as it was, from parity; verify finds nothing
//   harmless     every file and snapshot reads as it should, and verify finds nothing
//   WRONG BYTES  a read returned something else than was written, or an older state of the live
//                tree, or an error, and verify does not say so: a bug
//   CRASH        the process died, or hung: a bug
//
// usage: bitflip [--encrypted] [--flips 10000] [--ranges 1000] [--seed N] [--directory /dev/shm]
//                [--only PART-OF-A-FILE-NAME] [--verbose] [--plant]
// --plant: one byte of what is expected is another than was written, so that it must find a bug.
// Each damage is tried in a process of its own. Prints a table in Markdown. Exit status 1: a bug.
#include "blockstore/base/log.h"
#include "tests/torture/damaged_store.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

namespace amberfs::bitflip {
namespace {

namespace fs = std::filesystem;

// How it went; of a damage the worst counts.
enum class Outcome { kRefused, kNamed, kRepaired, kHarmless, kWrongBytes, kCrash, kCount };
constexpr std::array<const char*, 6> kOutcomes = {"refused",  "named",       "repaired",
                                                  "harmless", "WRONG BYTES", "CRASH"};

struct Damage {
  std::string file;  // relative to the store
  char kind = 'f';   // flip, zeros, truncation
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  [[nodiscard]] std::string text() const {
    return fmt::format("{} {} at {} size {}", kind, file, offset, size);
  }
};

Bytes content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Campaign {
 public:
  Campaign(const std::string& scratch, std::uint64_t seed, const std::string& only, bool verbose)
      : store_(scratch + "/pristine"),
        copy_(scratch + "/copy"),
        only_(only),
        random_(seed),
        verbose_(verbose) {
    set_log_level(LogLevel::kError);
    for (const auto& entry : fs::recursive_directory_iterator(store_)) {
      if (!entry.is_regular_file()) continue;
      const std::string name = fs::relative(entry.path(), store_).string();
      // Blocks of the reserve and of the journal's unused end mean nothing: as sparse as they are.
      files_[name] = content_of(entry.path());
      while (name.starts_with("journal/") && files_[name].ends_with('\0')) {
        const std::size_t used = files_[name].find_last_not_of('\0');
        sizes_[name] = files_[name].size();
        files_[name].resize(used == Bytes::npos ? 0 : used + 1);
      }
      if (name == "reserve") files_.erase(name);
    }
  }

  void run(std::size_t count, bool ranges, const Expected& expected) {
    std::vector<std::string> names;
    std::vector<double> weights;
    for (const auto& [name, content] : files_) {
      if (content.empty() || name.find(only_) == std::string::npos) continue;
      names.push_back(name);
      // Small files are met as often as they would be in a store of many, large ones more.
      weights.push_back(std::sqrt(static_cast<double>(content.size())));
    }
    std::discrete_distribution<std::size_t> choose(weights.begin(), weights.end());
    for (std::size_t i = 0; i < count; ++i) {
      Damage damage{.file = names[choose(random_)]};
      const std::uint64_t size = files_[damage.file].size();
      damage.offset = random_() % size;
      if (ranges) {
        damage.kind = random_() % 2 == 0 ? 'z' : 't';
        // From a sector to all that is behind it, about as often small as large.
        const double share = static_cast<double>(random_() % 1000) / 1000;
        damage.size = damage.kind == 't' ? 0
                                         : std::min(size - damage.offset,
                                                    1 + static_cast<std::uint64_t>(std::pow(
                                                            static_cast<double>(size), share)));
      }
      if (!change(damage)) continue;
      note(damage, tried(damage, expected));
    }
  }

  void print_table() const {
    fmt::print(
        "| file | damage | tried | refused | named | repaired | harmless | WRONG BYTES | CRASH "
        "|\n");
    fmt::print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (const auto& [row, counts] : table_) {
      std::uint64_t all = 0;
      std::string cells;
      for (const std::uint64_t count : counts) {
        all += count;
        cells += fmt::format(" {} |", count);
      }
      fmt::print("| {} | {} | {} |{}\n", row.first, row.second, all, cells);
    }
  }
  [[nodiscard]] bool found_bug() const { return bug_; }

 private:
  void copy_store() {
    fs::remove_all(copy_);
    for (const auto& entry : fs::recursive_directory_iterator(store_)) {
      const std::string target = copy_ + "/" + fs::relative(entry.path(), store_).string();
      fs::create_directories(entry.is_directory() ? target
                                                  : fs::path(target).parent_path().string());
    }
    for (const auto& [name, content] : files_) {
      write(copy_ + "/" + name, content);
      if (const auto size = sizes_.find(name); size != sizes_.end()) {
        fs::resize_file(copy_ + "/" + name, size->second);
      }
    }
  }
  static void write(const std::string& path, const Bytes& content) {
    std::ofstream out(path, std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
  }

  // False when nothing is different by it.
  bool change(const Damage& damage) {
    copy_store();
    Bytes content = files_[damage.file];
    const std::string path = copy_ + "/" + damage.file;
    if (damage.kind == 't') {
      fs::resize_file(path, damage.offset);
      return true;
    }
    if (damage.kind == 'f') {
      content[damage.offset] = static_cast<char>(content[damage.offset] ^ (1 << (random_() % 8)));
    } else {
      std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(damage.offset), damage.size, '\0');
    }
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    return content != files_[damage.file];
  }

  Outcome tried(const Damage& damage, const Expected& expected) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(60);
      if (!verbose_ && std::freopen("/dev/null", "w", stderr) == nullptr) std::_Exit(3);
      std::_Exit(static_cast<int>(look(damage, expected)));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) >= static_cast<int>(Outcome::kCount)) {
      return Outcome::kCrash;
    }
    return static_cast<Outcome>(WEXITSTATUS(status));
  }

  Outcome look(const Damage& damage, const Expected& expected) {
    const auto io = make_posix_io();
    auto opened = open_store(*io, copy_);
    if (!opened) {
      if (verbose_) fmt::print("{}: {}\n", damage.text(), opened.error().to_string());
      return Outcome::kRefused;
    }
    Engine& engine = **opened;
    const ReadBack before = read_all(engine, expected);
    if (before.wrong) return Outcome::kWrongBytes;
    const auto verified = is_verified(engine);
    if (!verified) return stopped(damage, verified.error());
    const bool was_good = *verified;
    const auto scrub = engine.scrub({});
    if (!scrub) return was_good ? stopped(damage, scrub.error()) : Outcome::kNamed;
    const ScrubReport& scrubbed = *scrub;
    const bool all_there = scrubbed.lost.empty();
    const bool incomplete_before = before.failed || before.behind;
    if (was_good && all_there && scrubbed.repaired.empty() && scrubbed.parity.empty()) {
      // The scrub changed nothing, so there is nothing to look at again.
      if (was_set_aside()) return Outcome::kNamed;
      return incomplete_before ? Outcome::kWrongBytes : Outcome::kHarmless;
    }
    const ReadBack after = read_all(engine, expected);
    if (after.wrong) return Outcome::kWrongBytes;
    const auto verified_again = is_verified(engine);
    if (!verified_again) return stopped(damage, verified_again.error());
    const bool is_good = *verified_again;
    if (is_good && all_there && !after.failed && damage.file.starts_with("packs/") &&
        content_of(copy_ + "/" + damage.file) == files_[damage.file]) {
      return Outcome::kRepaired;
    }
    if (!was_good || was_set_aside()) return Outcome::kNamed;
    // Not named, and something cannot be read or is older than it was: as bad as a wrong byte.
    const bool incomplete = incomplete_before || after.failed || after.behind;
    return incomplete || !all_there || !is_good ? Outcome::kWrongBytes : Outcome::kHarmless;
  }

  // A command that stops with an error which names the file has named the damage.
  [[nodiscard]] static Outcome stopped(const Damage& damage, const Error& error) {
    if (error.to_string().find(damage.file) != std::string::npos) return Outcome::kNamed;
    give_up(error);
  }

  // The end of the audit log is what a crash may tear: it is kept under another name, and a new
  // line says so.
  [[nodiscard]] bool was_set_aside() const {
    return std::ranges::any_of(fs::directory_iterator(copy_), [](const auto& entry) {
      return entry.path().filename().string().starts_with("audit.log.torn");
    });
  }

  static std::string kind_of(const std::string& file) {
    if (file.ends_with(".pack")) return "packs/….pack";
    if (file.ends_with(".parity")) return "packs/….parity";
    if (file.starts_with("snapshots/")) return "snapshots/….json";
    if (file.starts_with("notes/")) return "notes/….json";
    if (file == "journal/durable") return file;
    return file;
  }

  void note(const Damage& damage, Outcome outcome) {
    const char* kind = damage.kind == 'f' ? "flip" : damage.kind == 'z' ? "zeros" : "cut off";
    std::string file = kind_of(damage.file);
    if (file == "packs/….pack") {
      const bool sealed = files_.contains(damage.file.substr(0, damage.file.size() - 4) + "parity");
      file += sealed ? " (sealed)" : " (open)";
    }
    if (file.ends_with(".wal")) {
      const bool newest = std::ranges::none_of(files_, [&](const auto& other) {
        return other.first.ends_with(".wal") && other.first > file;
      });
      file = newest ? "journal/….wal (replayed)" : "journal/….wal (released)";
    }
    ++table_[{file, kind}][static_cast<std::size_t>(outcome)];
    const bool bug = outcome == Outcome::kWrongBytes || outcome == Outcome::kCrash;
    bug_ |= bug;
    if (bug || (verbose_ && outcome == Outcome::kHarmless)) {
      fmt::print("{}: {}\n", kOutcomes[static_cast<std::size_t>(outcome)], damage.text());
      std::fflush(stdout);
    }
  }

  const std::string store_;
  const std::string copy_;
  const std::string only_;
  std::map<std::string, Bytes> files_;
  std::map<std::string, std::uint64_t> sizes_;  // of those that end in zeros
  std::mt19937_64 random_;
  const bool verbose_;
  std::map<std::pair<std::string, std::string>, std::array<std::uint64_t, 6>> table_;
  bool bug_ = false;
};

struct Options {
  bool encrypted = false;
  std::size_t flips = 10'000;
  std::size_t ranges = 1'000;
  std::uint64_t seed = 1;
  std::string directory = "/dev/shm";
  std::string only;
  bool verbose = false;
  bool plant = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    options.verbose |= name == "--verbose";
    options.encrypted |= name == "--encrypted";
    options.plant |= name == "--plant";
    if (name == "--verbose" || name == "--encrypted" || name == "--plant") continue;
    const char* value = i + 1 < argc ? argv[++i] : "";
    if (name == "--flips") options.flips = std::strtoull(value, nullptr, 10);
    if (name == "--ranges") options.ranges = std::strtoull(value, nullptr, 10);
    if (name == "--seed") options.seed = std::strtoull(value, nullptr, 10);
    if (name == "--directory") options.directory = value;
    if (name == "--only") options.only = value;
  }
  return options;
}

int run(const Options& options) {
  const std::string scratch = options.directory + "/amberfs-bitflip-" + std::to_string(::getpid());
  fs::create_directories(scratch);
  Expected expected = make_store(scratch + "/pristine", options.encrypted);
  if (options.plant) expected["first"]["file7"].at(70'000) ^= 1;
  Campaign campaign(scratch, options.seed, options.only, options.verbose);
  campaign.run(options.flips, false, expected);
  campaign.run(options.ranges, true, expected);
  campaign.print_table();
  fs::remove_all(scratch);
  return campaign.found_bug() ? 1 : 0;
}

}  // namespace
}  // namespace amberfs::bitflip

int main(int argc, char** argv) {
  return amberfs::bitflip::run(amberfs::bitflip::parse(argc, argv));
}
