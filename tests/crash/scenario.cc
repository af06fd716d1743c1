// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/scenario.h"

#include "blockstore/base/hash.h"
#include "blockstore/index.h"
#include "fs/verify_chain.h"
#include "fs/verify_store.h"
#include "tests/crash/performer.h"
#include "tests/support/both_forms.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace amberfs::testing {
namespace {

constexpr std::uint64_t kGoOnEvery = 4;  // of the states
Result<TreeModel> read_tree(Engine& engine, const View& view) {
  TreeModel tree;
  std::map<Ino, int> numbers;
  std::vector<View::DirectoryEntry> entries;
  TRY(view.list_directory(kRootIno, 0, [&](const View::DirectoryEntry& entry) {
    entries.push_back(entry);
    return true;
  }));
  std::ranges::sort(entries, {}, &View::DirectoryEntry::name);
  for (const auto& entry : entries) {
    const Ino ino = entry.dirent.ino;
    const auto [number, is_new] = numbers.emplace(ino, static_cast<int>(numbers.size()));
    tree.names[entry.name] = number->second;
    if (!is_new) continue;
    TRY_ASSIGN(const InodeRecord record, view.inode(ino));
    std::string bytes(record.size_bytes, '\0');
    TRY_ASSIGN(const std::size_t got, engine.data().read(view, ino, 0, bytes.data(), bytes.size()));
    bytes.resize(got);
    tree.contents[number->second] = std::move(bytes);
  }
  return tree;
}

// What an operation took away from the one file that it changed, "" when nothing.
std::string removed_between(const TreeModel& before, const TreeModel& after) {
  for (const auto& [name, number] : before.names) {
    const std::string& old = before.contents.at(number);
    const bool named =
        std::ranges::any_of(after.names, [&](const auto& entry) { return entry.second == number; });
    const std::string now = named ? after.contents.at(number) : std::string();
    const auto first = static_cast<std::size_t>(std::ranges::mismatch(old, now).in1 - old.begin());
    if (first == old.size()) continue;
    std::size_t last = old.size();
    while (last <= now.size() && old[last - 1] == now[last - 1]) --last;
    return old.substr(first, last - first);
  }
  return "";
}

// The same numbers for the same names, whatever they were.
TreeModel normal(const TreeModel& tree) {
  TreeModel result;
  std::map<int, int> numbers;
  for (const auto& [name, number] : tree.names) {
    const auto mine = numbers.emplace(number, static_cast<int>(numbers.size())).first->second;
    result.names[name] = mine;
    result.contents[mine] = tree.contents.at(number);
  }
  return result;
}

std::string describe(const TreeModel& tree) {
  std::string text;
  for (const auto& [name, number] : tree.names) {
    const std::string& bytes = tree.contents.at(number);
    text += fmt::format(" {}=#{}:{} bytes {:08x}", name, number, bytes.size(),
                        xxh3(bytes) & 0xFFFFFFFF);
  }
  return text;
}

}  // namespace

std::string to_text(const std::vector<Step>& steps) {
  constexpr std::array kNames{"create", "append", "overwrite", "truncate", "rename",
                              "link",   "unlink", "fsync",     "snapshot", "rollback",
                              "commit", "gc",     "forget"};
  std::string text;
  for (const Step step : steps) {
    if (!text.empty()) text += ", ";
    text += kNames.at(static_cast<std::size_t>(step));
  }
  return text;
}

struct Scenario::Recording {
  std::string steps;
  EventLog log;
  struct IndexVersion {
    std::size_t at_event = 0;  // its commit; that of the first one was long ago
    std::string bytes;
  };
  std::vector<IndexVersion> index;
  struct State {
    TreeModel tree;
    std::size_t begun_at = 0;                // length of the log
    std::optional<std::size_t> promised_at;  // everything up to it is durable
    std::string removed;                     // by the operation, from a file
  };
  std::vector<State> states;  // S(0), S(1) …
  struct Snapshot {
    std::uint64_t sequence = 0;
    std::size_t reported_at = 0;
    TreeModel tree;
    std::optional<std::size_t> giving_up_from = {};
    std::optional<std::size_t> gone_at = {};
  };
  std::vector<Snapshot> snapshots;
};

