// SPDX-License-Identifier: Apache-2.0
// The bit-flip campaign: one damage after the other is done to a copy of a small store: single
// bits, ranges of zeros, truncations, in every file of it. What follows is sorted into
//
//   refused      the store is not opened, and the error says why
//   named        verify names the damage
//   repaired     scrub makes the file as it was, from parity; verify finds nothing
//   harmless     every file and snapshot reads as it should, and verify finds nothing
//   WRONG BYTES  a read returned something else than was written: a bug
//   CRASH        the process died, or hung: a bug
//
// usage: bitflip [--flips 10000] [--ranges 1000] [--seed N] [--directory /dev/shm] [--verbose]
// Each damage is tried in a process of its own. Prints a table in Markdown. Exit status 1: a bug.
#include "blockstore/base/log.h"
#include "fs/engine.h"
#include "fs/verify_store.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <sys/stat.h>
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

namespace amberfs {
namespace {

namespace fs = std::filesystem;

const Origin kNobody;

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

template <class T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "bitflip: {}\n", result.error().to_string());
  std::exit(3);
}
void must(const Status& status) {
  if (status) return;
  fmt::print(stderr, "bitflip: {}\n", status.error().to_string());
  std::exit(3);
}

std::string config_text() {
  std::string text = default_config_text(std::string(32, '0'));
  const auto set = [&](std::string_view from, std::string_view to) {
    text.replace(text.find(from), from.size(), to);
  };
  set("average = \"1MiB\"", "average = \"16KiB\"");
  set("min = \"256KiB\"", "min = \"4KiB\"");
  set("max = \"4MiB\"", "max = \"64KiB\"");
  set("[packs]\nsize = \"256MiB\"", "[packs]\nsize = \"1MiB\"");
  set("segment = \"64MiB\"", "segment = \"32MiB\"");
  return text;
}

using Tree = std::map<std::string, Bytes>;  // name → content

