// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"

#include "blockstore/base/coding.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace amberfs {
namespace {

Bytes acl_bytes(const std::vector<AclEntry>& entries, std::uint32_t version = 2) {
  Encoder out;
  out.u32(version);
  for (const AclEntry& entry : entries) out.u16(entry.tag).u16(entry.perm).u32(entry.id);
  return std::move(out).take();
}

constexpr std::uint32_t kNone = ~std::uint32_t{0};
const std::vector<AclEntry> kMinimal{{1, 6, kNone}, {4, 4, kNone}, {0x20, 0, kNone}};
const std::vector<AclEntry> kNamed{{1, 7, kNone}, {2, 6, 1001},     {4, 5, kNone},
                                   {8, 7, 50},    {0x10, 6, kNone}, {0x20, 1, kNone}};

int parse_errno(ByteView bytes) {
  Result<std::optional<Acl>> acl = Acl::parse(bytes);
  return acl ? 0 : acl.error().to_errno();
}

TEST(Acl, RoundTripsThroughItsBytes) {
  auto acl = Acl::parse(acl_bytes(kNamed));
  ASSERT_TRUE(acl && *acl);
  EXPECT_EQ((*acl)->entries(), kNamed);
  EXPECT_EQ((*acl)->encode(), acl_bytes(kNamed));
  EXPECT_FALSE((*acl)->is_minimal());
}

TEST(Acl, ShowsTheMaskAsTheGroupBitsOfTheMode) {
  EXPECT_EQ((*Acl::parse(acl_bytes(kNamed)))->mode_bits(), 0761U);
  EXPECT_EQ((*Acl::parse(acl_bytes(kMinimal)))->mode_bits(), 0640U);
  EXPECT_TRUE((*Acl::parse(acl_bytes(kMinimal)))->is_minimal());
}

TEST(Acl, ChangesTheMaskAndNotTheGroupWithTheMode) {
  auto acl = *Acl::parse(acl_bytes(kNamed));
  acl->change_mode(0610);
  EXPECT_EQ(acl->mode_bits(), 0610U);
  EXPECT_EQ(acl->entries()[2].perm, 5);
}

TEST(Acl, NarrowsEntriesAndModeToWhatBothGrant) {
  auto acl = *Acl::parse(acl_bytes(kNamed));
  std::uint32_t mode = 0646;
  acl->narrow_to(mode);
  EXPECT_EQ(mode, 0640U);
  EXPECT_EQ(acl->mode_bits(), 0640U);
  EXPECT_EQ(acl->entries()[2].perm, 5);  // the group keeps what the mask hides
}

TEST(Acl, TakesNoEntriesAsNoAcl) {
  EXPECT_FALSE(Acl::parse({})->has_value());
  EXPECT_FALSE(Acl::parse(acl_bytes({}))->has_value());
}

TEST(Acl, RefusesBytesThatAreNoAcl) {
  const Bytes good = acl_bytes(kNamed);
  for (std::size_t size = 1; size < good.size(); ++size) {
    if ((size - 4) % 8 == 0) continue;  // whole entries: judged by what they say
    EXPECT_EQ(parse_errno(ByteView(good).substr(0, size)), EINVAL) << size;
  }
  EXPECT_EQ(parse_errno(acl_bytes(kMinimal, 1)), EOPNOTSUPP);
  auto broken = [](std::size_t index, AclEntry entry) {
    auto entries = kNamed;
    entries[index] = entry;
    return parse_errno(acl_bytes(entries));
  };
  EXPECT_EQ(broken(0, {1, 8, kNone}), EINVAL);     // no such permission
  EXPECT_EQ(broken(0, {3, 7, kNone}), EINVAL);     // no such tag
  EXPECT_EQ(broken(1, {2, 7, kNone}), EINVAL);     // a named user without an id
  EXPECT_EQ(broken(4, {0x20, 7, kNone}), EINVAL);  // others twice, no mask
  EXPECT_EQ(broken(5, {0x10, 7, kNone}), EINVAL);  // mask twice, no others
  EXPECT_EQ(broken(2, {1, 7, kNone}), EINVAL);     // out of order
}

}  // namespace
}  // namespace amberfs
