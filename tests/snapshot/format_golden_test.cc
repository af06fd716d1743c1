// SPDX-License-Identifier: Apache-2.0
// The worked examples of docs/format/records.md and manifest.md (that of node.md is in
// node_format_test.cc), and the root of a known map: it changes with any byte of records, nodes or
// borders, and such a change would cut every store off from what it shares with its past.
#include "snapshot/evidence.h"
#include "snapshot/manifest.h"
#include "snapshot/record_format.h"
#include "snapshot/tree.h"
#include "tests/support/memory_blocks.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

TEST(FormatGolden, KeysAreAsDocumented) {
  EXPECT_EQ(to_hex(inode_key(258)), "000000000000010201");
  EXPECT_EQ(to_hex(parent_key(258, 1, "app.log")),
            "000000000000010202"
            "0000000000000001"
            "6170702e6c6f67");
  EXPECT_EQ(to_hex(xattr_key(258, "user.a")),
            "000000000000010203"
            "757365722e61");
  EXPECT_EQ(to_hex(target_key(258)), "000000000000010204");
  EXPECT_EQ(to_hex(dirent_key(1, "app.log")),
            "000000000000000105"
            "32cf9768b079326a"
            "6170702e6c6f67");
  EXPECT_EQ(to_hex(extent_key(258, 4096)),
            "000000000000010206"
            "0000000000001000");
  EXPECT_EQ(to_hex(orphan_key(258)),
            "000000000000000010"
            "0000000000000102");
}

TEST(FormatGolden, ValuesAreAsDocumented) {
  InodeRecord inode;
  inode.mode = 0100644;
  inode.uid = 1000;
  inode.gid = 4;
  inode.nlink = 1;
  inode.size_bytes = 4096;
  inode.atime = {1, 2};
  inode.mtime = {3, 4};
  inode.ctime = {-1, 999'999'999};
  inode.btime = {5, 6};
  EXPECT_EQ(to_hex(encode(inode)),
            "01"
            "a4810000"
            "e8030000"
            "04000000"
            "01000000"
            "0010000000000000"
            "0100000000000000"
            "02000000"
            "0300000000000000"
            "04000000"
            "ffffffffffffffff"
            "ffc99a3b"
            "0500000000000000"
            "06000000"
            "0000000000000000"
            "00000000");
  EXPECT_EQ(to_hex(encode(Dirent{258, 8})),
            "0201000000000000"
            "08");
  Extent extent;
  extent.length = 4096;
  extent.ends_at_cut = true;
  extent.block = BlockId{sha256("block")};
  extent.block_offset = 512;
  EXPECT_EQ(to_hex(encode(extent)),
            "01"
            "01"
            "00100000"
            "496aca80e4d8f29fb8e8cd816c3afb48d3f103970b3a2ee1600c08ca67326dee"
            "00020000");
}

TEST(FormatGolden, ManifestIsAsDocumented) {
  Manifest manifest;
  manifest.format = 1;
  manifest.sequence = 7;
  manifest.time_ns = 1'795'170'785'123'456'789;
  manifest.root = BlockId{sha256("root")};
  manifest.name = "before-upgrade";
  manifest.reason = "kernel 6.18";
  manifest.kind = "manual";
  manifest.previous_id = "";
  manifest.totals = {10, 20};
  manifest.changed_bytes = 30;
  manifest.stored_bytes = 40;
  manifest.journal_seq = 50;
  EXPECT_EQ(encode_manifest(manifest), R"({
  "amberfs": "snapshot",
  "changed_bytes": 30,
  "checksum": "537973e396709081b906099009bc58beeb92b4003094af1c93000ce8d29f254d",
  "format": 1,
  "id": "9dfa7e474694d0409f3e62f506cb0c72c4e4d609dc6599a9019f6266f9497027",
  "inodes": 10,
  "journal_seq": 50,
  "kind": "manual",
  "logical_bytes": 20,
  "name": "before-upgrade",
  "previous": "",
  "reason": "kernel 6.18",
  "root": "4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2",
  "sequence": 7,
  "stored_bytes": 40,
  "time": "2026-11-20T10:33:05.123Z",
  "time_ns": 1795170785123456789
}
)");
}