// A store of some snapshots, sealed packs with parity, an open one, and changes in the journal.
class Pristine {
 public:
  explicit Pristine(const std::string& store) : store_(store) {
    must(Engine::create(*io_, store, config_text()));
    engine_ = must(Engine::open(*io_, store));
    for (int i = 0; i < 12; ++i) write(fmt::format("file{}", i), 120'000);
    keep("first");
    for (int i = 0; i < 4; ++i) write(fmt::format("file{}", i), 50'000);
    keep("second");
    write("log", 30'000);
    must(engine_->blocks().protect({}));
    must(engine_->scrub({}));
    must(engine_->filesystem().sync());
    // What a kill leaves: the log is in the journal only.
    fs::copy(store, store + ".killed", fs::copy_options::recursive);
    must(engine_->close());
    engine_.reset();
    fs::remove_all(store);
    fs::rename(store + ".killed", store);
  }

  std::map<std::string, Tree> snapshots;  // by name; "live" is the live tree

 private:
  void write(const std::string& name, std::size_t size) {
    Bytes& content = snapshots["live"][name];
    Bytes more(size, '\0');
    for (char& byte : more) byte = static_cast<char>(random_());
    Ino ino = 0;
    if (content.empty()) {
      ino = must(engine_->filesystem().make(kNobody, kRootIno, name, {.mode = S_IFREG | 0644})).ino;
    } else {
      ino = must(engine_->live_view()->resolve_path(name));
    }
    must(engine_->filesystem().write(kNobody, ino, content.size(), more, {}));
    content += more;
  }
  void keep(const std::string& name) {
    must(engine_->snapshot({.name = name}));
    snapshots[name] = snapshots["live"];
  }

  const std::string store_;
  std::mt19937_64 random_{42};
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Engine> engine_;
};

// Whether everything that is read is what was written. What cannot be read is no wrong byte.
struct ReadBack {
  bool wrong = false;
  bool failed = false;
};

void read_tree(Engine& engine, const View& view, const Tree& expected, ReadBack& found) {
  for (const auto& [name, content] : expected) {
    const auto ino = view.resolve_path(name);
    const auto inode = ino ? view.inode(*ino) : fail(ino.error());
    if (!inode) {
      found.failed = true;
      continue;
    }
    // Page by page, so that one that cannot be read does not hide the others.
    constexpr std::size_t kPage = 4096;
    found.wrong |= inode->size_bytes != content.size();
    for (std::size_t at = 0; at < content.size(); at += kPage) {
      const std::size_t size = std::min(kPage, content.size() - at);
      Bytes bytes(size, '\0');
      const auto got = engine.data().read(view, *ino, at, bytes.data(), size);
      found.failed |= !got;
      found.wrong |= got && (*got != size || bytes != content.substr(at, size));
    }
  }
}

ReadBack read_all(Engine& engine, const std::map<std::string, Tree>& expected) {
  ReadBack found;
  for (const auto& [name, tree] : expected) {
    if (name == "live") {
      read_tree(engine, *engine.live_view(), tree, found);
      continue;
    }
    const auto manifest = engine.catalog().resolve(name);
    if (!manifest) {
      found.failed = true;
    } else {
      read_tree(engine, *engine.view_of(*manifest).view, tree, found);
    }
  }
  return found;
}

Bytes content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Campaign {
 public:
  Campaign(const std::string& scratch, std::uint64_t seed, bool verbose)
      : store_(scratch + "/pristine"), copy_(scratch + "/copy"), random_(seed), verbose_(verbose) {
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

  void run(std::size_t count, bool ranges, const std::map<std::string, Tree>& expected) {
    std::vector<std::string> names;
    std::vector<double> weights;
    for (const auto& [name, content] : files_) {
      if (content.empty()) continue;
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

  Outcome tried(const Damage& damage, const std::map<std::string, Tree>& expected) {
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

  Outcome look(const Damage& damage, const std::map<std::string, Tree>& expected) {
    const auto io = make_posix_io();
    auto opened = Engine::open(*io, copy_);
    if (!opened) {
      if (verbose_) fmt::print("{}: {}\n", damage.text(), opened.error().to_string());
      return Outcome::kRefused;
    }
    Engine& engine = **opened;
    const ReadBack before = read_all(engine, expected);
    if (before.wrong) return Outcome::kWrongBytes;
    const VerifyReport found = must(verify_store(engine, true, {}));
    if (!must(engine.scrub({})).lost.empty()) return found.ok() ? Outcome::kCrash : Outcome::kNamed;
    const ReadBack after = read_all(engine, expected);
    if (after.wrong) return Outcome::kWrongBytes;
    const VerifyReport again = must(verify_store(engine, true, {}));
    const bool healed = again.ok() && !after.failed && damage.file.starts_with("packs/") &&
                        content_of(copy_ + "/" + damage.file) == files_[damage.file];
    if (healed) return Outcome::kRepaired;
    if (!found.ok()) return Outcome::kNamed;
    // Not named, and something cannot be read: as bad as a wrong byte.
    return before.failed || after.failed ? Outcome::kWrongBytes : Outcome::kHarmless;
  }

  static std::string kind_of(const std::string& file) {
    if (file.ends_with(".pack")) return "packs/….pack";
    if (file.ends_with(".parity")) return "packs/….parity";
    if (file.starts_with("snapshots/")) return "snapshots/….json";
    if (file.starts_with("journal/")) return "journal/….wal";
    return file;
  }

  void note(const Damage& damage, Outcome outcome) {
    const char* kind = damage.kind == 'f' ? "flip" : damage.kind == 'z' ? "zeros" : "cut off";
    std::string file = kind_of(damage.file);
    if (file == "packs/….pack") {
      const bool sealed = files_.contains(damage.file.substr(0, damage.file.size() - 4) + "parity");
      file += sealed ? " (sealed)" : " (open)";
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
  std::map<std::string, Bytes> files_;
  std::map<std::string, std::uint64_t> sizes_;  // of those that end in zeros
  std::mt19937_64 random_;
  const bool verbose_;
  std::map<std::pair<std::string, std::string>, std::array<std::uint64_t, 6>> table_;
  bool bug_ = false;
};

int run(int argc, char** argv) {
  std::size_t flips = 10'000;
  std::size_t ranges = 1'000;
  std::uint64_t seed = 1;
  std::string directory = "/dev/shm";
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--verbose") {
      verbose = true;
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : "";
    if (name == "--flips") flips = std::strtoull(value, nullptr, 10);
    if (name == "--ranges") ranges = std::strtoull(value, nullptr, 10);
    if (name == "--seed") seed = std::strtoull(value, nullptr, 10);
    if (name == "--directory") directory = value;
  }
  const std::string scratch = directory + "/amberfs-bitflip-" + std::to_string(::getpid());
  fs::create_directories(scratch);
  bool bug = false;
  {
    const Pristine pristine(scratch + "/pristine");
    Campaign campaign(scratch, seed, verbose);
    campaign.run(flips, false, pristine.snapshots);
    campaign.run(ranges, true, pristine.snapshots);
    campaign.print_table();
    bug = campaign.found_bug();
  }
  fs::remove_all(scratch);
  return bug ? 1 : 0;
}

}  // namespace
}  // namespace amberfs

int main(int argc, char** argv) {
  return amberfs::run(argc, argv);
}
