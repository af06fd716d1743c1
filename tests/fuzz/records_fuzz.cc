// SPDX-License-Identifier: Apache-2.0
// Small records that stand by themselves: the head, values of the index, packed areas of the
// journal, what outlives a server in memory, the state of scrubs (its checksum made right),
// evidence of removed bytes. The first byte chooses. What is accepted is what the
// encoder makes, or nothing that a reader relies on is wrong with it.
#include "blockstore/frame_format.h"
#include "blockstore/index_format.h"
#include "blockstore/scrub_state.h"
#include "fs/fuse/open_files.h"
#include "fs/head_format.h"
#include "fs/packed_data.h"
#include "snapshot/evidence.h"
#include "tests/fuzz/fuzz_target.h"

#include <sys/mman.h>
#include <unistd.h>

namespace amberfs {
namespace {

using fuzz::require;

enum Choice : std::uint8_t { kHead, kIndex, kPacked, kState, kScrub, kEvidence, kChoices };

void check_head(ByteView input) {
  if (const auto head = decode_store_head(input)) {
    const auto again = decode_store_head(encode_store_head(*head));
    require(again && again->root == head->root && again->journal == head->journal &&
            again->next_ino == head->next_ino && again->totals == head->totals &&
            again->adopted_directory == head->adopted_directory);
  }
  if (const auto record = decode_head(input)) require(encode_head(*record) == input);
}

void check_index(ByteView input) {
  if (const auto location = decode_location(input)) {
    require(decode_location(encode_location(*location)) == *location);
  }
  const ByteView key = input.substr(0, std::min<std::size_t>(4, input.size()));
  if (const auto row = decode_pack_row(key, input.substr(key.size()))) {
    require(decode_pack_row(encode_pack_number(row->number), encode_pack_row(*row)) == *row);
  }
  if (const auto totals = decode_totals(input)) {
    require(decode_totals(encode_totals(*totals)) == *totals);
  }
}

void check_packed(ByteView input) {
  const auto sizes = decode_packed_sizes(input.substr(0, PackedSizes::kHeaderSize));
  if (!sizes) return;
  const ByteView rest =
      input.size() < PackedSizes::kHeaderSize ? ByteView() : input.substr(PackedSizes::kHeaderSize);
  if (rest.size() < sizes->frame) return;
  const auto plain = unpack_data(*sizes, rest.substr(0, sizes->frame));
  require(!plain || plain->size() == sizes->plain);
}

// The bytes come over those that a server left, in pieces: u32 where, u8 how many, bytes.
void check_state(ByteView input) {
  constexpr std::uint64_t kMiBs = 34;
  auto made = MountState::create("INIT of the kernel");
  require(made.has_value());
  OpenFiles files(**made);
  require(files.add({.ino = 7, .flags = kHandleWrites}, 99).has_value());
  (*made)->applied(5);
  const int fd = ::dup((*made)->fd());
  made->reset();
  Decoder d(input);
  while (d.remaining() > 0) {
    const std::uint64_t where = d.u32() % (kMiBs * kMiB);
    const ByteView bytes = d.bytes(d.u8());
    // Not beyond its end: the keeper holds it, and its size is checked.
    if (!d.ok() || where + bytes.size() > std::uint64_t{kMiB} * 33) break;
    require(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(where)) ==
            static_cast<ssize_t>(bytes.size()));
  }
  auto taken = MountState::take_over(fd);
  if (!taken) return;
  require((*taken)->init_request().size() <= 256);
  OpenFiles again(**taken);
  again.for_each_inherited([&](const OpenFiles::File& file) { require(file.ino != kNoIno); });
  require((*taken)->read_before().size() <= MountState::kSlots);
}

void check_scrub(ByteView input) {
  (void)decode_scrub_state(input);
  Bytes raw(input);
  const std::uint64_t checksum = xxh3(raw);
  raw.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  const auto state = decode_scrub_state(raw);
  if (!state) return;
  const auto again = decode_scrub_state(encode_scrub_state(*state));
  require(again && *again == *state);
}

void check_evidence(ByteView input) {
  const auto evidence = decode_evidence(input);
  if (!evidence) return;
  require(evidence->begin <= evidence->end && encode(*evidence) == input);
  require(*to_text(evidence->kind) != '\0');
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  Head head;
  head.root = BlockId{sha256("root")};
  head.adopted_directory = "/var/log";
  const Bytes encoded = encode_store_head(head);
  add(Bytes(1, kHead) + encoded);
  add(Bytes(1, kHead) + encode_head({.sequence = 4, .head = encoded}));
  BlockLocation location{.pack = 3, .offset = 64, .stored_size = 100, .plain_size = 200};
  add(Bytes(1, kIndex) + encode_location(location));
  location.group_size = 1000;
  location.group_offset = 10;
  add(Bytes(1, kIndex) + encode_location(location));
  const PackRow row{.number = 3, .length = 4096, .sealed = true};
  add(Bytes(1, kIndex) + encode_pack_number(3) + encode_pack_row(row));
  add(Bytes(1, kIndex) + encode_totals({.block_count = 3, .data_plain_bytes = 4}));
  Bytes buffer;
  add(Bytes(1, kPacked) +
      Bytes(pack_data(Bytes(5000, 'x'), {.zstd_level = 1, .size_min = 64}, buffer)));
  Encoder e;
  e.u32(0).u8(2).bytes("xy").u32(64 * 1024).u8(8).u64(77).u32(1024 * 1024).u8(16).u64(9).u64(8);
  add(Bytes(1, kState) + Bytes(e.view()));
  ScrubState state;
  state.checked_ns[PackId{7}] = 5;
  state.damaged.push_back(BlockId{sha256("damaged")});
  const Bytes scrub = encode_scrub_state(state);
  add(Bytes(1, kScrub) + scrub);
  add(Bytes(1, kScrub) + scrub.substr(0, scrub.size() - 8));
  const Evidence evidence{.kind = RemovalKind::kTruncated, .end = 7, .command = "sh", .path = "a"};
  add(Bytes(1, kEvidence) + encode(evidence));
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 128 * kKiB) return 0;
  const ByteView input = fuzz::as_bytes(data + 1, size - 1);
  switch (data[0] % kChoices) {
    case kHead:
      check_head(input);
      break;
    case kIndex:
      check_index(input);
      break;
    case kPacked:
      check_packed(input);
      break;
    case kScrub:
      check_scrub(input);
      break;
    case kEvidence:
      check_evidence(input);
      break;
    default:
      check_state(input);
  }
  return 0;
}
