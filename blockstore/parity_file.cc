// SPDX-License-Identifier: Apache-2.0
#include "blockstore/parity_file.h"

#include "blockstore/base/coding.h"

#include <algorithm>
#include <optional>

namespace amberfs {
namespace {

constexpr std::uint64_t kShardsAtOnce = 64;

// nullopt where it cannot be read or is none; an error when it is of a newer version.
Result<std::optional<ParityHeader>> read_header(File& file, std::uint64_t offset) {
  Bytes raw(kParityHeaderSize, '\0');
  if (!file.pread_exact(raw.data(), raw.size(), offset)) return std::nullopt;
  auto header = decode_parity_header(raw);
  if (!header && header.error().code == Errc::kNewerFormat) {
    header.error().object = file.path();
    return fail(std::move(header).error());
  }
  if (!header) return std::nullopt;
  return std::optional(*header);
}

}  // namespace

void ShardRun::read(File& file, std::uint64_t offset, std::uint64_t count, std::uint64_t end) {
  bytes.assign(count * shard_size, '\0');
  readable.assign(count, true);
  const std::uint64_t wanted =
      offset >= end ? 0 : std::min<std::uint64_t>(bytes.size(), end - offset);
  if (wanted == 0) return;
  const auto got = file.pread_some(bytes.data(), wanted, offset);
  if (got && *got == wanted) return;
  // One bad sector, or the end of a file that was cut short, must not hide the rest.
  std::ranges::fill(bytes, '\0');
  for (std::uint64_t i = 0; i * shard_size < wanted; ++i) {
    const std::uint64_t begin = i * shard_size;
    const std::uint64_t size = std::min<std::uint64_t>(shard_size, wanted - begin);
    const auto part = file.pread_some(bytes.data() + begin, size, offset + begin);
    readable[i] = part && *part == size;
  }
}

Result<ParityFile> ParityFile::open(Io& io, const std::string& packs_directory, const PackId& id,
                                    std::uint64_t pack_size) {
  TRY_ASSIGN(auto file, io.open(packs_directory + "/" + parity_file_name(id), OpenMode::kRead));
  ParityFile parity(std::move(file));
  TRY(parity.read_headers(id, pack_size));
  const ParityGeometry& geometry = parity.geometry();
  parity.read_table(kParityHeaderSize, parity.tables_[0]);
  parity.read_table(geometry.second_table_offset(), parity.tables_[1]);
  return parity;
}

Status ParityFile::read_headers(const PackId& id, std::uint64_t pack_size) {
  TRY_ASSIGN(const std::uint64_t size, file_->size());
  const std::uint64_t end = size - std::min<std::uint64_t>(size, kParityHeaderSize);
  TRY_ASSIGN(auto first, read_header(*file_, 0));
  TRY_ASSIGN(auto second, read_header(*file_, end));
  const auto fits = [&](const auto& header) {
    return header && header->pack == id && header->geometry.pack_size == pack_size;
  };
  if (!fits(first) && !fits(second)) {
    return fail(Errc::kCorrupt, 0,
                first || second ? "parity is not of this pack" : "parity has no valid header",
                file_->path());
  }
  header_ = fits(first) ? *first : *second;
  if (first != header_) damaged_.push_back({0, kParityHeaderSize, "first header is not valid"});
  if (size != geometry().file_size()) {
    damaged_.push_back({std::min(size, geometry().file_size()), 0, "parity file has a wrong size"});
  } else if (second != header_) {
    damaged_.push_back({end, kParityHeaderSize, "second header is not valid"});
  }
  return ok();
}

void ParityFile::read_table(std::uint64_t offset, Bytes& table) {
  table.assign(geometry().table_size(), '\0');
  const auto got = file_->pread_some(table.data(), table.size(), offset);
  if (!got || *got != table.size() || xxh3(table) != header_.table_checksum) {
    damaged_.push_back({offset, table.size(), "checksums of the shards are damaged"});
  }
}

bool ParityFile::matches(std::uint64_t shard, ByteView bytes) const {
  const std::uint64_t found = xxh3(bytes);
  return std::ranges::any_of(tables_, [&](const Bytes& table) {
    return load_le<std::uint64_t>(table.data() + shard * sizeof found) == found;
  });
}

void ParityFile::read_row(unsigned parity_row, std::uint64_t first, std::uint64_t count,
                          ShardRun& run) {
  const std::uint64_t offset =
      geometry().rows_offset() + geometry().row_size() * parity_row + first * geometry().shard_size;
  run.read(*file_, offset, count, geometry().second_table_offset());
}

std::vector<FileRange> ParityFile::check(Pace& pace) {
  std::vector<FileRange> damaged = damaged_;
  const ParityGeometry& geometry = header_.geometry;
  ShardRun run(geometry.shard_size);
  for (unsigned row = 0; row < geometry.parity_rows; ++row) {
    for (std::uint64_t column = 0; column < geometry.columns(); column += kShardsAtOnce) {
      const std::uint64_t count = std::min(kShardsAtOnce, geometry.columns() - column);
      read_row(row, column, count, run);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t in_rows = geometry.columns() * row + column + i;
        if (run.readable[i] && matches(geometry.data_shards() + in_rows, run.shard(i))) continue;
        damaged.push_back({geometry.rows_offset() + in_rows * geometry.shard_size,
                           geometry.shard_size, "parity does not match its checksum"});
      }
      if (!pace.took(run.bytes.size())) return damaged;
    }
  }
  return damaged;
}

}  // namespace amberfs
