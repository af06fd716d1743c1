// SPDX-License-Identifier: Apache-2.0
// Journal: any bytes in a segment file give a journal or an error, never a crash or a large
// allocation. The first byte chooses what else is put right, so that the fuzzer gets behind the
// checksums: bit 0 gives the file a valid segment header, bit 1 corrects salt, segment, sequence,
// sizes and checksums of each record that follows another one without a gap. Bit 2: of an encrypted
// store; with bit 1 the bytes are what a record hides (private fields and changes), and each is
// sealed anew, so that the fuzzer gets behind the authentication, too.
#include "blockstore/store_cipher.h"
#include "fs/batch_format.h"
#include "fs/journal_format.h"
#include "fs/journal_seal.h"
#include "fs/packed_data.h"
#include "fs/segment.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"

namespace amberfs {
namespace {

using fuzz::require;

constexpr std::uint64_t kSalt = 0x1122334455667788;
const std::string kDirectory = "journal";

std::shared_ptr<const StoreCipher> fixed_cipher() {
  // Never destroyed: OpenSSL may be gone before it at the end of the process.
  static const auto& cipher = *new std::shared_ptr<const StoreCipher>(
      StoreCipher::make(SecretBytes::copy_of(Bytes(kKeySize, 'T')).value()).value());
  return cipher;
}

JournalOptions small_segments(bool sealed) {
  JournalOptions options;
  if (sealed) options.packing.cipher = fixed_cipher();
  options.segment_size_bytes = 16 * kKiB;
  options.spare_segments_max = 1;
  options.prepare_ahead = false;
  return options;
}

void put_header(Bytes& segment, bool sealed) {
  SegmentHeader header;
  header.sealed = sealed;
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

// What each record hides, and how large its data area is: u8 data areas, u16 how many hidden bytes,
// as many. They become records as the journal writes them.
Bytes sealed_records(ByteView list) {
  Decoder d(list);
  Bytes records;
  std::uint64_t seq = 1;
  while (d.ok() && d.remaining() > 0) {
    const std::size_t areas = d.u8() % 4;
    const ByteView hidden = d.bytes(d.u16());
    if (!d.ok()) break;
    Bytes buffer;
    Bytes data;
    for (std::size_t i = 0; i < areas; ++i) {
      data += pack_data("data of a write", small_segments(true).packing, buffer);
    }
    RecordHeader header{.salt = kSalt, .segment = 1, .seq = seq++};
    header.payload_size = static_cast<std::uint32_t>(hidden.size() + Sealer::kOverhead);
    header.data_size = static_cast<std::uint32_t>(data.size());
    // As seal_payload(), but for what is hidden, which is the fuzzer's. docs/format/journal.md.
    const Bytes head = encode_record_header(header);
    std::vector<ByteView> bound{ByteView(head).substr(0, RecordHeader::kSize - 16)};
    const std::size_t size = areas == 0 ? 0 : data.size() / areas;
    for (std::size_t i = 0; i < areas; ++i) {
      const ByteView area = ByteView(data).substr(i * size, size);
      bound.push_back(area.substr(0, SealedArea::kHeaderSize + Sealer::kNonceSize));
      bound.push_back(area.substr(area.size() - Sealer::kTagSize));
    }
    const Bytes payload = fixed_cipher()->journal().seal(bound, std::span(&hidden, 1));
    header.body_checksum = sealed_body_checksum(payload, xxh3(data));
    records += encode_record_header(header) + payload + data;
  }
  return records;
}

// The bytes that an extent names can be read or are refused.
void read_extents(Journal& journal, const Batch& batch) {
  for (const Change& change : batch.changes()) {
    if (!change.value) continue;
    const auto extent = journal_extent(change.key, *change.value);
    if (!extent) continue;
    Bytes bytes(std::min<std::uint32_t>(extent->length, 64 * kKiB), '\0');
    (void)journal.read(extent->segment, extent->position, bytes.data(), bytes.size());
    (void)journal.read_packed({extent->segment, extent->position}, extent->packed_offset,
                              bytes.data(), bytes.size());
  }
}

void open_it(Io& io, std::uint64_t* replayed, bool sealed) {
  const JournalOptions options = small_segments(sealed);
  std::vector<Batch> batches;
  auto journal = Journal::open(io, kDirectory, options, {},
                               [&](const Batch& seen, const Appended& where) -> Status {
                                 require(where.seq == ++*replayed);
                                 batches.push_back(seen);
                                 return ok();
                               });
  if (!journal) return;
  for (const Batch& seen : batches) read_extents(**journal, seen);
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

Bytes segment_of(bool sealed) {
  testing::MemoryIo io;
  require(io.make_directory(kDirectory).has_value());
  const JournalOptions options = small_segments(sealed);
  auto journal = Journal::open(io, kDirectory, options, {},
                               [](const Batch&, const Appended&) -> Status { return ok(); });
  require(journal.has_value());
  const Bytes data(300, 'd');
  for (int i = 0; i < 3; ++i) {
    Bytes buffer;
    Batch batch(OpKind::kWrite, {.request_id = 7, .uid = 1, .pid = 2, .command = "logger"});
    batch.put(inode_key(7), encode(InodeRecord{}));
    const ByteView area = sealed ? pack_data(data, options.packing, buffer) : ByteView(data);
    batch.put(extent_key(7, 300),
              encode(Extent{.kind = sealed ? ExtentKind::kPacked : ExtentKind::kJournal,
                            .length = 300,
                            .position = batch.append_data(area)}));
    batch.remove(inode_key(8));
    require((*journal)->append(batch).has_value());
    require((*journal)->sync_to(1).has_value());
  }
  const Bytes segment = *io.files().at(kDirectory + "/" + segment_file_name(1));
  require((*journal)->close().has_value());
  return segment.substr(0, segment.find_last_not_of('\0') + 1);
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  for (const bool sealed : {false, true}) {
    const Bytes whole = segment_of(sealed);
    const Bytes records = whole.substr(SegmentHeader::kRecordsOffset);
    const char form = sealed ? '\4' : '\0';
    add(form + whole);
    add(static_cast<char>(form | 1) + records);
    if (!sealed) add('\3' + records);
  }
  const Bytes hidden =
      Bytes(56, '\0') +
      encode_changes(std::vector<Change>{
          {extent_key(7, 15),
           encode(Extent{.kind = ExtentKind::kPacked, .length = 15, .position = 0})},
          {inode_key(8), std::nullopt}});
  Encoder list;
  for (int i = 0; i < 2; ++i) {
    list.u8(1).u16(static_cast<std::uint16_t>(hidden.size())).bytes(hidden);
  }
  add('\7' + Bytes(list.view()));
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace amberfs;
  if (size < 1 || size > 256 * kKiB) return 0;
  const unsigned choice = bytes[0];
  const bool sealed = (choice & 4) != 0;
  const ByteView input(reinterpret_cast<const char*>(bytes) + 1, size - 1);

  (void)decode_segment_header(input);
  (void)decode_record_header(input);
  (void)decode_changes(input, size);
  (void)open_area(*fixed_cipher(), input);
  // As who has the key could seal it.
  const ByteView label = "amberfs journal area";
  if (sealed) {
    const Bytes area = fixed_cipher()->journal().seal(std::span(&label, 1), std::span(&input, 1));
    (void)open_area(*fixed_cipher(), area);
  }

  Bytes segment(SegmentHeader::kRecordsOffset, '\0');
  if ((choice & 1) != 0) {
    segment += sealed && (choice & 2) != 0 ? sealed_records(input) : Bytes(input);
    put_header(segment, sealed);
    if (!sealed && (choice & 2) != 0) correct_records(segment);
  } else {
    segment = input;
  }
  testing::MemoryIo io;
  require(io.make_directory(kDirectory).has_value());
  io.files()[kDirectory + "/" + segment_file_name(1)] = std::make_shared<Bytes>(segment);
  std::uint64_t replayed = 0;
  open_it(io, &replayed, sealed);
  return 0;
}