Scenario::Scenario(Base base) : base_kind_(base), store_(directory_ / "store") {
  std::filesystem::create_directories(store_ + "/index");
  const Status built = build_base();
  if (!built) {
    fmt::print(stderr, "the base store: {}\n", built.error().to_string());
    std::abort();
  }
}

std::string Scenario::index_bytes() const {
  std::ifstream file(store_ + "/" + std::string(kIndexFile), std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void Scenario::put_index(const std::string& bytes) {
  std::error_code ignored;
  std::filesystem::remove_all(store_ + "/index", ignored);
  std::filesystem::create_directories(store_ + "/index");
  std::ofstream(store_ + "/" + std::string(kIndexFile), std::ios::binary) << bytes;
}

Status Scenario::build_base() {
  RecordingIo io(DiskImage{}, disk_bytes());
  std::string config = testing::test_config_text(std::string(32, 'c'));
  const std::string schedule = "every = \"10m\"";
  config.replace(config.find(schedule), schedule.size(), "every = \"off\"");
  const std::string pack = "size = \"256MiB\"";
  if (base_kind_ == Base::kFullPack)
    config.replace(config.find(pack), pack.size(), "size = \"1MiB\"");
  TRY(testing::create_store(io, store_, config));
  base_tree_.names["a"] = 0;
  base_tree_.contents[0] = pattern(0, kFileSize);
  {
    TRY_ASSIGN(auto engine, testing::open_engine(io, store_));
    TRY_ASSIGN(const Attr file,
               engine->filesystem().make(kProgram, kRootIno, "a", {.mode = S_IFREG | 0644U}));
    TRY(engine->filesystem().write(kProgram, file.ino, 0, pattern(0, kFileSize), {}));
    TRY(engine->snapshot({.name = "base", .reason = {}}));
    TRY(engine->close());
  }
  base_ = io.image();
  base_index_ = index_bytes();
  return ok();
}

namespace {

bool needs_file(Step step) {
  return step != Step::kCreate && step != Step::kFsync && step != Step::kSnapshot &&
         step != Step::kRollback && step != Step::kCommit && step != Step::kCollect &&
         step != Step::kForget;
}

// Also what was given up just now; groups so small that there are several.
Status collect_all(Engine& engine) {
  CollectOptions options;
  options.recent = std::chrono::seconds(-1);
  options.compact.zstd_level = 1;
  options.compact.data_group_bytes = 4 * kKiB;
  auto report = engine.collect(options);
  if (!report) return fail(std::move(report).error());
  if (!report->damage.empty()) return fail(Errc::kCorrupt, 0, "gc: " + report->damage[0].what);
  return ok();
}

}  // namespace

std::uint64_t Scenario::disk_bytes() const {
  // On a small disk the journal's segments are small.
  return base_kind_ == Base::kRotating ? 64 * kMiB : std::uint64_t{1} << 40;
}

Status Scenario::prepare(Recording& recording, Engine& engine, Performer& performer,
                         const std::function<void()>& note_index) {
  if (base_kind_ == Base::kSmall) return ok();
  const EventLog& log = recording.log;
  std::size_t begun_at = log.size();
  TRY(performer.make_large());
  recording.states.push_back({performer.tree(), begun_at, {}});
  const int rounds = base_kind_ == Base::kRotating ? 4 : 1;
  for (int round = 0; round < rounds; ++round) {
    begun_at = log.size();
    TRY(performer.fill_large());
    const bool commits = rounds == 1 || round % 2 == 1;
    if (commits) TRY(engine.commit());
    note_index();
    recording.states.push_back({performer.tree(), begun_at, {}});
    if (commits) recording.states.back().promised_at = log.size();
  }
  return ok();
}

Status Scenario::forget_newest(Engine& engine, Recording& recording) {
  const std::uint64_t newest = engine.catalog().newest_sequence().value_or(0);
  if (newest <= 1) return engine.commit();
  TRY_ASSIGN(const Manifest manifest, engine.catalog().by_sequence(newest));
  const std::size_t from = recording.log.size();
  TRY(engine.forget({manifest}, "crash"));
  for (auto& snapshot : recording.snapshots) {
    if (snapshot.sequence != newest) continue;
    snapshot.giving_up_from = from;
    snapshot.gone_at = recording.log.size();
  }
  return ok();
}

Status Scenario::record(const std::vector<Step>& steps, const Options& options,
                        Recording& recording) {
  put_index(base_index_);
  recording.steps = to_text(steps);
  recording.index.push_back({0, base_index_});
  RecordingIo io(base_, disk_bytes());
  EventLog& log = recording.log;
  const auto note_index = [&] {
    std::string now = index_bytes();
    if (now == recording.index.back().bytes) return;
    recording.index.push_back({log.size(), std::move(now)});
    log.add({.kind = Event::Kind::kIndexCommit, .path = std::string(kIndexFile)});
  };
  TRY_ASSIGN(const auto engine, testing::open_engine(io, store_));
  io.record(log, note_index, options.mutation);
  recording.snapshots.push_back({1, 0, base_tree_});
  recording.states.push_back({base_tree_, 0, 0});
  Performer performer(*engine, base_tree_);
  TRY(prepare(recording, *engine, performer, note_index));
  std::size_t number = 0;
  for (Step step : steps) {
    ++number;
    if (performer.empty() && needs_file(step)) step = Step::kCreate;
    Recording::State state{.tree = {}, .begun_at = log.size(), .promised_at = {}};
    // While it runs it counts as begun, with the state it leads to (filled in below).
    Status done = ok();
    bool promised = false;
    std::optional<Manifest> taken;
    switch (step) {
      case Step::kCreate:
        done = performer.create(number);
        break;
      case Step::kAppend:
      case Step::kOverwrite:
        done = performer.write(number, step == Step::kAppend);
        break;
      case Step::kTruncate:
        done = performer.truncate();
        break;
      case Step::kRename:
        done = performer.rename(number);
        break;
      case Step::kLink:
        done = performer.link(number);
        break;
      case Step::kUnlink:
        done = performer.unlink();
        break;
      case Step::kFsync:
        done = engine->filesystem().sync();
        promised = true;
        break;
      case Step::kSnapshot: {
        auto result = engine->snapshot({.name = {}, .reason = {}});
        done = result ? ok() : Status(fail(result.error()));
        if (result) taken = result->manifest;
        promised = true;
        break;
      }
      case Step::kRollback: {
        TRY_ASSIGN(const Manifest target, engine->catalog().by_sequence(1));
        auto result = engine->rollback(target, true);
        done = result ? ok() : Status(fail(result.error()));
        if (result) taken = result->before;
        promised = true;
        break;
      }
      case Step::kCommit:
        done = engine->commit();
        promised = true;
        break;
      case Step::kCollect:
        done = collect_all(*engine);
        promised = true;
        break;
      case Step::kForget:
        done = forget_newest(*engine, recording);
        break;
    }
    TRY(done);
    note_index();
    if (taken) recording.snapshots.push_back({taken->sequence, log.size(), performer.tree()});
    if (step == Step::kRollback) performer.set_tree(base_tree_);
    state.tree = performer.tree();
    if (step != Step::kRollback) {
      state.removed = removed_between(recording.states.back().tree, state.tree);
    }
    if (promised) state.promised_at = log.size();
    recording.states.push_back(std::move(state));
  }
  io.stop_recording();
  if (options.early_index) {  // ahead of the event before it
    for (auto& version : recording.index) {
      version.at_event -= std::min<std::size_t>(version.at_event, 2);
    }
  }
  if (options.early_promises) {
    for (auto& state : recording.states) {
      if (state.promised_at && *state.promised_at > state.begun_at) --*state.promised_at;
    }
    for (auto& snapshot : recording.snapshots) {
      snapshot.reported_at -= std::min<std::size_t>(snapshot.reported_at, 1);
    }
  }
  return ok();
}

void Scenario::run(const std::vector<Step>& steps, const Options& options, CrashCounts& counts) {
  Recording recording;
  if (Status recorded = record(steps, options, recording); !recorded) {
    counts.violations.push_back(
        fmt::format("[{}] failed: {}", to_text(steps), recorded.error().to_string()));
    return;
  }
  for (std::size_t event = 0; event <= recording.log.size(); ++event) {
    check_crash_at(recording, event, options, counts);
    if (counts.violations.size() >= options.violations_max) return;
  }
}

void Scenario::check_crash_at(const Recording& recording, std::size_t event, const Options& options,
                              CrashCounts& counts) {
  const EventLog& log = recording.log;
  std::size_t version = 0;
  while (version + 1 < recording.index.size() && recording.index[version + 1].at_event < event) {
    ++version;
  }
  if (options.stale_index && version > 0) --version;

  std::mt19937_64 random(options.seed + event);
  const std::vector<std::size_t> open = log.unsynced(event);
  std::vector<EventLog::Keep> choices;
  choices.emplace_back([](std::size_t) { return EventLog::kAll; });
  if (!open.empty()) {
    choices.emplace_back([](std::size_t) { return EventLog::kNothing; });
    std::vector<std::size_t> some = open;
    std::ranges::shuffle(some, random);
    if (some.size() > options.single_choices) some.resize(options.single_choices);
    for (const std::size_t one : some) {
      choices.emplace_back(
          [one](std::size_t i) { return i == one ? EventLog::kNothing : EventLog::kAll; });
      choices.emplace_back(
          [one](std::size_t i) { return i == one ? EventLog::kAll : EventLog::kNothing; });
      const Event& torn = log[one];
      if (torn.kind != Event::Kind::kWrite) continue;
      const std::uint64_t first_border = kSector - torn.offset % kSector;
      if (first_border >= torn.size) continue;
      const std::uint64_t borders = (torn.size - first_border + kSector - 1) / kSector;
      const std::uint64_t kept = first_border + random() % borders * kSector;
      choices.emplace_back([one, kept](std::size_t i) { return i == one ? kept : EventLog::kAll; });
      choices.emplace_back(
          [one, kept](std::size_t i) { return i == one ? kept : EventLog::kNothing; });
      const std::uint64_t sectors = random() | EventLog::kSectorsBit;
      if (sectors != EventLog::kAll) {
        choices.emplace_back(
            [one, sectors](std::size_t i) { return i == one ? sectors : EventLog::kAll; });
      }
    }
    for (unsigned i = 0; i < options.random_choices; ++i) {
      const std::uint64_t salt = random();
      choices.emplace_back([salt](std::size_t e) {
        return (salt * (2 * e + 1) >> 40 & 1) != 0 ? EventLog::kAll : EventLog::kNothing;
      });
    }
  }
  for (const EventLog::Keep& choice : choices) {
    const DiskImage image = log.image(base_, event, choice);
    check_image(recording, event, image, recording.index[version].bytes, options, counts);
    if (counts.violations.size() >= options.violations_max) return;
  }
}

void Scenario::check_image(const Recording& recording, std::size_t event, const DiskImage& image,
                           const std::string& index, const Options& options, CrashCounts& counts) {
  ++counts.states;
  // The same disk may have to keep other promises at another place: both are part of the state.
  std::uint64_t hash = image.hash() ^ (xxh3(index) * 3);
  for (const auto& state : recording.states) {
    const bool promised = state.promised_at && *state.promised_at <= event;
    hash = hash * 31 + (state.begun_at <= event ? 2 : 0) + (promised ? 1 : 0) +
           xxh3(describe(state.tree));
  }
  if (!seen_.insert(hash).second) return;
  ++counts.distinct;
  put_index(index);
  RecordingIo io(image, disk_bytes());
  std::string wrong;
  auto engine = testing::open_engine(io, store_);
  if (!engine) {
    wrong = "the store cannot be opened: " + engine.error().to_string();
  } else {
    wrong = look(recording, event, **engine, options);
    if (const Status closed = (*engine)->close(); wrong.empty() && !closed) {
      wrong = "the store cannot be closed: " + closed.error().to_string();
    }
    engine->reset();
    if (wrong.empty() && hash % kGoOnEvery == 0) wrong = go_on(io);
  }
  if (!wrong.empty()) {
    counts.violations.push_back(fmt::format("[{}] crash behind event {} of {}: {}\n{}",
                                            recording.steps, event, recording.log.size(), wrong,
                                            recording.log.describe(event)));
  }
}

std::string Scenario::go_on(RecordingIo& io) {
  const std::string text = "written after the crash";
  std::string wrong;
  const auto step = [&]() -> Status {
    TreeModel before;
    {
      TRY_ASSIGN(auto engine, testing::open_engine(io, store_));
      TRY_ASSIGN(before, read_tree(*engine, *engine->live_view()));
      TRY_ASSIGN(const Attr attr, engine->filesystem().make(kProgram, kRootIno, "~after",
                                                            {.mode = S_IFREG | 0644U}));
      TRY(engine->filesystem().write(kProgram, attr.ino, 0, text, {}));
      TRY(engine->close());
    }
    const int number = static_cast<int>(before.contents.size());
    before.names["~after"] = number;
    before.contents[number] = text;
    TRY_ASSIGN(auto engine, testing::open_engine(io, store_));
    TRY_ASSIGN(const TreeModel after, read_tree(*engine, *engine->live_view()));
    if (after != normal(before)) wrong = "after going on the tree is" + describe(after);
    TRY(engine->snapshot({.name = {}, .reason = {}}));
    if (wrong.empty()) wrong = look_at_chain(*engine);
    return engine->close();
  };
  if (Status went = step(); !went) wrong = "the store does not go on: " + went.error().to_string();
  return wrong;
}

// Whole, and it goes on.
std::string Scenario::look_at_chain(Engine& engine) {
  const auto chain = verify_chain(engine);
  if (!chain) return "verify the chain: " + chain.error().to_string();
  if (!chain->sealed) return "there is no chain";
  for (const ChainFinding& finding : chain->report.findings) {
    return "the chain: " + finding.object + ": " + finding.what;
  }
  if (!engine.chain().can_sign()) return engine.chain().problem();
  return {};
}

// The bytes of all evidence in a view.
static Result<std::vector<std::string>> evidence_in(Engine& engine, const View& view) {
  TRY_ASSIGN(const auto list, list_evidence(view));
  std::vector<std::string> texts;
  for (const EvidenceEntry& entry : list) {
    std::string text(entry.evidence.end - entry.evidence.begin, '\0');
    TRY(engine.data().read(view, entry.number, entry.evidence.begin, text.data(), text.size()));
    texts.push_back(std::move(text));
  }
  return texts;
}

// A deleted file that a rollback brings back is no evidence any more: that is in the snapshot taken
// before the rollback, where `audit --show` finds it.
std::string Scenario::look_for_evidence(const Recording& recording, std::size_t count,
                                        Engine& engine) {
  auto texts = evidence_in(engine, *engine.live_view());
  if (!texts) return "the evidence cannot be read: " + texts.error().to_string();
  const auto manifests = engine.catalog().list();
  if (!manifests) return "snapshots cannot be listed: " + manifests.error().to_string();
  for (const Manifest& manifest : *manifests) {
    if (manifest.kind != "before-rollback") continue;
    auto more = evidence_in(engine, *engine.view_of(manifest).view);
    if (!more) return "evidence of a snapshot cannot be read: " + more.error().to_string();
    std::ranges::move(*more, std::back_inserter(*texts));
  }
  for (std::size_t k = 0; k < count; ++k) {
    const std::string& removed = recording.states[k].removed;
    const bool kept = std::ranges::any_of(
        *texts, [&](const std::string& text) { return text.find(removed) != std::string::npos; });
    if (!removed.empty() && !kept) {
      return fmt::format("S({}) took away {} bytes that are not kept", k, removed.size());
    }
  }
  return "";
}

std::string Scenario::look(const Recording& recording, std::size_t event, Engine& engine,
                           const Options& options) {
  auto tree = read_tree(engine, *engine.live_view());  // held no longer: commits wait for it
  if (!tree) return "the tree cannot be read: " + tree.error().to_string();
  std::size_t lowest = 0;
  std::size_t highest = 0;
  for (std::size_t k = 0; k < recording.states.size(); ++k) {
    const auto& state = recording.states[k];
    if (state.begun_at <= event) highest = k;
    if (state.promised_at && *state.promised_at <= event) lowest = k;
  }
  bool found = false;
  for (std::size_t k = lowest; k <= highest && !found; ++k) {
    if (normal(recording.states[k].tree) != *tree) continue;
    found = true;
    std::string wrong = look_for_evidence(recording, k + 1, engine);
    if (!wrong.empty()) return wrong;
  }
  if (!found) {
    std::string expected;
    for (std::size_t k = lowest; k <= highest; ++k) {
      expected += fmt::format("\n  S({}):{}", k, describe(normal(recording.states[k].tree)));
    }
    return "the tree is" + describe(*tree) + ", none of" + expected;
  }
  for (const auto& snapshot : recording.snapshots) {
    if (snapshot.reported_at > event) continue;
    const auto manifest = engine.catalog().by_sequence(snapshot.sequence);
    if (snapshot.gone_at && *snapshot.gone_at <= event && manifest) {
      return fmt::format("snapshot {} was forgotten and is there", snapshot.sequence);
    }
    if (snapshot.giving_up_from && *snapshot.giving_up_from <= event && !manifest) continue;
    if (!manifest) return fmt::format("snapshot {} was reported and is lost", snapshot.sequence);
    auto past = read_tree(engine, *engine.view_of(*manifest).view);
    if (!past) return "a snapshot cannot be read: " + past.error().to_string();
    if (*past != normal(snapshot.tree)) {
      return fmt::format("snapshot {} is{}, not{}", snapshot.sequence, describe(*past),
                         describe(normal(snapshot.tree)));
    }
  }
  const auto newest = engine.catalog().newest_sequence();
  for (std::uint64_t sequence = 1; newest && sequence <= *newest; ++sequence) {
    const auto manifest = engine.catalog().by_sequence(sequence);
    if (!manifest) continue;
    auto past = read_tree(engine, *engine.view_of(*manifest).view);
    if (!past) return "an unreported snapshot is not whole: " + past.error().to_string();
    const auto is_it = [&](const auto& state) { return normal(state.tree) == *past; };
    const bool known = std::ranges::any_of(recording.states, is_it) ||
                       std::ranges::any_of(recording.snapshots, is_it);
    if (!known)
      return fmt::format("snapshot {} holds what never was:{}", sequence, describe(*past));
  }
  if (const std::string wrong = look_at_chain(engine); !wrong.empty()) return wrong;
  const auto report = verify_store(engine, options.full_verify, {});
  if (!report) return "verify: " + report.error().to_string();
  if (!report->ok()) {
    const VerifyFinding& first = report->findings.front();
    return fmt::format("verify: {} {}: {}", first.kind, first.object, first.what);
  }
  return "";
}

}  // namespace amberfs::testing
