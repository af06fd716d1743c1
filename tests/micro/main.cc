// SPDX-License-Identifier: Apache-2.0
// amberfs-micro: runs the micro-benchmarks. All options are those of Google Benchmark (--help).
// Unlike its own main, this one ends with 1 when a benchmark was skipped with an error.
#include "tests/micro/bench.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const bool any_ran = benchmark::RunSpecifiedBenchmarks() > 0;
  benchmark::Shutdown();
  return any_ran && !amberfs::micro::any_failed() ? 0 : 1;
}
