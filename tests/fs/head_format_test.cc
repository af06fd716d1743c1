// SPDX-License-Identifier: Apache-2.0
#include "fs/head_format.h"

#include <gtest/gtest.h>

namespace amberfs {
namespace {

Head example() {
  Head head;
  head.root = BlockId{sha256("root")};
  head.journal = {7, 4096, 1234};
  head.next_ino = 99;
  head.next_snapshot = 5;
  head.totals = {12, 3456};
  head.commit_time_ns = -1;
  head.changed_bytes = 77;
  head.pack_bytes_at_snapshot = 88;
  head.snapshot_root = BlockId{sha256("snapshot")};
  head.adopted_directory = "/var/log";
  return head;
}

TEST(HeadFormat, RoundTrips) {
  const Head head = example();
  const auto read = decode_store_head(encode_store_head(head));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read->root, head.root);
  EXPECT_EQ(read->journal, head.journal);
  EXPECT_EQ(read->next_ino, head.next_ino);
  EXPECT_EQ(read->next_snapshot, head.next_snapshot);
  EXPECT_EQ(read->totals, head.totals);
  EXPECT_EQ(read->commit_time_ns, head.commit_time_ns);
  EXPECT_EQ(read->changed_bytes, head.changed_bytes);
  EXPECT_EQ(read->pack_bytes_at_snapshot, head.pack_bytes_at_snapshot);
  EXPECT_EQ(read->snapshot_root, head.snapshot_root);
  EXPECT_EQ(read->adopted_directory, head.adopted_directory);
}

// Offsets of docs/FORMAT.md#head.
TEST(HeadFormat, FieldsStandWhereTheDocumentSays) {
  const Head head = example();
  const Bytes bytes = encode_store_head(head);
  EXPECT_EQ(bytes.substr(0, 4), "ABHD");
  EXPECT_EQ(bytes.substr(8, 32), head.root.view());
  EXPECT_EQ(load_le<std::uint64_t>(bytes.data() + 40), 7U);
  EXPECT_EQ(load_le<std::uint64_t>(bytes.data() + 56), 1234U);
  EXPECT_EQ(load_le<std::uint64_t>(bytes.data() + 72), 5U);
  EXPECT_EQ(load_le<std::int64_t>(bytes.data() + 96), -1);
  EXPECT_EQ(bytes.substr(120, 32), head.snapshot_root.view());
  EXPECT_EQ(bytes.substr(153, 8), "/var/log");
  EXPECT_EQ(bytes.size(), 161U + 8U);
}

TEST(HeadFormat, EveryChangedBitAndEveryTruncationIsNoticed) {
  const Bytes good = encode_store_head(example());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_store_head(bad)) << "bit " << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_store_head(good.substr(0, size))) << "size " << size;
  }
  EXPECT_FALSE(decode_store_head(good + "x"));
}

}  // namespace
}  // namespace amberfs
