// SPDX-License-Identifier: Apache-2.0
// Work on names: many empty or small files in directories of a thousand.
#include "tools/benchmark/system_call.h"
#include "tools/benchmark/work.h"

#include <sys/stat.h>

#include <functional>

namespace amberfs::benchmark {
namespace {

std::string directory_of(const NamesWork& work, std::uint64_t number) {
  return fmt::format("{}/d{:05}", work.directory, number / work.per_directory);
}

std::string name_of(const NamesWork& work, std::uint64_t number, const char* suffix) {
  return fmt::format("{}/file-{:07}.{}", directory_of(work, number), number, suffix);
}

Outcome for_each_name(const NamesWork& work, const std::function<void(std::uint64_t)>& run) {
  const Stopwatch watch;
  for (std::uint64_t i = 0; i < work.count; ++i) run(i);
  return {watch.seconds(), work.count, 0, {}};
}

}  // namespace

Outcome create_names(const NamesWork& work) {
  for (std::uint64_t i = 0; i < work.count; i += work.per_directory) {
    const std::string directory = directory_of(work, i);
    checked(::mkdir(directory.c_str(), 0755), "mkdir " + directory);
  }
  const std::string line(work.size_bytes, 'x');
  return for_each_name(work, [&](std::uint64_t number) {
    const Descriptor file(name_of(work, number, "log"), O_WRONLY | O_CREAT | O_EXCL);
    if (!line.empty()) write_all(file.get(), line.data(), line.size());
  });
}

Outcome rename_names(const NamesWork& work) {
  return for_each_name(work, [&](std::uint64_t number) {
    const std::string from = name_of(work, number, "log");
    const std::string to = name_of(work, number, "1");
    checked(::rename(from.c_str(), to.c_str()), "rename " + from);
  });
}

Outcome unlink_names(const NamesWork& work) {
  return for_each_name(work, [&](std::uint64_t number) {
    const std::string name = name_of(work, number, work.suffix.c_str());
    checked(::unlink(name.c_str()), "unlink " + name);
  });
}

}  // namespace amberfs::benchmark