TEST(FormatGolden, Evidence) {
  Evidence evidence;
  evidence.file = 258;
  evidence.begin = 5;
  evidence.end = 8;
  evidence.kept_bytes = 3;
  evidence.first_ns = evidence.last_ns = 1;
  evidence.uid = 1000;
  evidence.gid = 4;
  evidence.pid = 7;
  evidence.command = "dd";
  evidence.path = "app.log";
  const Bytes bytes = encode(evidence);
  EXPECT_EQ(to_hex(bytes),
            "0101000201000000000000050000000000000008000000000000000300000000000000"
            "00000000000000000100000001000000000000000100000000000000e8030000040000"
            "000700000002000000646407000000"
            "6170702e6c6f6700000000");
  ASSERT_TRUE(decode_evidence(bytes));
  EXPECT_EQ(*decode_evidence(bytes), evidence);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_evidence(ByteView(bytes).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_evidence(bytes + "x"));
  EXPECT_EQ(to_hex(evidence_key(258)), "0000000000000000110000000000000102");
}

TEST(FormatGolden, RootOfAKnownMapNeverChanges) {
  testing::MemoryBlocks blocks;
  std::vector<Change> changes;
  for (Ino ino = 1; ino <= 50'000; ++ino) {
    InodeRecord inode;
    inode.size_bytes = ino * 7919;
    changes.push_back({inode_key(ino), encode(inode)});
    if (ino % 1000 == 0) changes.push_back({xattr_key(ino, "user.large"), Bytes(ino, 'x')});
  }
  const auto tree = Tree(blocks, BlockId{}).apply(changes);
  ASSERT_TRUE(tree) << tree.error().to_string();
  EXPECT_EQ(tree->root().to_hex(),
            "edfa18d5497dfd80e7dcf59ba81fb7ce775d7d641fbc6b990bb8033bd641788a");
}

SigningKey key_number(char number) {
  auto secret = SecretBytes::copy_of(Bytes(SigningKey::kSecretSize, number));
  EXPECT_TRUE(secret);
  return SigningKey::from(*std::move(secret));
}

// docs/format/chain.md. Ed25519 is deterministic, so a link is known by its keys.
TEST(FormatGolden, LinksAreAsDocumented) {
  const SigningKey first = key_number('a');
  EXPECT_EQ(to_text(first.public_key()),
            "amberfs-key:af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f289383341d");
  const Sha256 genesis = genesis_hash(first.public_key());
  EXPECT_EQ(to_hex({reinterpret_cast<const char*>(genesis.data()), genesis.size()}),
            "9854e4474b40fb08befd3adcf3244f3a453ace80060b63fdda0bbf4fd6d84b6e");
  Link link{.number = 1,
            .sequence = 7,
            .time_ns = 1'795'170'785'123'456'789,
            .id = sha256("manifest"),
            .previous = genesis,
            .next_key = key_number('b').public_key()};
  sign_link(link, first);
  EXPECT_EQ(to_hex(encode_link(link)),
            "0100010000000000010000000000000007000000000000001557715e51bae918"
            "05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"
            "9854e4474b40fb08befd3adcf3244f3a453ace80060b63fdda0bbf4fd6d84b6e"
            "af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f289383341d"
            "2df04125f0015afb47ce853aef8772094ff9498c14cb1b9e12973c2927da0fa6"
            "b7eebe3f0a40c42c3d406f80c2c49b43fcafed2cee65325097dc67b225cf8fcb"
            "cfdd8e6ece2de4e04ae4497832d8838b7a3ca3c01a08295f43c834bc09627b0e");
  EXPECT_EQ(ChainEnd::after(link).to_text(), "7:7b2f1a051c84d5e7e442ff0b01161642");
  const auto back = decode_link(encode_link(link));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, link);
}

}  // namespace
}  // namespace amberfs
