// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"

#include "blockstore/base/coding.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kHeaderSize = 4;
constexpr std::size_t kEntrySize = 8;

// The kernel's ACL_* tags, in the order in which entries must stand.
constexpr std::uint16_t kUserObj = 0x01;
constexpr std::uint16_t kUser = 0x02;
constexpr std::uint16_t kGroupObj = 0x04;
constexpr std::uint16_t kGroup = 0x08;
constexpr std::uint16_t kMask = 0x10;
constexpr std::uint16_t kOther = 0x20;

bool is_named(std::uint16_t tag) {
  return tag == kUser || tag == kGroup;
}

// Valid if and only if: every tag is known; tags ascend; owner, group and others stand exactly
// once, the mask at most once; named entries have an id and imply a mask; permissions are rwx.
bool is_valid(const std::vector<AclEntry>& entries) {
  unsigned seen = 0;
  std::uint16_t last = 0;
  for (const AclEntry& entry : entries) {
    bool known = entry.tag == kUserObj || entry.tag == kGroupObj || entry.tag == kMask ||
                 entry.tag == kOther || is_named(entry.tag);
    if (!known || entry.perm > 7 || entry.tag < last) return false;
    if (entry.tag == last && !is_named(entry.tag)) return false;
    if (is_named(entry.tag) && entry.id == ~std::uint32_t{0}) return false;
    seen |= entry.tag;
    last = entry.tag;
  }
  constexpr unsigned kRequired = kUserObj | kGroupObj | kOther;
  if ((seen & kRequired) != kRequired) return false;
  return (seen & (kUser | kGroup)) == 0 || (seen & kMask) != 0;
}

}  // namespace

Result<std::optional<Acl>> Acl::parse(ByteView value) {
  if (value.empty()) return std::nullopt;
  Decoder in(value);
  if (value.size() < kHeaderSize) return fail(posix_error(EINVAL));
  if (in.u32() != kVersion) return fail(posix_error(EOPNOTSUPP));
  if (in.remaining() % kEntrySize != 0) return fail(posix_error(EINVAL));
  std::vector<AclEntry> entries;
  entries.reserve(in.remaining() / kEntrySize);
  while (in.remaining() > 0) {
    AclEntry entry;
    entry.tag = in.u16();
    entry.perm = in.u16();
    entry.id = in.u32();
    entries.push_back(entry);
  }
  if (entries.empty()) return std::nullopt;
  if (!is_valid(entries)) return fail(posix_error(EINVAL));
  return Acl(std::move(entries));
}

Bytes Acl::encode() const {
  Encoder out;
  out.u32(kVersion);
  for (const AclEntry& entry : entries_) out.u16(entry.tag).u16(entry.perm).u32(entry.id);
  return std::move(out).take();
}

bool Acl::is_minimal() const {
  return entries_.size() == 3;
}

std::uint32_t Acl::mode_bits() const {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t other = 0;
  for (const AclEntry& entry : entries_) {
    if (entry.tag == kUserObj) user = entry.perm;
    if (entry.tag == kGroupObj || entry.tag == kMask) group = entry.perm;  // the mask comes later
    if (entry.tag == kOther) other = entry.perm;
  }
  return user << 6 | group << 3 | other;
}

AclEntry* Acl::find(std::uint16_t tag) {
  auto it = std::ranges::find(entries_, tag, &AclEntry::tag);
  return it == entries_.end() ? nullptr : &*it;
}

AclEntry& Acl::group_class() {
  AclEntry* mask = find(kMask);
  return mask != nullptr ? *mask : *find(kGroupObj);
}

void Acl::change_mode(std::uint32_t mode) {
  find(kUserObj)->perm = static_cast<std::uint16_t>(mode >> 6 & 7);
  group_class().perm = static_cast<std::uint16_t>(mode >> 3 & 7);
  find(kOther)->perm = static_cast<std::uint16_t>(mode & 7);
}

void Acl::narrow_to(std::uint32_t& mode) {
  auto narrow = [&mode](AclEntry& entry, unsigned shift) {
    entry.perm = static_cast<std::uint16_t>(entry.perm & (mode >> shift));
    mode &= ~(7U << shift) | static_cast<std::uint32_t>(entry.perm) << shift;
  };
  narrow(*find(kUserObj), 6);
  narrow(group_class(), 3);
  narrow(*find(kOther), 0);
}

}  // namespace amberfs
