// SPDX-License-Identifier: Apache-2.0
#include "snapshot/record_format.h"

namespace amberfs {
namespace {

constexpr std::uint8_t kInodeVersion = 1;
constexpr std::uint8_t kExtentEndsAtCut = 1;
constexpr std::uint32_t kNanosecondsPerSecond = 1'000'000'000;

Encoder key_head(Ino ino, Tag tag) {
  Encoder e;
  e.be64(ino).u8(static_cast<std::uint8_t>(tag));
  return e;
}

std::unexpected<Error> corrupt(const char* what) {
  return fail(Errc::kCorrupt, 0, std::string("read ") + what + ": not a valid record");
}

void encode_time(Encoder& e, const Timestamp& time) {
  e.i64(time.seconds).u32(time.nanoseconds);
}

Timestamp decode_time(Decoder& d) {
  Timestamp time;
  time.seconds = d.i64();
  time.nanoseconds = d.u32();
  return time;
}

}  // namespace

Bytes inode_key(Ino ino) {
  return key_head(ino, Tag::kInode).take();
}

Bytes parent_key(Ino ino, Ino parent, ByteView name) {
  return std::move(key_head(ino, Tag::kParent).be64(parent).bytes(name)).take();
}

Bytes xattr_key(Ino ino, ByteView name) {
  return std::move(key_head(ino, Tag::kXattr).bytes(name)).take();
}

Bytes target_key(Ino ino) {
  return key_head(ino, Tag::kTarget).take();
}

Bytes dirent_key(Ino directory, ByteView name) {
  return std::move(key_head(directory, Tag::kDirent).be64(dirent_cookie(name)).bytes(name)).take();
}

Bytes extent_key(Ino ino, std::uint64_t end) {
  return std::move(key_head(ino, Tag::kExtent).be64(end)).take();
}

Bytes orphan_key(Ino ino) {
  return std::move(key_head(kNoIno, Tag::kOrphan).be64(ino)).take();
}

Bytes evidence_key(Ino ino) {
  return std::move(key_head(kNoIno, Tag::kEvidence).be64(ino)).take();
}

Bytes range_begin(Ino ino, Tag tag) {
  return key_head(ino, tag).take();
}

Bytes range_end(Ino ino, Tag tag) {
  Encoder e;
  e.be64(ino).u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(tag) + 1));
  return std::move(e).take();
}

Bytes dirent_key_after(Ino directory, std::uint64_t cookie) {
  if (cookie == UINT64_MAX) return range_end(directory, Tag::kDirent);
  return std::move(key_head(directory, Tag::kDirent).be64(cookie + 1)).take();
}

std::uint64_t dirent_cookie(ByteView name) {
  constexpr std::uint64_t kMask = (std::uint64_t{1} << 62) - 1;
  const std::uint64_t hash = xxh3(name) & kMask;
  return hash < kFirstCookie ? hash + kFirstCookie : hash;
}

Result<ParsedKey> parse_key(ByteView key) {
  Decoder d(key);
  ParsedKey parsed;
  parsed.ino = d.be64();
  const auto tag = d.u8();
  if (!d.ok()) return corrupt("a key");
  parsed.tag = static_cast<Tag>(tag);
  bool has_number = false;
  bool has_name = false;
  switch (parsed.tag) {
    case Tag::kInode:
    case Tag::kTarget:
      break;
    case Tag::kXattr:
      has_name = true;
      break;
    case Tag::kParent:
    case Tag::kDirent:
      has_number = has_name = true;
      break;
    case Tag::kExtent:
    case Tag::kOrphan:
    case Tag::kEvidence:
      has_number = true;
      break;
    default:
      return corrupt("a key");
  }
  if (has_number) parsed.number = d.be64();
  if (has_name) parsed.name = d.bytes(d.remaining());
  if (!d.done() || parsed.name.size() > kNameSizeMax || (has_name && parsed.name.empty())) {
    return corrupt("a key");
  }
  return parsed;
}

