// SPDX-License-Identifier: Apache-2.0
// The work that tools/bench has each file system do. Every kind measures only itself: what has to
// be there before is made outside the time that is reported.
// Errors: a failed call ends the program with a message and exit code 3; no figure is printed then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace amberfs::benchmark {

struct AppendWork {
  std::string directory;
  unsigned writers = 1;
  bool one_file = false;          // all writers append to the same file
  std::uint64_t count = 100'000;  // of writes, by all writers together
  std::size_t size_bytes = 150;
  bool sync_each = false;      // fdatasync after each write
  std::uint64_t pause_us = 0;  // between two writes of a writer
  bool latencies = false;      // time each write
};

struct StreamWork {
  std::string file;
  std::uint64_t size_bytes = 0;
  std::size_t block_bytes = 1 << 20;
  bool sync = true;
  std::uint64_t seed = 1;
};

struct ReadWork {
  std::string file;
  std::size_t block_bytes = 1 << 20;
  std::uint64_t random_count = 0;  // 0: the whole file, front to back
  std::uint64_t seed = 1;
};

struct NamesWork {
  std::string directory;
  std::uint64_t count = 100'000;
  std::uint64_t per_directory = 1'000;
  std::size_t size_bytes = 0;  // of a created file
  std::string suffix = "1";    // of the names that are unlinked: "log", or "1" after a rename
};

struct TailWork {
  std::string file;
  unsigned lines = 300;
  std::uint64_t pause_us = 5'000;
};

struct Outcome {
  double seconds = 0;
  std::uint64_t operations = 0;
  std::uint64_t bytes = 0;
  std::vector<std::uint64_t> latencies_ns;  // empty when not asked for
};

Outcome append(const AppendWork& work);
Outcome stream(const StreamWork& work);
Outcome read(const ReadWork& work);
Outcome create_names(const NamesWork& work);
Outcome rename_names(const NamesWork& work);
Outcome unlink_names(const NamesWork& work);
Outcome follow(const TailWork& work);

}  // namespace amberfs::benchmark
