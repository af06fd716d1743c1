// SPDX-License-Identifier: Apache-2.0
// Work on the bytes of files.
#include "tools/benchmark/log_text.h"
#include "tools/benchmark/system_call.h"
#include "tools/benchmark/work.h"

#include <sys/stat.h>

#include <algorithm>
#include <barrier>
#include <memory>
#include <optional>
#include <random>
#include <thread>

namespace amberfs::benchmark {
namespace {

constexpr std::size_t kLinesSize = std::size_t{1} << 20;

std::string file_of(const AppendWork& work, unsigned writer) {
  return fmt::format("{}/append-{}.log", work.directory, work.one_file ? 0 : writer);
}

// The share of one writer; its latencies go to `latencies` when they are wanted.
void append_lines(const AppendWork& work, int fd, std::string_view lines,
                  std::vector<std::uint64_t>& latencies) {
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < work.count / work.writers; ++i) {
    if (at + work.size_bytes > lines.size()) at = 0;
    std::optional<Stopwatch> watch;
    if (work.latencies) watch.emplace();
    write_all(fd, lines.data() + at, work.size_bytes);
    if (work.sync_each) checked(::fdatasync(fd), "fdatasync");
    if (watch) latencies.push_back(watch->nanoseconds());
    at += work.size_bytes;
    if (work.pause_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(work.pause_us));
  }
}

}  // namespace

Outcome append(const AppendWork& work) {
  std::vector<std::unique_ptr<Descriptor>> files;
  std::vector<std::string> lines;
  std::vector<std::vector<std::uint64_t>> latencies(work.writers);
  for (unsigned i = 0; i < work.writers; ++i) {
    files.push_back(std::make_unique<Descriptor>(file_of(work, i), O_WRONLY | O_CREAT | O_APPEND));
    lines.emplace_back(LogText(i + 1, kLinesSize).next(kLinesSize));
  }
  std::barrier start(static_cast<std::ptrdiff_t>(work.writers) + 1);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < work.writers; ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      append_lines(work, files[i]->get(), lines[i], latencies[i]);
    });
  }
  start.arrive_and_wait();
  const Stopwatch watch;
  for (std::thread& thread : threads) thread.join();
  Outcome outcome{watch.seconds(), work.count, work.count * work.size_bytes, {}};
  for (const auto& of_writer : latencies) {
    outcome.latencies_ns.insert(outcome.latencies_ns.end(), of_writer.begin(), of_writer.end());
  }
  return outcome;
}

Outcome stream(const StreamWork& work) {
  LogText text(work.seed);
  const Descriptor file(work.file, O_WRONLY | O_CREAT | O_TRUNC);
  const Stopwatch watch;
  std::uint64_t written = 0;
  while (written < work.size_bytes) {
    const std::size_t size = std::min<std::uint64_t>(work.block_bytes, work.size_bytes - written);
    write_all(file.get(), text.next(size).data(), size);
    written += size;
  }
  if (work.sync) checked(::fsync(file.get()), "fsync");
  return {watch.seconds(), written / work.block_bytes, written, {}};
}

Outcome read(const ReadWork& work) {
  const Descriptor file(work.file, O_RDONLY);
  struct ::stat st {};
  checked(::fstat(file.get(), &st), "fstat");
  const auto size = static_cast<std::uint64_t>(st.st_size);
  std::string buffer(work.block_bytes, '\0');
  std::mt19937_64 random(work.seed);
  Outcome outcome;
  const Stopwatch watch;
  while (work.random_count == 0 || outcome.operations < work.random_count) {
    ssize_t got = 0;
    if (work.random_count == 0) {
      got = checked(::read(file.get(), buffer.data(), buffer.size()), "read");
      if (got == 0) break;
    } else {
      const std::uint64_t block = random() % (size / work.block_bytes);
      got = checked(::pread(file.get(), buffer.data(), buffer.size(),
                            static_cast<off_t>(block * work.block_bytes)),
                    "pread");
    }
    outcome.bytes += static_cast<std::uint64_t>(got);
    ++outcome.operations;
  }
  outcome.seconds = watch.seconds();
  if (work.random_count == 0 && outcome.bytes != size) die("read: not all of " + work.file);
  return outcome;
}

}  // namespace amberfs::benchmark
