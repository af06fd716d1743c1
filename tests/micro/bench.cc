// SPDX-License-Identifier: Apache-2.0
#include "tests/micro/bench.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace amberfs::micro {
namespace {

std::atomic<bool> failed{false};

}  // namespace

void skip_with(benchmark::State& state, const Error& error) {
  failed = true;
  state.SkipWithError(error.to_string().c_str());
}

bool any_failed() {
  return failed;
}

Result<BenchDir> BenchDir::make() {
  std::error_code no_temp;
  const char* given = std::getenv("AMBERFS_BENCH_DIR");
  const std::filesystem::path parent =
      given != nullptr ? given : std::filesystem::temp_directory_path(no_temp);
  if (no_temp) {
    return fail(errc_for(no_temp.value()), no_temp.value(),
                "find the directory of temporary files");
  }
  std::string path = (parent / "amberfs-micro-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) {
    return fail(errc_for(errno), errno, "make a directory for a benchmark", path);
  }
  return BenchDir(std::move(path));
}

BenchDir::~BenchDir() {
  if (path_.empty()) return;
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (!error) return;
  failed = true;
  std::fprintf(stderr, "%s stays: %s\n", path_.c_str(), error.message().c_str());
}

}  // namespace amberfs::micro
