// SPDX-License-Identifier: Apache-2.0
#include "snapshot/chain_file.h"

#include "blockstore/base/coding.h"
#include "blockstore/base/hash.h"

#include <cstring>

namespace amberfs {
namespace {

constexpr std::uint32_t kHeaderMagic = 0x48434241;  // "ABCH"
constexpr std::uint32_t kRecordMagic = 0x4b4c4241;  // "ABLK"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kRecordSize = 256;  // of the header, too
constexpr std::size_t kSummed = kRecordSize - sizeof(std::uint64_t);
constexpr std::uint64_t kFileSizeMax = kGiB;  // four million links

Bytes finish_record(Encoder encoder) {
  Bytes record = std::move(encoder).take();
  record.resize(kSummed, '\0');
  char checksum[sizeof(std::uint64_t)];
  store_le(checksum, xxh3(record));
  return record.append(checksum, sizeof checksum);
}

bool is_whole(ByteView record) {
  return record.size() == kRecordSize &&
         load_le<std::uint64_t>(record.data() + kSummed) == xxh3(record.substr(0, kSummed));
}

Bytes encode_header(const PublicKey& first_key) {
  Encoder encoder;
  encoder.u32(kHeaderMagic).u32(kVersion).bytes(first_key.view());
  return finish_record(std::move(encoder));
}

Bytes encode_record(const Link& link) {
  Encoder encoder;
  encoder.u32(kRecordMagic).u32(0).bytes(encode_link(link));
  return finish_record(std::move(encoder));
}

// Nothing for a record that is damaged; kNewerFormat.
Result<std::optional<Link>> decode_record(ByteView record) {
  if (!is_whole(record)) return std::nullopt;
  Decoder decoder(record);
  if (decoder.u32() != kRecordMagic || decoder.u32() != 0) return std::nullopt;
  auto link = decode_link(decoder.bytes(kLinkSize));
  if (link) return *std::move(link);
  if (link.error().code == Errc::kNewerFormat) return fail(std::move(link).error());
  return std::nullopt;
}

std::uint64_t place_of(std::uint64_t number) {
  return number * kRecordSize;  // the header takes the place of link 0
}

Result<PublicKey> decode_header(ByteView header, const std::string& path) {
  Decoder decoder(header);
  const std::uint32_t magic = decoder.u32();
  const std::uint32_t version = decoder.u32();
  if (magic == kHeaderMagic && version > kVersion) {
    return fail(Errc::kNewerFormat, 0, "read the chain of snapshots", path);
  }
  if (!is_whole(header) || magic != kHeaderMagic || version != kVersion) {
    return fail(Errc::kCorrupt, 0, "read the chain of snapshots: its header is damaged", path);
  }
  PublicKey key;
  std::memcpy(key.bytes.data(), decoder.bytes(PublicKey::kSize).data(), PublicKey::kSize);
  return key;
}

}  // namespace

Status ChainFile::create(Io& io, const std::string& path, const PublicKey& first_key) {
  return io.replace_file(path, encode_header(first_key));
}

Result<ChainFile> ChainFile::open(Io& io, const std::string& path) {
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kRead));
  Bytes record(kRecordSize, '\0');
  TRY_ASSIGN(const std::size_t got, file->pread_some(record.data(), record.size(), 0));
  TRY_ASSIGN(const PublicKey first_key, decode_header(ByteView(record).substr(0, got), path));
  ChainFile chain(io, path, first_key);
  chain.end_ = ChainEnd::before_first(first_key);
  TRY_ASSIGN(const std::uint64_t size, file->size());
  if (size > kFileSizeMax) {
    return fail(Errc::kCorrupt, 0, "read the chain of snapshots: larger than any chain", path);
  }
  for (std::uint64_t number = size / kRecordSize - 1; number > 0; --number) {
    TRY(file->pread_exact(record.data(), record.size(), place_of(number)));
    TRY_ASSIGN(const auto link, decode_record(record));
    // A record at the wrong place is none: it was put there by hand.
    if (!link || link->number != number) continue;
    chain.end_ = ChainEnd::after(*link);
    break;
  }
  return chain;
}

Status ChainFile::append(const Link& link) {
  end_ = ChainEnd::after(link);
  const bool suspect = !unwritten_.empty();
  unwritten_.push_back(link);
  TRY(suspect ? append_by_replacing() : append_in_place(link));
  unwritten_.clear();
  return ok();
}

Status ChainFile::append_in_place(const Link& link) {
  TRY_ASSIGN(auto file, io_->open(path_, OpenMode::kReadWrite));
  TRY(file->pwrite(encode_record(link), place_of(link.number)));
  TRY(file->sync_data());
  return file->close();
}

Status ChainFile::append_by_replacing() {
  TRY_ASSIGN(Bytes bytes, io_->read_file(path_, kFileSizeMax));
  bytes.resize(place_of(unwritten_.front().number), '\0');
  for (const Link& link : unwritten_) bytes += encode_record(link);
  return io_->replace_file(path_, bytes);
}

Result<ChainFile::Records> ChainFile::read_all() {
  TRY_ASSIGN(const Bytes bytes, io_->read_file(path_, kFileSizeMax));
  Records records;
  ByteView rest = bytes;
  rest.remove_prefix(std::min(rest.size(), kRecordSize));
  for (; rest.size() >= kRecordSize; rest.remove_prefix(kRecordSize)) {
    TRY_ASSIGN(auto link, decode_record(rest.substr(0, kRecordSize)));
    records.links.push_back(std::move(link));
  }
  records.odd_bytes = rest.size();
  return records;
}

Status ChainFile::replace(std::span<const Link> links) {
  Bytes bytes = encode_header(first_key_);
  for (const Link& link : links) bytes += encode_record(link);
  TRY(io_->replace_file(path_, bytes));
  unwritten_.clear();
  end_ = links.empty() ? ChainEnd::before_first(first_key_) : ChainEnd::after(links.back());
  return ok();
}

}  // namespace amberfs
