// SPDX-License-Identifier: Apache-2.0
#include "fs/rotation.h"

#include "fs/inode_edit.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace amberfs {
namespace {

constexpr std::array<ByteView, 6> kPackedSuffixes = {".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z"};
// A number of more digits is a date or a time.
constexpr std::size_t kNumberDigitsMax = 5;
// How many entries of a directory are looked at for the dated generations of a log.
constexpr std::size_t kEntriesMax = 4096;
// How far numbered generations are followed.
constexpr std::uint64_t kNumbersMax = 32;
constexpr std::size_t kLooksPerHour = 64;
constexpr std::int64_t kHourNs = 3'600'000'000'000;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The digits at the end of `text`, in groups with a separator before each: "app.log-2026-11-21" is
// "app.log" and {2026, 11, 21}. Cuts them off.
struct Numbers {
  std::vector<std::uint64_t> order;
  std::size_t digits = 0;
};
Numbers cut_numbers(ByteView& text) {
  Numbers found;
  while (!text.empty()) {
    std::size_t begin = text.size();
    while (begin > 0 && is_digit(text[begin - 1])) --begin;
    const bool separated = begin > 1 && ByteView(".-_T").find(text[begin - 1]) != ByteView::npos;
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data() + begin, text.data() + text.size(), value);
    if (begin == text.size() || !separated || parsed.ec != std::errc()) break;
    found.order.insert(found.order.begin(), value);
    found.digits += text.size() - begin;
    text = text.substr(0, begin - 1);
  }
  return found;
}

struct Named {
  Bytes name;
  InodeRecord record;
  Ino ino = kNoIno;
};

Result<std::optional<Named>> regular_file(const View& view, Ino directory, const Bytes& name) {
  if (name.size() > kNameSizeMax) return std::nullopt;
  TRY_ASSIGN(const auto entry, view.find_dirent(directory, name));
  if (!entry || entry->type != DT_REG) return std::nullopt;
  TRY_ASSIGN(const auto record, view.find_inode(entry->ino));
  if (!record || record->size_bytes == 0) return std::nullopt;
  return Named{name, *record, entry->ino};
}

// Of generation `number` of a log, plain or compressed.
Result<bool> has_generation(const View& view, Ino directory, const Generation& like,
                            std::uint64_t number) {
  const Bytes plain = like.before + std::to_string(number) + like.after;
  TRY_ASSIGN(auto found, regular_file(view, directory, plain));
  for (std::size_t i = 0; !found && i < kPackedSuffixes.size(); ++i) {
    TRY_ASSIGN(found, regular_file(view, directory, plain + Bytes(kPackedSuffixes[i])));
  }
  return found.has_value();
}

// The other generations of a log that has dates, as far as the directory is small enough to look.
Result<std::vector<std::pair<Bytes, Generation>>> dated_generations(const View& view, Ino directory,
                                                                    ByteView stem, bool& complete) {
  std::vector<std::pair<Bytes, Generation>> list;
  std::size_t seen = 0;
  TRY(view.list_directory(directory, 0, [&](const View::DirectoryEntry& entry) {
    if (++seen > kEntriesMax) return false;
    if (entry.dirent.type != DT_REG) return true;
    auto generation = parse_generation(entry.name);
    if (generation && generation->dated && generation->stem == stem) {
      list.emplace_back(entry.name, *std::move(generation));
    }
    return true;
  }));
  complete = seen <= kEntriesMax;
  return list;
}

Result<OldestGeneration> find_oldest_dated(const View& view, Ino directory,
                                           const Generation& generation) {
  OldestGeneration answer;
  bool complete = false;
  TRY_ASSIGN(const auto others, dated_generations(view, directory, generation.stem, complete));
  answer.is_oldest = complete;
  for (const auto& [name, other] : others) {
    if (other.older_than(generation)) answer.is_oldest = false;
    if (generation.older_than(other)) ++answer.younger;
  }
  return answer;
}

}  // namespace

bool Generation::older_than(const Generation& other) const {
  if (dated) return order < other.order;
  return order > other.order;
}

