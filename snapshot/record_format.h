// SPDX-License-Identifier: Apache-2.0
// The records of the one ordered map that is a file system: how keys and values are encoded.
// A key is  ino (big-endian, so that keys sort by inode) | tag | rest.  Keys compare by memcmp.
//
//   key                                              value
//   (ino, INODE)                                     InodeRecord
//   (ino, PARENT, parent ino, name)                  empty: one per name of a file or directory; it
//                                                    turns an inode back into paths without a walk
//   (ino, XATTR, name)                               the attribute's bytes
//   (ino, TARGET)                                    symlink target
//   (ino, DIRENT, hash(name), name)                  child ino, child type; the hash is the readdir
//                                                    cookie
//   (ino, EXTENT, end)                               Extent. Keyed by its END offset (exclusive),
//                                                    as in bcachefs: the first key above an offset
//                                                    is the extent that covers it or the next one,
//                                                    so every lookup is a forward seek. What no
//                                                    extent covers is a hole (zeros).
//   (0, ORPHAN, ino)                                 empty: unlinked but still open
//   (0, EVIDENCE, ino)                               Evidence (snapshot/evidence.h): this inode
//                                                    holds bytes that were removed from a log
//
// Ino 0 is no inode; ino 1 is the root directory; numbers are never reused.
// Format: docs/FORMAT.md#records. On disk: never renumber a tag or a kind.
#pragma once

#include "blockstore/base/coding.h"
#include "blockstore/base/result.h"
#include "blockstore/block_id.h"

#include <optional>

namespace amberfs {

using Ino = std::uint64_t;
constexpr Ino kNoIno = 0;
constexpr Ino kRootIno = 1;
constexpr Ino kInoMax = (Ino{1} << 40) - 1;  // fs packs a view number above it into a node id

enum class Tag : std::uint8_t {
  kInode = 1,
  kParent = 2,
  kXattr = 3,
  kTarget = 4,
  kDirent = 5,
  kExtent = 6,
  kOrphan = 16,
  kEvidence = 17,
};

// As in struct timespec: nanoseconds are 0 … 999,999,999 also for times before 1970.
struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

struct InodeRecord {
  std::uint32_t mode = 0;  // S_IFMT type and permission bits
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t nlink = 0;
  std::uint64_t size_bytes = 0;
  Timestamp atime, mtime, ctime, btime;
  std::uint64_t rdev = 0;
  std::uint32_t flags = 0;  // reserved: 0
  friend bool operator==(const InodeRecord&, const InodeRecord&) = default;
};

struct Dirent {
  Ino ino = kNoIno;
  std::uint8_t type = 0;  // DT_REG, DT_DIR, …
  friend bool operator==(const Dirent&, const Dirent&) = default;
};

// A hole is written down only where it must hide what a layer below has: in journal and overlays.
enum class ExtentKind : std::uint8_t { kBlock = 1, kJournal = 2, kHole = 3, kPacked = 4 };

struct Extent {
  ExtentKind kind = ExtentKind::kBlock;
  std::uint32_t length = 0;  // bytes of the file it covers, ending at the key's offset; never 0
  bool ends_at_cut = false;  // the chunker cut here (not just the end of what there was)
  // kBlock: `length` bytes of the block's plaintext from block_offset.
  BlockId block;
  std::uint32_t block_offset = 0;
  // kJournal (never in a tree, like kHole): `length` bytes of the segment file from position.
  // kPacked (the same): of the plain bytes of the packed area at position, from packed_offset.
  std::uint64_t segment = 0;
  std::uint64_t position = 0;
  std::uint32_t packed_offset = 0;
  [[nodiscard]] bool in_journal() const {
    return kind == ExtentKind::kJournal || kind == ExtentKind::kPacked;
  }
  friend bool operator==(const Extent&, const Extent&) = default;
};

constexpr std::size_t kNameSizeMax = 255;
constexpr std::size_t kXattrNameSizeMax = 255;
constexpr std::size_t kXattrValueSizeMax = 64 * kKiB;
constexpr std::size_t kTargetSizeMax = 4095;
// The largest file: offsets are off_t.
constexpr std::uint64_t kFileSizeMax = (std::uint64_t{1} << 63) - 1;
constexpr std::size_t kKeySizeMax = 8 + 1 + 8 + kNameSizeMax;

// ---- keys
[[nodiscard]] Bytes inode_key(Ino ino);
[[nodiscard]] Bytes parent_key(Ino ino, Ino parent, ByteView name);
[[nodiscard]] Bytes xattr_key(Ino ino, ByteView name);
[[nodiscard]] Bytes target_key(Ino ino);
[[nodiscard]] Bytes dirent_key(Ino directory, ByteView name);
[[nodiscard]] Bytes extent_key(Ino ino, std::uint64_t end);
[[nodiscard]] Bytes orphan_key(Ino ino);
[[nodiscard]] Bytes evidence_key(Ino ino);
// The first key of a (ino, tag) range; range_end() is the first key behind it.
[[nodiscard]] Bytes range_begin(Ino ino, Tag tag);
[[nodiscard]] Bytes range_end(Ino ino, Tag tag);
// Where a readdir that stopped at `cookie` goes on: the first dirent key with hash > cookie.
[[nodiscard]] Bytes dirent_key_after(Ino directory, std::uint64_t cookie);
// 62 bits of XXH3 of the name, never below kFirstCookie (1 and 2 are "." and "..").
constexpr std::uint64_t kFirstCookie = 3;
[[nodiscard]] std::uint64_t dirent_cookie(ByteView name);

// A key taken apart. Views point into the key.
struct ParsedKey {
  Ino ino = kNoIno;
  Tag tag = Tag::kInode;
  ByteView name;  // PARENT, XATTR, DIRENT
  // PARENT: parent ino; DIRENT: cookie; EXTENT: end; ORPHAN, EVIDENCE: ino
  std::uint64_t number = 0;
};
[[nodiscard]] Result<ParsedKey> parse_key(ByteView key);

// ---- values. Decoders return kCorrupt for bytes that are not a record.
[[nodiscard]] Bytes encode(const InodeRecord& record);
[[nodiscard]] Bytes encode(const Dirent& dirent);
[[nodiscard]] Bytes encode(const Extent& extent);
[[nodiscard]] Result<InodeRecord> decode_inode(ByteView value);
[[nodiscard]] Result<Dirent> decode_dirent(ByteView value);
[[nodiscard]] Result<Extent> decode_extent(ByteView value);

}  // namespace amberfs
