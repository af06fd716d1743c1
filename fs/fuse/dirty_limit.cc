// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/dirty_limit.h"

#include "blockstore/base/bytes.h"
#include "blockstore/base/log.h"

#include <algorithm>
#include <fstream>
#include <optional>

namespace amberfs {
namespace {

constexpr std::uint64_t kDirtyMin = 1 * kMiB;
constexpr std::uint64_t kDirtyMax = 32 * kMiB;
// Where the kernel does not say: what it allows a FUSE mount on a machine with 24 GiB.
constexpr std::uint64_t kUnknown = 48 * kMiB;

std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

bool write_number(const std::string& path, std::uint64_t value) {
  std::ofstream file(path);
  file << value << std::flush;
  return file.good();
}

}  // namespace

std::uint64_t dirty_max_for(std::uint64_t disk_total_bytes) {
  return std::clamp(disk_total_bytes / 64, kDirtyMin, kDirtyMax);
}

std::uint64_t limit_dirty_bytes(const std::string& device, std::uint64_t wanted) {
  const std::string directory = "/sys/class/bdi/" + device;
  const auto before = read_number(directory + "/max_bytes");
  if (!before) return std::max(wanted, kUnknown);
  // Strict: this mount's own pages count, also while the machine as a whole has few dirty ones.
  const bool strict = write_number(directory + "/strict_limit", 1);
  const bool set = *before <= wanted || write_number(directory + "/max_bytes", wanted);
  if (!strict || !set) {
    log_info("the kernel's limit of dirty pages stays as it is: {} bytes", *before);
  }
  return std::max(wanted, read_number(directory + "/max_bytes").value_or(kUnknown));
}

}  // namespace amberfs
