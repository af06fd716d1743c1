// SPDX-License-Identifier: Apache-2.0
// Journal: any bytes in a segment file give a journal or an error, never a crash or a large
// allocation. The first byte chooses what else is put right, so that the fuzzer gets behind the
// checksums: bit 0 gives the file a valid segment header, bit 1 corrects salt, segment, sequence,
// sizes and checksums of each record that follows another one without a gap.
#include "fs/batch_format.h"
#include "fs/journal_format.h"
#include "fs/segment.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"

namespace amberfs {
namespace {

using fuzz::require;

constexpr std::uint64_t kSalt = 0x1122334455667788;
const std::string kDirectory = "journal";

JournalOptions small_segments() {
  JournalOptions options;
  options.segment_size_bytes = 16 * kKiB;
  options.spare_segments_max = 1;
  options.prepare_ahead = false;
  return options;
}

void put_header(Bytes& segment) {
  SegmentHeader header;
  header.number = 1;
  header.size_bytes = segment.size();
  header.salt = kSalt;
  segment.replace(0, SegmentHeader::kSize, encode_segment_header(header));
}

// Offsets of fields: docs/format/journal.md.
void correct_records(Bytes& segment) {
  std::uint64_t seq = 1;
  std::size_t at = SegmentHeader::kRecordsOffset;
  while (at + RecordHeader::kSize <= segment.size()) {
    char* record = segment.data() + at;
    const std::size_t room = segment.size() - at - RecordHeader::kSize;
    const auto payload =
        static_cast<std::uint32_t>(load_le<std::uint32_t>(record + 40) % (room + 1));
    const auto data =
        static_cast<std::uint32_t>(load_le<std::uint32_t>(record + 44) % (room - payload + 1));
    store_le(record, RecordHeader::kMagic);
    store_le(record + 8, kSalt);
    store_le<std::uint64_t>(record + 16, 1);
    store_le(record + 24, seq++);
    store_le(record + 40, payload);
    store_le(record + 44, data);
    const std::size_t body = std::size_t{payload} + data;
    store_le(record + 112, xxh3({record + RecordHeader::kSize, body}));
    store_le(record + 120, xxh3({record, 120}));
    at += RecordHeader::kSize + body;
  }
}

void open_it(Io& io, std::uint64_t* replayed) {
  const JournalOptions options = small_segments();
  auto journal = Journal::open(io, kDirectory, options, {},
                               [&](const Batch&, const Appended& where) -> Status {
                                 require(where.seq == ++*replayed);
                                 return ok();
                               });
  if (!journal) return;
  Batch batch;
  batch.put("key", "value");
  require((*journal)->append(batch).has_value());
  require((*journal)->check({}, (*journal)->tail()).has_value());
  require((*journal)->close().has_value());
  // What was appended behind any garbage is there when it is opened again.
  std::uint64_t again = 0;
  auto reopened =
      Journal::open(io, kDirectory, options, {}, [&](const Batch&, const Appended&) -> Status {
        ++again;
        return ok();
      });
  require(reopened.has_value() && again == *replayed + 1);
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  testing::MemoryIo io;
  require(io.make_directory(kDirectory).has_value());
  auto journal = Journal::open(io, kDirectory, small_segments(), {},
                               [](const Batch&, const Appended&) -> Status { return ok(); });
  require(journal.has_value());
  const Bytes data(300, 'd');
  for (int i = 0; i < 3; ++i) {
    Batch batch(OpKind::kWrite, {.request_id = 7, .uid = 1, .pid = 2, .command = "logger"});
    batch.put(inode_key(7), encode(InodeRecord{}));
    batch.put(extent_key(7, 300), encode(Extent{.kind = ExtentKind::kJournal,
                                                .length = 300,
                                                .position = batch.append_data(data)}));
    batch.remove(inode_key(8));
    require((*journal)->append(batch).has_value());
    require((*journal)->sync_to(1).has_value());
  }
  const Bytes& segment = *io.files().at(kDirectory + "/" + segment_file_name(1));
  const Bytes whole = segment.substr(0, segment.find_last_not_of('\0') + 1);
  const Bytes records = whole.substr(SegmentHeader::kRecordsOffset);
  add('\0' + whole);
  add('\1' + records);
  add('\3' + records);
  require((*journal)->close().has_value());
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace amberfs;
  if (size < 1 || size > 256 * kKiB) return 0;
  const unsigned choice = bytes[0];
  const ByteView input(reinterpret_cast<const char*>(bytes) + 1, size - 1);

  (void)decode_segment_header(input);
  (void)decode_record_header(input);
  (void)decode_changes(input, size);

  Bytes segment(SegmentHeader::kRecordsOffset, '\0');
  if ((choice & 1) != 0) {
    segment += input;
    put_header(segment);
    if ((choice & 2) != 0) correct_records(segment);
  } else {
    segment = input;
  }
  testing::MemoryIo io;
  require(io.make_directory(kDirectory).has_value());
  io.files()[kDirectory + "/" + segment_file_name(1)] = std::make_shared<Bytes>(segment);
  std::uint64_t replayed = 0;
  open_it(io, &replayed);
  return 0;
}
