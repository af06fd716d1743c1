// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_writer.h"

#include "blockstore/base/log.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_scan.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace amberfs {
namespace {

PackId new_pack_id() {
  PackId id;
  const Bytes random = random_bytes(id.size());
  std::copy(random.begin(), random.end(), id.begin());
  return id;
}

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

Status write_header(Io& io, File& file, const std::string& packs_directory, const PackId& id,
                    std::uint32_t version) {
  const std::uint32_t flags = version == kPackVersionEncrypted ? kPackEncryptedFlag : 0;
  TRY(file.pwrite(
      encode_pack_header({.id = id, .version = version, .flags = flags, .created_ns = now_ns()}),
      0));
  TRY(file.sync_data());
  TRY(io.sync_directory(packs_directory + "/" + pack_directory(id)));
  return io.sync_directory(packs_directory);
}

class FrameLister final : public FrameVisitor {
 public:
  Status on_frame(const FrameSpot& spot, ByteView) override {
    frames.push_back(spot);
    return ok();
  }
  Status on_gap(const FrameGap&) override { return ok(); }  // verify names it; the rest is listed

  std::vector<FrameSpot> frames;
};

}  // namespace

PackWriter::PackWriter(std::unique_ptr<File> file, const PackId& id, std::uint64_t length)
    : file_(std::move(file)), id_(id), resumed_at_(length), length_(length) {}

Result<std::unique_ptr<PackWriter>> PackWriter::create(Io& io, const std::string& packs_directory,
                                                       std::uint32_t version) {
  const PackId id = new_pack_id();
  TRY(io.make_directory(packs_directory + "/" + pack_directory(id)));
  const std::string path = packs_directory + "/" + pack_file_name(id);
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kCreateNew));
  if (Status written = write_header(io, *file, packs_directory, id, version); !written) {
    // Nothing was stored in it, and the index does not know it.
    if (Status removed = io.unlink(path); !removed) {
      log_warning("a new pack could not be removed: {}", removed.error().to_string());
    }
    return fail(std::move(written).error());
  }
  return std::unique_ptr<PackWriter>(new PackWriter(std::move(file), id, kPackHeaderSize));
}

Result<std::unique_ptr<PackWriter>> PackWriter::resume(Io& io, const std::string& packs_directory,
                                                       const PackId& id, std::uint64_t length,
                                                       const FrameCipher& frames) {
  TRY_ASSIGN(auto file, io.open(packs_directory + "/" + pack_file_name(id), OpenMode::kReadWrite));
  TRY(check_pack_header(*file, id, frames));
  TRY_ASSIGN(std::uint64_t size, file->size());
  if (size < length) {
    return fail(Errc::kCorrupt, 0, "pack is shorter than what was published", file->path());
  }
  std::unique_ptr<PackWriter> writer(new PackWriter(std::move(file), id, length));
  writer->has_tail_ = size > length;
  return writer;
}

Status PackWriter::cut_tail() {
  if (!has_tail_) return ok();
  TRY(file_->truncate(length_));
  TRY(file_->sync_data());
  has_tail_ = false;
  return ok();
}

Status PackWriter::check_whole() const {
  if (broken_) return fail(Errc::kBroken, 0, "write pack after a failure", file_->path());
  return ok();
}

Status PackWriter::keep_outcome(Status status) {
  if (!status) broken_ = true;
  return status;
}

Result<std::uint64_t> PackWriter::append(const FrameHeader& header, ByteView raw_header,
                                         ByteView stored) {
  TRY(check_whole());
  TRY(keep_outcome(cut_tail()));
  const std::array parts{raw_header, stored};
  TRY(keep_outcome(file_->pwritev(parts, length_)));
  const std::uint64_t offset = length_;
  frames_.push_back({offset, header});
  length_ += raw_header.size() + stored.size();
  return offset;
}

Status PackWriter::sync() {
  TRY(check_whole());
  return keep_outcome(file_->sync_data());
}

Status PackWriter::list_earlier_frames() {
  if (resumed_at_ == kPackHeaderSize) return ok();
  FrameLister lister;
  TRY(scan_frames(*file_, id_, {.begin = kPackHeaderSize, .end = resumed_at_}, lister));
  frames_.insert(frames_.begin(), lister.frames.begin(), lister.frames.end());
  return ok();
}

Status PackWriter::seal() {
  TRY(check_whole());
  TRY(keep_outcome(cut_tail()));
  TRY(sync());
  TRY(keep_outcome(list_earlier_frames()));
  const Bytes footer = encode_footer(id_, frames_, length_);
  TRY(keep_outcome(file_->pwrite(footer, length_)));
  TRY(keep_outcome(file_->sync_data()));
  length_ += footer.size();
  return ok();
}

Status PackWriter::close() {
  return file_->close();
}

Status PackWriter::cut_off(std::uint64_t length) {
  broken_ = true;
  TRY_ASSIGN(std::uint64_t size, file_->size());
  return size > length ? file_->truncate(length) : ok();
}

}  // namespace amberfs
