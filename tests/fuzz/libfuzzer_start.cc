// SPDX-License-Identifier: Apache-2.0
// NAME_fuzz --write-seeds DIR: writes the target's seeds, and ends.
#include "tests/fuzz/fuzz_target.h"

#include <string_view>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  amberfs::fuzz::silence_log();
  if (*argc == 3 && std::string_view((*argv)[1]) == "--write-seeds") {
    std::exit(amberfs::fuzz::write_seeds((*argv)[2]) ? 0 : 1);
  }
  return 0;
}