Bytes encode(const InodeRecord& record) {
  Encoder e;
  e.u8(kInodeVersion);
  e.u32(record.mode).u32(record.uid).u32(record.gid).u32(record.nlink);
  e.u64(record.size_bytes);
  encode_time(e, record.atime);
  encode_time(e, record.mtime);
  encode_time(e, record.ctime);
  encode_time(e, record.btime);
  e.u64(record.rdev).u32(record.flags);
  return std::move(e).take();
}

Bytes encode(const Dirent& dirent) {
  Encoder e;
  e.u64(dirent.ino).u8(dirent.type);
  return std::move(e).take();
}

Bytes encode(const Extent& extent) {
  Encoder e;
  e.u8(static_cast<std::uint8_t>(extent.kind));
  e.u8(extent.ends_at_cut ? kExtentEndsAtCut : 0);
  e.u32(extent.length);
  if (extent.kind == ExtentKind::kBlock) {
    e.bytes(extent.block.view()).u32(extent.block_offset);
  } else if (extent.kind == ExtentKind::kJournal) {
    e.u64(extent.segment).u64(extent.position);
  } else if (extent.kind == ExtentKind::kPacked) {
    e.u64(extent.segment).u64(extent.position).u32(extent.packed_offset);
  }
  return std::move(e).take();
}

Result<InodeRecord> decode_inode(ByteView value) {
  Decoder d(value);
  const auto version = d.u8();
  if (d.ok() && version > kInodeVersion) return fail(Errc::kNewerFormat, 0, "read an inode");
  InodeRecord record;
  record.mode = d.u32();
  record.uid = d.u32();
  record.gid = d.u32();
  record.nlink = d.u32();
  record.size_bytes = d.u64();
  record.atime = decode_time(d);
  record.mtime = decode_time(d);
  record.ctime = decode_time(d);
  record.btime = decode_time(d);
  record.rdev = d.u64();
  record.flags = d.u32();
  const bool times_ok = record.atime.nanoseconds < kNanosecondsPerSecond &&
                        record.mtime.nanoseconds < kNanosecondsPerSecond &&
                        record.ctime.nanoseconds < kNanosecondsPerSecond &&
                        record.btime.nanoseconds < kNanosecondsPerSecond;
  if (!d.done() || version != kInodeVersion || !times_ok || record.size_bytes > kFileSizeMax) {
    return corrupt("an inode");
  }
  return record;
}

Result<Dirent> decode_dirent(ByteView value) {
  Decoder d(value);
  Dirent dirent;
  dirent.ino = d.u64();
  dirent.type = d.u8();
  if (!d.done() || dirent.ino == kNoIno || dirent.ino > kInoMax) {
    return corrupt("a directory entry");
  }
  return dirent;
}

Result<Extent> decode_extent(ByteView value) {
  Decoder d(value);
  Extent extent;
  const auto kind = d.u8();
  const auto flags = d.u8();
  extent.ends_at_cut = (flags & kExtentEndsAtCut) != 0;
  extent.length = d.u32();
  if (kind == static_cast<std::uint8_t>(ExtentKind::kBlock)) {
    const ByteView id = d.bytes(BlockId::kSize);
    if (d.ok()) extent.block = BlockId::from(id);
    extent.block_offset = d.u32();
  } else if (kind == static_cast<std::uint8_t>(ExtentKind::kJournal)) {
    extent.kind = ExtentKind::kJournal;
    extent.segment = d.u64();
    extent.position = d.u64();
  } else if (kind == static_cast<std::uint8_t>(ExtentKind::kPacked)) {
    extent.kind = ExtentKind::kPacked;
    extent.segment = d.u64();
    extent.position = d.u64();
    extent.packed_offset = d.u32();
  } else if (kind == static_cast<std::uint8_t>(ExtentKind::kHole)) {
    extent.kind = ExtentKind::kHole;
  } else {
    return corrupt("an extent");
  }
  if (!d.done() || extent.length == 0 || flags > kExtentEndsAtCut) return corrupt("an extent");
  return extent;
}

}  // namespace amberfs