std::optional<Generation> parse_generation(ByteView name) {
  Generation generation;
  for (const ByteView suffix : kPackedSuffixes) {
    if (!name.ends_with(suffix)) continue;
    name.remove_suffix(suffix.size());
    generation.packed = true;
    break;
  }
  if (constexpr ByteView kOld = ".old"; name.ends_with(kOld) && name.size() > kOld.size()) {
    generation.before = Bytes(name) + ".";  // beside which numbers may stand
    generation.stem = name.substr(0, name.size() - kOld.size());
    generation.order = {1};
    return generation;
  }
  ByteView base = name;
  Numbers numbers = cut_numbers(base);
  if (numbers.order.empty()) {  // the number stands before the extension
    const auto dot = name.find_last_of('.');
    if (dot == ByteView::npos || dot == 0) return std::nullopt;
    generation.after = name.substr(dot);
    name = base = name.substr(0, dot);
    numbers = cut_numbers(base);
  }
  if (numbers.order.empty() || base.empty()) return std::nullopt;
  generation.before = name.substr(0, base.size() + 1);
  generation.stem = Bytes(base) + generation.after;
  generation.dated = numbers.order.size() > 1 || numbers.digits > kNumberDigitsMax;
  generation.order = std::move(numbers.order);
  return generation;
}

Result<OldestGeneration> find_oldest(const View& view, Ino directory,
                                     const Generation& generation) {
  if (generation.dated) return find_oldest_dated(view, directory, generation);
  OldestGeneration answer;
  const std::uint64_t number = generation.order.front();
  for (std::uint64_t older = number + 1; older <= number + 2; ++older) {
    TRY_ASSIGN(const bool there, has_generation(view, directory, generation, older));
    if (there) return answer;
  }
  answer.is_oldest = true;
  const std::uint64_t lowest = number - std::min(number, kNumbersMax);
  for (std::uint64_t younger = number; younger-- > lowest;) {
    TRY_ASSIGN(const bool there, has_generation(view, directory, generation, younger));
    if (there) ++answer.younger;
  }
  return answer;
}

Result<bool> is_shift(const View& view, Ino directory, ByteView from, ByteView to) {
  const auto moved = parse_generation(from);
  const auto replaced = parse_generation(to);
  if (!moved || !replaced || moved->dated || replaced->dated) return false;
  if (moved->before != replaced->before || moved->after != replaced->after) return false;
  if (moved->order.front() + 1 != replaced->order.front()) return false;
  TRY_ASSIGN(const OldestGeneration found, find_oldest(view, directory, *replaced));
  return found.is_oldest;
}

Result<bool> has_packed_form(const View& view, Ino directory, ByteView name,
                             const InodeRecord& record) {
  for (const ByteView suffix : kPackedSuffixes) {
    TRY_ASSIGN(const auto packed, regular_file(view, directory, Bytes(name) + Bytes(suffix)));
    if (packed && packed->record.btime >= record.btime) return true;
  }
  return false;
}

Result<std::vector<Ino>> plain_generations(const View& view, Ino directory, ByteView name,
                                           std::uint64_t size_min) {
  std::vector<Ino> found;
  std::size_t seen = 0;
  TRY(view.list_directory(directory, 0, [&](const View::DirectoryEntry& entry) {
    if (++seen > kEntriesMax) return false;
    if (entry.dirent.type != DT_REG) return true;
    const auto generation = parse_generation(entry.name);
    if (generation && !generation->packed && generation->stem == name) {
      found.push_back(entry.dirent.ino);
    }
    return true;
  }));
  std::vector<Ino> large;
  for (const Ino ino : found) {
    TRY_ASSIGN(const auto record, view.find_inode(ino));
    if (record && record->size_bytes >= size_min) large.push_back(ino);
  }
  std::ranges::sort(large, std::greater<>());  // the newest first
  return large;
}

bool RemovalPace::may_look(Ino directory, ByteView stem, std::int64_t now_ns) {
  constexpr std::size_t kLogsMax = 4096;
  MutexLock lock(mu_);
  if (logs_.size() > kLogsMax) {
    std::erase_if(logs_, [&](const auto& log) { return now_ns - log.second.since_ns > kHourNs; });
    if (logs_.size() > kLogsMax) return false;
  }
  Pace& pace = logs_[{directory, Bytes(stem)}];
  if (now_ns - pace.since_ns > kHourNs) pace = {.since_ns = now_ns};
  return ++pace.looks <= kLooksPerHour;
}

bool RemovalPace::removed(Ino directory, ByteView stem, std::size_t younger) {
  MutexLock lock(mu_);
  Pace& pace = logs_[{directory, Bytes(stem)}];
  if (younger == 0 || pace.removed + 1 > std::max<std::size_t>(1, younger)) return false;
  ++pace.removed;
  return true;
}

void RemovalPace::rotated(Ino directory, ByteView stem) {
  constexpr std::size_t kLooksForEach = 4;
  MutexLock lock(mu_);
  const auto log = logs_.find({directory, Bytes(stem)});
  if (log == logs_.end()) return;
  Pace& pace = log->second;
  pace.removed -= std::min<std::size_t>(pace.removed, 1);
  pace.looks -= std::min(pace.looks, kLooksForEach);
}

}  // namespace amberfs
