// SPDX-License-Identifier: Apache-2.0
// config.toml and the options of mount: any text is a configuration within its bounds, or refused
// with a message. What is accepted never asks for more than a machine has in a way that nobody set.
#include "fs/config.h"
#include "fs/fuse/fuse_mount.h"
#include "tests/fuzz/fuzz_target.h"

#include <bit>

namespace amberfs {
namespace {

using fuzz::require;

void check(const Config& config) {
  require(config.format_version <= Config::kFormatVersion);
  require(std::has_single_bit(config.chunker.size_average));
  require(config.chunker.size_min <= config.chunker.size_average);
  require(config.chunker.size_average <= config.chunker.size_max);
  require(config.chunker.size_max <= Blocks::kBlockSizeMax);
  require(config.journal.segment_size_bytes >= Journal::kBatchSizeMax);
  require(config.blocks.cache_size_bytes <= config.memory_bytes / 2);
  Config fitted = config;
  fit_to_disk(fitted, 8 * kMiB);
  require(fitted.journal.segment_size_bytes > 0 && fitted.commit_journal_bytes > 0);
  for (const std::string& glob : config.exact_globs) {
    (void)matches_glob(glob, "var/log/nginx/access.log");
  }
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  add(default_config_text(std::string(32, 'a')));
  add("[store]\nformat = 1\n[chunking]\naverage = \"64KiB\"\nmin = \"1KiB\"\nmax = \"4MiB\"\n");
  add("[store]\nformat = 1\n[capture]\nexact = [\"a/**/b?*\", \"*.log\"]\n[gc]\nevery = \"off\"\n");
  add("ro,show_snapshots,snapshots=root,noatime,max_read=65536,x-systemd.automount");
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size > 64 * kKiB) return 0;
  const ByteView input = fuzz::as_bytes(data, size);
  if (const auto config = parse_config(input, "config.toml")) check(*config);
  (void)parse_size(input);
  (void)parse_duration_s(input);
  MountOptions options;
  (void)parse_mount_options(std::string(input), options).has_value();
  return 0;
}
