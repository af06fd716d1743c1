// SPDX-License-Identifier: Apache-2.0
// Nodes and records: any bytes are a node or an error. What is a node keeps the promises that
// reading relies on, and a tree on top of it can be searched, walked, compared and changed without
// a crash. The first byte chooses: bit 0 gives the bytes the header of a node, bit 1 makes them the
// entries of a well-formed leaf (key size, value size, key, value …) so that the fuzzer gets to the
// records.
#include "snapshot/node_format.h"
#include "snapshot/record_format.h"
#include "snapshot/tree.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_blocks.h"

#include <map>

namespace amberfs {
namespace {

using fuzz::require;

// What is accepted is what the encoder makes: no two spellings of one record.
void check_record(ByteView key, ByteView value) {
  (void)parse_key(key);
  if (const auto inode = decode_inode(value)) require(encode(*inode) == value);
  if (const auto dirent = decode_dirent(value)) require(encode(*dirent) == value);
  if (const auto extent = decode_extent(value)) require(encode(*extent) == value);
}

void check_node(const NodeView& node) {
  for (std::size_t i = 0; i < node.count(); ++i) {
    const NodeEntry entry = node.entry(i);
    require(node.lower_bound(entry.key) == i);
    require(i == 0 || node.entry(i - 1).key < entry.key);
    check_record(entry.key, entry.value);
  }
}

Bytes leaf_of(ByteView input) {
  std::map<Bytes, Bytes> entries;
  Decoder d(input);
  while (true) {
    const auto key_size = d.u8();
    const auto value_size = d.u8();
    const ByteView key = d.bytes(key_size);
    const ByteView value = d.bytes(value_size);
    if (!d.ok()) break;
    entries.emplace(key, value);
  }
  if (entries.empty()) return {};
  NodeBuilder builder(0);
  for (const auto& [key, value] : entries) builder.add(key, value);
  return builder.finish();
}

// The node as a root (it may name itself or a node of another tree as a child) is read in every
// way.
void read_as_tree(testing::MemoryBlocks& blocks, const BlockId& root, const BlockId& other) {
  const Tree tree(blocks, root);
  (void)tree.get("key");
  std::size_t entries = 0;
  auto cursor = tree.cursor();
  bool whole = cursor->seek("").has_value();
  while (whole && cursor->valid()) {
    ++entries;
    whole = cursor->next().has_value();
  }
  std::size_t differences = 0;
  const auto visit = [&](ByteView, auto, auto) {
    ++differences;
    return ok();
  };
  const bool compared = diff_trees(blocks, root, BlockId{}, visit).has_value();
  require(compared == whole && (!whole || differences == entries));
  (void)diff_trees(blocks, other, root, visit);
  std::size_t walked = 0;
  const NodeVisitor visitor{.enter = [](const BlockId&) { return true; },
                            .entry =
                                [&](ByteView, ByteView) {
                                  ++walked;
                                  return ok();
                                },
                            .damaged = [](const BlockId&, const Error&) { return ok(); }};
  require(walk_tree(blocks, root, visitor).has_value() && (!whole || walked == entries));
  const std::vector<Change> changes{{"", "first"}, {"key", "value"}, {"kez", std::nullopt}};
  const auto changed = tree.apply(changes);
  if (!changed) return;
  const auto got = changed->get("key");
  require(got && *got == "value");
}

void run(unsigned choice, ByteView input) {
  Bytes bytes(input);
  if ((choice & 1) != 0) bytes = Bytes("ABND\x01", 5) + bytes;
  if ((choice & 2) != 0) bytes = leaf_of(input);
  check_record(input, input);
  if (const auto node = NodeView::parse(std::make_shared<const Bytes>(bytes))) check_node(*node);

  testing::MemoryBlocks blocks;
  const std::vector<Change> some{{"a", "1"}, {"key", "2"}, {"z", "3"}};
  const auto other = Tree(blocks, BlockId{}).apply(some);
  const auto root = blocks.put(bytes, BlockKind::kNode);
  require(other.has_value() && root.has_value());
  read_as_tree(blocks, *root, other->root());
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  InodeRecord inode;
  inode.mode = 0100644;
  const std::map<Bytes, Bytes> entries{
      {inode_key(1), encode(inode)},
      {dirent_key(1, "syslog"), encode(Dirent{.ino = 2})},
      {xattr_key(2, "user.x"), "value"},
      {extent_key(2, 100), encode(Extent{.kind = ExtentKind::kBlock, .length = 100})}};
  NodeBuilder leaf(0);
  Bytes listed;
  for (const auto& [key, value] : entries) {
    leaf.add(key, value);
    listed += static_cast<char>(key.size());
    listed += static_cast<char>(value.size());
    listed += key + value;
    add('\0' + value);
  }
  const Bytes node = leaf.finish();
  NodeBuilder parent(1);
  parent.add(extent_key(2, 100), Bytes(32, '\1'));
  add('\0' + node);
  add('\0' + parent.finish());
  add('\1' + node.substr(5));
  add('\2' + listed);
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 256 * amberfs::kKiB) return 0;
  amberfs::run(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
