// SPDX-License-Identifier: Apache-2.0
#include "fs/head_format.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

constexpr std::uint32_t kMagic = 0x44484241;  // "ABHD"
constexpr std::uint16_t kVersion = 1;

}  // namespace

Bytes encode_store_head(const Head& head) {
  Encoder e;
  e.u32(kMagic).u16(kVersion).u16(0);
  e.bytes(head.root.view());
  e.u64(head.journal.segment).u64(head.journal.offset).u64(head.journal.next_seq);
  e.u64(head.next_ino).u64(head.next_snapshot);
  e.u64(head.totals.inode_count).u64(head.totals.logical_bytes);
  e.i64(head.commit_time_ns);
  e.u64(head.changed_bytes).u64(head.pack_bytes_at_snapshot);
  e.bytes(head.snapshot_root.view());
  e.prefixed(head.adopted_directory);
  e.u64(xxh3(e.view()));
  return std::move(e).take();
}

Result<Head> decode_store_head(ByteView bytes) {
  Decoder d(bytes);
  const auto magic = d.u32();
  const auto version = d.u16();
  if (!d.ok() || magic != kMagic) return fail(Errc::kCorrupt, 0, "read the head: not a head");
  if (version > kVersion) return fail(Errc::kNewerFormat, 0, "read the head");
  d.u16();
  Head head;
  const auto root = d.bytes(BlockId::kSize);
  if (d.ok()) head.root = BlockId::from(root);
  head.journal.segment = d.u64();
  head.journal.offset = d.u64();
  head.journal.next_seq = d.u64();
  head.next_ino = d.u64();
  head.next_snapshot = d.u64();
  head.totals.inode_count = d.u64();
  head.totals.logical_bytes = d.u64();
  head.commit_time_ns = d.i64();
  head.changed_bytes = d.u64();
  head.pack_bytes_at_snapshot = d.u64();
  const auto snapshot_root = d.bytes(BlockId::kSize);
  if (d.ok()) head.snapshot_root = BlockId::from(snapshot_root);
  head.adopted_directory = d.prefixed();
  const std::size_t checked = bytes.size() - d.remaining();
  const auto checksum = d.u64();
  if (!d.done() || checksum != xxh3(bytes.substr(0, checked))) {
    return fail(Errc::kCorrupt, 0, "read the head: damaged");
  }
  return head;
}

}  // namespace amberfs
