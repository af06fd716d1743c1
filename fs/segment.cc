// SPDX-License-Identifier: Apache-2.0
#include "fs/segment.h"

#include "blockstore/base/log.h"

#include <algorithm>
#include <charconv>
#include <chrono>

namespace amberfs {
namespace {

constexpr std::string_view kSuffix = ".wal";
constexpr std::size_t kDigits = 12;

SegmentHeader new_header(std::uint64_t number, std::uint64_t size_bytes, bool sealed) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  SegmentHeader header;
  header.number = number;
  header.size_bytes = size_bytes;
  header.salt = make_salt();
  header.sealed = sealed;
  header.time_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return header;
}

// After an error with a file that is not in use yet: a later attempt starts with another inode, so
// it never builds on one whose sync has failed.
std::unexpected<Error> discard(Io& io, const std::string& path, Error error) {
  if (auto status = io.unlink(path); !status) {
    log_warning("journal: {} is left behind: {}", path, status.error().to_string());
  }
  return fail(std::move(error));
}

Status write_header(File& file, const SegmentHeader& header) {
  TRY(file.pwrite(encode_segment_header(header), 0));
  return file.sync_data();
}

Status fill_new_file(File& file, const SegmentHeader& header) {
  TRY(file.allocate(0, header.size_bytes));
  return write_header(file, header);
}

SegmentPtr make_segment(const SegmentHeader& header, std::unique_ptr<File> file) {
  return std::make_shared<const Segment>(
      Segment{header.number, header.salt, header.size_bytes, true, header.sealed, std::move(file)});
}

Result<SegmentHeader> rewrite_spare(Io& io, const std::string& spare, std::uint64_t number,
                                    bool sealed) {
  TRY_ASSIGN(auto file, io.open(spare, OpenMode::kReadWrite));
  TRY_ASSIGN(const std::uint64_t size, file->size());
  const SegmentHeader header = new_header(number, size, sealed);
  TRY(write_header(*file, header));
  TRY(file->close());
  return header;
}

Status write_zeros(Io& io, const std::string& path, std::uint64_t size_bytes) {
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kCreateNew));
  const Bytes zeros(kMiB, '\0');
  for (std::uint64_t at = 0; at < size_bytes; at += zeros.size()) {
    const std::uint64_t part = std::min<std::uint64_t>(zeros.size(), size_bytes - at);
    TRY(file->pwrite(ByteView(zeros).substr(0, part), at));
  }
  TRY(file->sync_data());
  return file->close();
}

}  // namespace

std::string segment_file_name(std::uint64_t number) {
  return fmt::format("{:0{}}{}", number, kDigits, kSuffix);
}

std::optional<std::uint64_t> parse_segment_file_name(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view digits = name.substr(0, name.size() - kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || number == 0 || segment_file_name(number) != name) return std::nullopt;
  return number;
}

Result<SegmentPtr> open_segment(Io& io, const std::string& path, std::uint64_t number) {
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kReadWrite));
  TRY_ASSIGN(const std::uint64_t size, file->size());
  Bytes raw(SegmentHeader::kSize, '\0');
  TRY_ASSIGN(const std::size_t got, file->pread_some(raw.data(), raw.size(), 0));
  raw.resize(got);
  Result<SegmentHeader> header = decode_segment_header(raw);
  if (!header && header.error().code == Errc::kNewerFormat) {
    return fail(Errc::kNewerFormat, 0, "open journal segment", path);
  }
  const bool valid = header && header->number == number;
  if (valid && size < header->size_bytes) {
    log_warning("journal: {} has {} bytes, it was made with {}", path, size, header->size_bytes);
  }
  return std::make_shared<const Segment>(Segment{number, valid ? header->salt : 0, size, valid,
                                                 valid && header->sealed, std::move(file)});
}

Result<SegmentPtr> create_segment(Io& io, const std::string& directory, std::uint64_t number,
                                  std::uint64_t size_bytes, bool sealed) {
  const std::string path = directory + "/" + segment_file_name(number);
  // What has the name of a segment that was never in use is left from an attempt that failed.
  TRY_ASSIGN(const bool left_over, io.exists(path));
  if (left_over) TRY(io.unlink(path));
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kCreateNew));
  const SegmentHeader header = new_header(number, size_bytes, sealed);
  Status status = fill_new_file(*file, header);
  if (status) status = io.sync_directory(directory);
  if (!status) return discard(io, path, std::move(status).error());
  return make_segment(header, std::move(file));
}

Result<std::uint32_t> write_spares(Io& io, const std::string& directory, std::uint64_t first,
                                   std::uint32_t count, std::uint64_t size_bytes) {
  for (std::uint32_t made = 0; made < count; ++made) {
    const std::string path = directory + "/" + segment_file_name(first + made);
    Status written = write_zeros(io, path, size_bytes);
    if (written) continue;
    TRY(io.unlink(path));
    if (written.error().code == Errc::kNoSpace) return made;
    return fail(std::move(written).error());
  }
  TRY(io.sync_directory(directory));
  return count;
}

Result<SegmentPtr> recycle_segment(Io& io, const std::string& directory, std::uint64_t number,
                                   const std::string& spare, bool sealed) {
  // The header is durable before the name is: under its new name the file never shows its old life.
  Result<SegmentHeader> header = rewrite_spare(io, spare, number, sealed);
  if (!header) return discard(io, spare, std::move(header).error());
  const std::string path = directory + "/" + segment_file_name(number);
  if (auto status = io.rename(spare, path); !status) {
    return discard(io, spare, std::move(status).error());
  }
  Status status = io.sync_directory(directory);
  if (!status) return discard(io, path, std::move(status).error());
  auto file = io.open(path, OpenMode::kReadWrite);
  if (!file) return discard(io, path, std::move(file).error());
  return make_segment(*header, *std::move(file));
}

}  // namespace amberfs
