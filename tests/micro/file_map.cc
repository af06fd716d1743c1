// SPDX-License-Identifier: Apache-2.0
#include "tests/micro/file_map.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

namespace amberfs::micro {
namespace {

constexpr std::uint32_t kFileSizeBytes = 64 * kKiB;
constexpr std::uint32_t kLineSizeBytes = 160;

InodeRecord file_inode(std::uint64_t size_bytes) {
  InodeRecord inode;
  inode.mode = S_IFREG | 0640;
  inode.nlink = 1;
  inode.size_bytes = size_bytes;
  // What a file was written to shows in its times, too.
  inode.mtime = inode.ctime = {static_cast<std::int64_t>(1'795'000'000 + size_bytes), 0};
  return inode;
}

Extent block_extent(std::uint64_t file, std::uint32_t length) {
  Extent extent;
  extent.length = length;
  extent.block = BlockId{sha256(file_name(file))};
  return extent;
}

}  // namespace

Ino file_ino(std::uint64_t file) {
  return kRootIno + 1 + file;
}

Bytes file_name(std::uint64_t file) {
  return fmt::format("app-{:05}.log", file);
}

std::vector<Change> file_entries() {
  std::vector<Change> entries;
  entries.reserve(kEntryCount);
  for (std::uint64_t file = 0; file < kFileCount; ++file) {
    const Ino ino = file_ino(file);
    const Bytes name = file_name(file);
    entries.push_back({dirent_key(kRootIno, name), encode(Dirent{ino, DT_REG})});
    entries.push_back({inode_key(ino), encode(file_inode(kFileSizeBytes))});
    entries.push_back({parent_key(ino, kRootIno, name), Bytes()});
    entries.push_back(
        {extent_key(ino, kFileSizeBytes), encode(block_extent(file, kFileSizeBytes))});
  }
  std::ranges::sort(entries, {}, &Change::key);
  return entries;
}

std::vector<Change> write_changes(std::uint64_t file, std::uint64_t line, ExtentKind kind) {
  const std::uint64_t end = kFileSizeBytes + (line + 1) * kLineSizeBytes;
  Extent extent = block_extent(file, kLineSizeBytes);
  extent.kind = kind;
  if (kind == ExtentKind::kJournal) {
    extent.block = BlockId{};
    extent.segment = 1;
    extent.position = end;
  }
  return {{inode_key(file_ino(file)), encode(file_inode(end))},
          {extent_key(file_ino(file), end), encode(extent)}};
}

}  // namespace amberfs::micro
