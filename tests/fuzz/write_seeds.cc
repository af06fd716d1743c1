// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/log.h"
#include "tests/fuzz/fuzz_target.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace amberfs::fuzz {

bool write_seeds(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  bool good = !error;
  int count = 0;
  add_seeds([&](const Bytes& seed) {
    std::ofstream file(directory + "/seed-" + std::to_string(count++), std::ios::binary);
    file.write(seed.data(), static_cast<std::streamsize>(seed.size())).flush();
    good = good && file.good();
  });
  std::printf("%d seeds in %s%s\n", count, directory.c_str(), good ? "" : ": could not be written");
  return good && count > 0;
}

void silence_log() {
  set_log_level(LogLevel::kError);
}

}  // namespace amberfs::fuzz
