// SPDX-License-Identifier: Apache-2.0
// amberfs-bench-work: does one piece of work and prints what it took as one line of JSON.
#include "tools/benchmark/work.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>

namespace amberfs::benchmark {
namespace {

void print(Outcome outcome) {
  nlohmann::json json{
      {"seconds", outcome.seconds}, {"operations", outcome.operations}, {"bytes", outcome.bytes}};
  if (!outcome.latencies_ns.empty()) {
    std::ranges::sort(outcome.latencies_ns);
    const auto at = [&](double share) {
      const auto last = static_cast<double>(outcome.latencies_ns.size() - 1);
      return static_cast<double>(outcome.latencies_ns[static_cast<std::size_t>(share * last)]) /
             1e3;
    };
    json["p50_us"] = at(0.5);
    json["p99_us"] = at(0.99);
    json["p999_us"] = at(0.999);
    json["max_us"] = at(1);
  }
  std::cout << json.dump() << '\n';
}

void add_append(CLI::App& app) {
  auto work = std::make_shared<AppendWork>();
  CLI::App* command = app.add_subcommand("append", "append lines");
  command->add_option("directory", work->directory)->required();
  command->add_option("--writers", work->writers)->check(CLI::Range(1, 256));
  command->add_option("--count", work->count);
  command->add_option("--size", work->size_bytes)->check(CLI::Range(1, 1 << 20));
  command->add_option("--pause-us", work->pause_us);
  command->add_flag("--one-file", work->one_file);
  command->add_flag("--sync-each", work->sync_each);
  command->add_flag("--latencies", work->latencies);
  command->callback([work] { print(append(*work)); });
}

void add_stream(CLI::App& app) {
  auto work = std::make_shared<StreamWork>();
  CLI::App* command = app.add_subcommand("stream", "write one large log");
  command->add_option("file", work->file)->required();
  command->add_option("--size", work->size_bytes)->required();
  command->add_option("--block", work->block_bytes)->check(CLI::Range(1, 64 << 20));
  command->add_option("--seed", work->seed);
  command->callback([work] { print(stream(*work)); });
}

void add_read(CLI::App& app) {
  auto work = std::make_shared<ReadWork>();
  CLI::App* command = app.add_subcommand("read", "read a file whole, or blocks here and there");
  command->add_option("file", work->file)->required();
  command->add_option("--block", work->block_bytes)->check(CLI::Range(1, 64 << 20));
  command->add_option("--random", work->random_count);
  command->add_option("--seed", work->seed);
  command->callback([work] { print(read(*work)); });
}

void add_names(CLI::App& app, const char* name, Outcome (*run)(const NamesWork&)) {
  auto work = std::make_shared<NamesWork>();
  CLI::App* command = app.add_subcommand(name, "empty or small files");
  command->add_option("directory", work->directory)->required();
  command->add_option("--count", work->count);
  command->add_option("--size", work->size_bytes)->check(CLI::Range(0, 1 << 20));
  command->add_option("--suffix", work->suffix);
  command->callback([work, run] { print(run(*work)); });
}

void add_follow(CLI::App& app) {
  auto work = std::make_shared<TailWork>();
  CLI::App* command = app.add_subcommand("follow", "from write to a reader that follows");
  command->add_option("file", work->file)->required();
  command->add_option("--lines", work->lines);
  command->callback([work] { print(follow(*work)); });
}

int run(int argc, char** argv) {
  CLI::App app("the work that tools/bench measures");
  app.require_subcommand(1);
  add_append(app);
  add_stream(app);
  add_read(app);
  add_names(app, "create", create_names);
  add_names(app, "rename", rename_names);
  add_names(app, "unlink", unlink_names);
  add_follow(app);
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace
}  // namespace amberfs::benchmark

int main(int argc, char** argv) {
  return amberfs::benchmark::run(argc, argv);
}
