// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node_format.h"

#include "blockstore/base/coding.h"

namespace amberfs {
namespace {

constexpr std::uint32_t kMagic = 0x444E4241;  // "ABND"
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeaderSize = 12;
constexpr std::size_t kKeySizeBytes = 2;

std::unexpected<Error> corrupt(const char* why) {
  return fail(Errc::kCorrupt, 0, std::string("read a tree node: ") + why);
}

std::uint32_t offset_at(ByteView node, std::size_t i) {
  return load_le<std::uint32_t>(node.data() + kHeaderSize + 4 * i);
}

}  // namespace

Result<NodeView> NodeView::parse(BlockData block) {
  const ByteView bytes = *block;
  Decoder d(bytes);
  const auto magic = d.u32();
  const auto version = d.u8();
  NodeView node;
  node.level_ = d.u8();
  const auto reserved = d.u16();
  node.count_ = d.u32();
  if (!d.ok() || magic != kMagic) return corrupt("not a node");
  if (version > kVersion) return fail(Errc::kNewerFormat, 0, "read a tree node");
  if (version != kVersion || reserved != 0) return corrupt("impossible header");
  if (node.level_ > kLevelMax) return corrupt("impossible level");
  // Room for n + 1 offsets, or the reads below would leave the block.
  if (node.count_ == 0 || node.count_ >= (bytes.size() - kHeaderSize) / 4) {
    return corrupt("impossible entry count");
  }
  const std::size_t first = kHeaderSize + 4 * (node.count_ + 1);
  if (offset_at(bytes, 0) != first || offset_at(bytes, node.count_) != bytes.size()) {
    return corrupt("offsets do not span it");
  }
  ByteView previous;
  for (std::size_t i = 0; i < node.count_; ++i) {
    const std::size_t begin = offset_at(bytes, i);
    const std::size_t end = offset_at(bytes, i + 1);
    if (begin < first || end > bytes.size() || begin + kKeySizeBytes > end) {
      return corrupt("offsets out of order");
    }
    const std::size_t key_size = load_le<std::uint16_t>(bytes.data() + begin);
    if (key_size > end - begin - kKeySizeBytes) return corrupt("key too long");
    const ByteView key = bytes.substr(begin + kKeySizeBytes, key_size);
    if (i > 0 && key <= previous) return corrupt("keys out of order");
    if (node.level_ > 0 && end - begin - kKeySizeBytes - key_size != BlockId::kSize) {
      return corrupt("child is no block id");
    }
    previous = key;
  }
  node.block_ = std::move(block);
  return node;
}

NodeEntry NodeView::entry(std::size_t i) const {
  const ByteView bytes = *block_;
  const std::size_t begin = offset_at(bytes, i);
  const std::size_t end = offset_at(bytes, i + 1);
  const std::size_t key_size = load_le<std::uint16_t>(bytes.data() + begin);
  const std::size_t value_begin = begin + kKeySizeBytes + key_size;
  return {bytes.substr(begin + kKeySizeBytes, key_size),
          bytes.substr(value_begin, end - value_begin)};
}

std::size_t NodeView::lower_bound(ByteView key) const {
  std::size_t low = 0;
  std::size_t high = count_;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (entry(middle).key < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<NodeView> read_node(Blocks& blocks, const BlockId& id, int level) {
  TRY_ASSIGN(BlockData block, blocks.get(id));
  auto node = NodeView::parse(std::move(block));
  if (!node) {
    Error error = std::move(node).error();
    error.object = id.to_hex();
    return fail(std::move(error));
  }
  if (level >= 0 && node->level() != static_cast<unsigned>(level)) {
    return fail(Errc::kCorrupt, 0, "read a tree node: wrong level", id.to_hex());
  }
  return node;
}

Result<NodeView> read_child(Blocks& blocks, const NodeView& parent, std::size_t i,
                            std::optional<ByteView> after) {
  const BlockId id = parent.child(i);
  TRY_ASSIGN(NodeView node, read_node(blocks, id, static_cast<int>(parent.level()) - 1));
  if (node.last_key() != parent.entry(i).key) {
    return fail(Errc::kCorrupt, 0, "read a tree node: its last key is not what its parent says",
                id.to_hex());
  }
  if (after && node.entry(0).key <= *after) {
    return fail(Errc::kCorrupt, 0, "read a tree node: its keys reach into the node before it",
                id.to_hex());
  }
  return node;
}

void NodeBuilder::add(ByteView key, ByteView value) {
  char size[kKeySizeBytes];
  store_le(size, static_cast<std::uint16_t>(key.size()));
  entries_.append(size, sizeof size).append(key).append(value);
  ends_.push_back(static_cast<std::uint32_t>(entries_.size()));
  last_key_ = key;
}

Bytes NodeBuilder::finish() {
  Encoder e;
  e.u32(kMagic).u8(kVersion).u8(static_cast<std::uint8_t>(level_)).u16(0);
  e.u32(static_cast<std::uint32_t>(ends_.size()));
  const auto first = static_cast<std::uint32_t>(kHeaderSize + 4 * (ends_.size() + 1));
  e.u32(first);
  for (const std::uint32_t end : ends_) e.u32(first + end);
  e.bytes(entries_);
  entries_.clear();
  ends_.clear();
  return std::move(e).take();
}

}  // namespace amberfs
