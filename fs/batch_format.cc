// SPDX-License-Identifier: Apache-2.0
#include "fs/batch_format.h"

namespace amberfs {
namespace {

// On disk, never renumber.
enum ChangeKind : std::uint8_t { kRemove = 0, kPut = 1 };

constexpr std::size_t kTagOffset = 8;
// Kind, key size, at least one byte of key.
constexpr std::size_t kChangeSizeMin = 3;

std::unexpected<Error> damaged(const char* why) {
  return fail(Errc::kJournalDamaged, 0, std::string("read journal record: ") + why);
}

bool fits_data_area(const Change& change, std::uint64_t data_size) {
  if (!change.value) return true;
  std::optional<Extent> extent = journal_extent(change.key, *change.value);
  if (!extent || extent->segment != 0) return true;
  // How long a packed area is, it says itself: that is checked when it is read.
  if (extent->kind == ExtentKind::kPacked) return extent->position < data_size;
  return extent->position <= data_size && extent->length <= data_size - extent->position;
}

}  // namespace

Bytes encode_changes(std::span<const Change> changes) {
  Encoder out;
  std::size_t size = 10;
  for (const Change& change : changes) {
    size += change.key.size() + (change.value ? change.value->size() : 0) + 8;
  }
  out.buffer().reserve(size);
  out.varint(changes.size());
  for (const Change& change : changes) {
    out.u8(change.value ? kPut : kRemove).prefixed(change.key);
    if (change.value) out.prefixed(*change.value);
  }
  return std::move(out).take();
}

Result<std::vector<Change>> decode_changes(ByteView payload, std::uint64_t data_size) {
  Decoder in(payload);
  const std::uint64_t count = in.varint();
  if (!in.ok() || count > in.remaining() / kChangeSizeMin) return damaged("count of changes");
  std::vector<Change> changes;
  changes.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint8_t kind = in.u8();
    const ByteView key = in.prefixed();
    if (!in.ok() || key.empty() || key.size() > kKeySizeMax) return damaged("key of a change");
    Change change{Bytes(key), std::nullopt};
    if (kind == kPut) {
      change.value = Bytes(in.prefixed());
    } else if (kind != kRemove) {
      return damaged("kind of a change");
    }
    if (!in.ok()) return damaged("value of a change");
    if (!fits_data_area(change, data_size)) return damaged("extent outside of the record's data");
    changes.push_back(std::move(change));
  }
  if (!in.done()) return damaged("bytes behind the last change");
  return changes;
}

std::optional<Extent> journal_extent(ByteView key, ByteView value) {
  if (key.size() <= kTagOffset || key[kTagOffset] != static_cast<char>(Tag::kExtent)) {
    return std::nullopt;
  }
  Result<Extent> extent = decode_extent(value);
  if (!extent || !extent->in_journal()) return std::nullopt;
  return *extent;
}

}  // namespace amberfs
