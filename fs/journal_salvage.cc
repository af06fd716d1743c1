// SPDX-License-Identifier: Apache-2.0
#include "fs/journal_salvage.h"

#include "blockstore/base/log.h"
#include "fs/journal_reader.h"

#include <algorithm>

namespace amberfs {
namespace {

Status copy_records(const SegmentPtr& bad, std::uint64_t end, File& target) {
  RecordReader reader(bad);
  std::uint64_t offset = SegmentHeader::kRecordsOffset;
  while (offset < end) {
    TRY_ASSIGN(const std::optional<RecordView> record, reader.read(offset));
    if (!record || record->end > end) {
      return fail(Errc::kJournalDamaged, 0, "rewrite a journal segment: a record was lost",
                  bad->file->path() + " at offset " + std::to_string(offset));
    }
    TRY(target.pwrite(record->raw, offset));
    offset = record->end;
  }
  return ok();
}

Status fill(const SegmentPtr& bad, std::uint64_t end, File& target) {
  TRY(target.truncate(0));
  TRY(target.allocate(0, bad->size_bytes));
  // The header as it was: the records carry its salt.
  Bytes header(SegmentHeader::kSize, '\0');
  TRY(bad->file->pread_exact(header.data(), header.size(), 0));
  TRY_ASSIGN(const SegmentHeader known, decode_segment_header(header));
  if (known.salt != bad->salt || known.number != bad->number) {
    return fail(Errc::kJournalDamaged, 0, "rewrite a journal segment: its header was lost",
                bad->file->path());
  }
  TRY(target.pwrite(header, 0));
  TRY(copy_records(bad, end, target));
  return target.sync_data();
}

Status write_beside(Io& io, const std::string& path, const SegmentPtr& bad, std::uint64_t end) {
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kCreateNew));
  TRY(fill(bad, end, *file));
  return file->close();
}

}  // namespace

std::uint64_t readable_end(const SegmentPtr& segment) {
  RecordReader reader(segment);
  std::uint64_t offset = SegmentHeader::kRecordsOffset;
  while (true) {
    const Result<std::optional<RecordView>> record = reader.read(offset);
    if (!record || !*record) return offset;
    offset = (*record)->end;
  }
}

Result<std::uint64_t> used_size(const Segment& segment) {
  Bytes part(kMiB, '\0');
  std::uint64_t end = segment.size_bytes;
  while (end > 0) {
    const std::uint64_t begin = (end - 1) / kMiB * kMiB;
    TRY_ASSIGN(const std::size_t got, segment.file->pread_some(part.data(), end - begin, begin));
    const std::size_t last = ByteView(part).substr(0, got).find_last_not_of('\0');
    if (last != ByteView::npos) return begin + last + 1;
    end = begin;
  }
  return 0;
}

Status copy_segment(Io& io, const Segment& segment, const std::string& path) {
  TRY_ASSIGN(const std::uint64_t used, used_size(segment));
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kCreateNew));
  Bytes part(kMiB, '\0');
  for (std::uint64_t at = 0; at < used; at += kMiB) {
    const std::uint64_t size = std::min<std::uint64_t>(kMiB, used - at);
    TRY_ASSIGN(const std::size_t got, segment.file->pread_some(part.data(), size, at));
    TRY(file->pwrite(ByteView(part).substr(0, got), at));
  }
  TRY(file->sync_data());
  return file->close();
}

Result<SegmentPtr> rewrite_segment(Io& io, const std::string& directory, const SegmentPtr& bad,
                                   std::uint64_t end) {
  const std::string path = directory + "/" + segment_file_name(bad->number);
  const std::string beside = path + ".new";  // no name of a segment: nobody takes it for one
  TRY_ASSIGN(const bool left_over, io.exists(beside));
  if (left_over) TRY(io.unlink(beside));
  Status status = write_beside(io, beside, bad, end);
  if (status) status = io.rename(beside, path);
  if (status) status = io.sync_directory(directory);
  if (!status) {
    if (auto gone = io.unlink(beside); !gone && gone.error().sys_errno != ENOENT) {
      log_warning("journal: {} is left behind: {}", beside, gone.error().to_string());
    }
    return fail(std::move(status).error());
  }
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kReadWrite));
  return std::make_shared<const Segment>(
      Segment{bad->number, bad->salt, bad->size_bytes, true, bad->sealed, std::move(file)});
}

}  // namespace amberfs
