// SPDX-License-Identifier: Apache-2.0
// Records of an encrypted store: nothing in them can be read, changed, or put elsewhere. Whoever
// attacks here can make every checksum match.
#include "fs/journal_seal.h"

#include "blockstore/base/hash.h"
#include "fs/batch_format.h"
#include "fs/packed_data.h"
#include "tests/fs/journal_support.h"
#include "tests/support/both_forms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace amberfs {
namespace {

using testing::fixed_cipher;
using testing::read_bytes;
using testing::try_open_journal;
using testing::write_bytes;

constexpr ByteView kSecretText = "opensesame-zkqvwx ";

class JournalSeal : public ::testing::Test {
 protected:
  JournalSeal() {
    options_.packing.cipher = fixed_cipher();
    options_.segment_size_bytes = 64 * kKiB;
  }
  // A write of `plain` at the beginning of inode 5.
  Appended write(Journal& journal, ByteView plain) {
    Bytes buffer;
    Batch batch(OpKind::kWrite, {77, 1000, 1001, 4242, "qzjxkvprogram"});
    Extent extent{ExtentKind::kPacked, static_cast<std::uint32_t>(plain.size())};
    extent.position = batch.append_data(pack_data(plain, options_.packing, buffer));
    batch.put(extent_key(5, plain.size()), encode(extent));
    batch.put("qzjxkvname", Bytes(20, 'n'));
    return journal.append(batch).value();
  }
  Bytes read(Journal& journal, const Appended& where, std::size_t size) {
    Bytes bytes(size, '?');
    const Status got =
        journal.read_packed({where.segment, where.data_position}, 0, bytes.data(), size);
    return got ? bytes : got.error().to_string();
  }
  Result<testing::OpenedJournal> open() { return try_open_journal(*io_, dir_.path(), options_); }
  std::string path() { return dir_ / segment_file_name(1); }
  // Where records begin in the file, and behind the last one.
  std::vector<std::size_t> offsets() {
    const Bytes file = read_bytes(path());
    std::vector<std::size_t> found{SegmentHeader::kRecordsOffset};
    while (true) {
      const auto header = decode_record_header(ByteView(file).substr(found.back()));
      if (!header) return found;
      found.push_back(found.back() + header->record_size());
    }
  }
  // Puts all checksums of a record right, as an attacker does.
  static void make_whole(Bytes& file, std::size_t at) {
    char* record = file.data() + at;
    const auto payload = load_le<std::uint32_t>(record + 40);
    const auto data = load_le<std::uint32_t>(record + 44);
    const ByteView body(record + RecordHeader::kSize, payload + data);
    store_le(record + 112,
             sealed_body_checksum(body.substr(0, payload), xxh3(body.substr(payload))));
    store_le(record + 120, xxh3({record, 120}));
  }
  Errc code_of_open() {
    auto opened = open();
    return opened ? Errc::kPosix : opened.error().code;
  }

  testing::TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  JournalOptions options_ = testing::tiny_segments();
};

TEST_F(JournalSeal, ReadsBackWhatWasWrittenAlsoAfterReplay) {
  const Bytes large(30'000, 'x');
  std::vector<Batch> seen;
  Appended small_at;
  Appended large_at;
  {
    auto opened = open();
    ASSERT_TRUE(opened);
    small_at = write(*opened->journal, kSecretText);
    large_at = write(*opened->journal, large);
    EXPECT_EQ(read(*opened->journal, small_at, kSecretText.size()), kSecretText);
    EXPECT_TRUE(opened->journal->check({}, opened->journal->tail()));
  }
  auto journal = Journal::open(*io_, dir_.path(), options_, {},
                               [&](const Batch& batch, const Appended&) -> Status {
                                 seen.push_back(batch);
                                 return ok();
                               });
  ASSERT_TRUE(journal) << journal.error().to_string();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].kind(), OpKind::kWrite);
  EXPECT_EQ(seen[0].origin().request_id, 77U);
  EXPECT_EQ(seen[0].origin().uid, 1000U);
  EXPECT_EQ(seen[0].origin().gid, 1001U);
  EXPECT_EQ(seen[0].origin().pid, 4242U);
  EXPECT_EQ(seen[0].origin().command, "qzjxkvprogram");
  EXPECT_EQ(seen[0].changes().size(), 2U);
  EXPECT_EQ(read(**journal, small_at, kSecretText.size()), kSecretText);
  EXPECT_EQ(read(**journal, large_at, large.size()), large);
}

TEST_F(JournalSeal, NothingOfItCanBeReadInTheFile) {
  write(*open()->journal, kSecretText);
  const Bytes file = read_bytes(path());
  for (const ByteView word : {ByteView("opensesame"), ByteView("qzjxkv"), ByteView("nnnnnnnn")}) {
    EXPECT_EQ(file.find(word), Bytes::npos) << word;
  }
}

TEST_F(JournalSeal, TakesNoUnsealedData) {
  auto opened = open();
  Batch batch(OpKind::kWrite);
  batch.append_data("plain bytes that are long enough to look like an area of some kind, perhaps");
  batch.put("k", "v");
  EXPECT_EQ(opened->journal->append(batch).error().code, Errc::kBadRequest);
  EXPECT_EQ(open()->seen.size(), 0U);
}

TEST_F(JournalSeal, EachFlippedBitOfARecordIsDamageAlsoWhenTheChecksumsMatch) {
  {
    auto opened = open();
    write(*opened->journal, kSecretText);
    write(*opened->journal, kSecretText);
    ASSERT_TRUE(opened->journal->close());
  }
  const std::vector<std::size_t> at = offsets();
  ASSERT_EQ(at.size(), 3U);
  const Bytes good = read_bytes(path());
  const auto header = decode_record_header(ByteView(good).substr(at[0])).value();
  // An area's own ciphertext is found when it is read.
  const std::size_t area = at[0] + RecordHeader::kSize + header.payload_size;
  const auto is_found_when_read = [&](std::size_t i) {
    return i >= area + SealedArea::kHeaderSize + Sealer::kNonceSize && i < at[1] - Sealer::kTagSize;
  };
  for (std::size_t i = at[0]; i < at[1]; ++i) {
    const std::size_t field = i - at[0];
    if (field >= 112 && field < RecordHeader::kSize) continue;  // the checksums themselves
    Bytes bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    if (field < 40 || field >= 48) make_whole(bad, at[0]);
    write_bytes(path(), bad);
    auto opened = open();
    if (is_found_when_read(i)) {
      ASSERT_TRUE(opened) << "byte " << field;
      EXPECT_THAT(read(*opened->journal, {1, 1, area}, kSecretText.size()),
                  ::testing::HasSubstr("decrypt"))
          << "byte " << field;
    } else {
      // Of another place or magic it is no record of this segment; its size leads to none.
      EXPECT_TRUE(!opened || opened->seen.empty()) << "byte " << field;
      if (field >= 48 || (field >= 4 && field < 8)) {
        EXPECT_FALSE(opened) << "byte " << field;
      }
    }
    // What recovery may have changed.
    write_bytes(path(), good);
    for (const std::string& file : testing::segment_files(dir_.path())) {
      if (file != path()) std::filesystem::remove(file);
    }
  }
}

TEST_F(JournalSeal, AreasCannotBeExchangedBetweenRecords) {
  {
    auto opened = open();
    write(*opened->journal, "transfer of 1,000,000 to A");
    write(*opened->journal, "transfer of 0,000,001 to B");
  }
  const std::vector<std::size_t> at = offsets();
  Bytes file = read_bytes(path());
  const auto header = decode_record_header(ByteView(file).substr(at[0])).value();
  const std::size_t skip = RecordHeader::kSize + header.payload_size;
  ASSERT_EQ(at[1] - at[0], at[2] - at[1]);
  std::swap_ranges(file.begin() + static_cast<std::ptrdiff_t>(at[0] + skip),
                   file.begin() + static_cast<std::ptrdiff_t>(at[1]),
                   file.begin() + static_cast<std::ptrdiff_t>(at[1] + skip));
  make_whole(file, at[0]);
  make_whole(file, at[1]);
  write_bytes(path(), file);
  EXPECT_EQ(code_of_open(), Errc::kJournalDamaged);
}

TEST_F(JournalSeal, RecordsCannotChangeTheirOrder) {
  {
    auto opened = open();
    write(*opened->journal, "first");
    write(*opened->journal, "other");
  }
  const std::vector<std::size_t> at = offsets();
  const Bytes good = read_bytes(path());
  Bytes file = good;
  const std::size_t size = at[1] - at[0];
  file.replace(at[0], size, good, at[1], size);
  file.replace(at[1], size, good, at[0], size);
  store_le<std::uint64_t>(file.data() + at[0] + 24, 1);
  store_le<std::uint64_t>(file.data() + at[1] + 24, 2);
  make_whole(file, at[0]);
  make_whole(file, at[1]);
  write_bytes(path(), file);
  EXPECT_EQ(code_of_open(), Errc::kJournalDamaged);
}

TEST_F(JournalSeal, CheckFindsWhatWasChangedSince) {
  auto opened = open();
  write(*opened->journal, kSecretText);
  const JournalPosition tail = opened->journal->tail();
  Bytes file = read_bytes(path());
  file[SegmentHeader::kRecordsOffset + RecordHeader::kSize + 30] ^= 1;
  make_whole(file, SegmentHeader::kRecordsOffset);
  write_bytes(path(), file);
  EXPECT_EQ(opened->journal->check({}, tail).error().code, Errc::kJournalDamaged);
}

TEST_F(JournalSeal, TheFormsDoNotMix) {
  write(*open()->journal, kSecretText);
  const auto cipher = std::exchange(options_.packing.cipher, nullptr);
  EXPECT_EQ(code_of_open(), Errc::kJournalDamaged);
  options_.packing.cipher = fixed_cipher('U');
  EXPECT_EQ(code_of_open(), Errc::kJournalDamaged);
  // Plain records, put there by somebody without the key.
  std::filesystem::remove(path());
  options_.packing.cipher = nullptr;
  testing::append_named(*open()->journal, "a");
  options_.packing.cipher = cipher;
  EXPECT_EQ(code_of_open(), Errc::kJournalDamaged);
}

TEST(JournalSealFormat, ReadsTheExampleOfTheDocument) {
  const auto cipher = fixed_cipher();
  const Bytes raw = testing::hex_block(read_bytes(AMBERFS_JOURNAL_FORMAT_DOC), 2);
  RecordView record;
  record.header = decode_record_header(raw).value();
  record.raw = raw;
  record.payload = record.raw.substr(RecordHeader::kSize, record.header.payload_size);
  const ByteView area = record.raw.substr(RecordHeader::kSize + record.payload.size());
  EXPECT_EQ(record.header.body_checksum, sealed_body_checksum(record.payload, xxh3(area)));
  const Bytes changes = open_record(cipher.get(), record).value();
  EXPECT_EQ(changes, encode_changes(std::vector<Change>{{"key", "value"}, {"old", std::nullopt}}));
  EXPECT_EQ(record.header.seq, 42U);
  EXPECT_EQ(record.header.kind, OpKind::kWrite);
  EXPECT_EQ(record.header.origin.command, "rsyslogd");
  EXPECT_EQ(record.header.origin.uid, 1000U);
  EXPECT_EQ(record.header.byte_delta, 9);
  EXPECT_EQ(open_area(*cipher, area.substr(SealedArea::kHeaderSize)).value(), "log line\n");
}

TEST(SealedArea, RefusesWhatIsNone) {
  const auto cipher = fixed_cipher();
  for (const Bytes& sealed : {Bytes(), Bytes(39, 'x'), Bytes(200, 'x')}) {
    EXPECT_FALSE(open_area(*cipher, sealed));
  }
  const auto sealed = [&](ByteView inner) {
    return cipher->journal().seal("amberfs journal area", inner);
  };
  Encoder raw;
  raw.u8(0).u8(0).u16(0).u32(3).bytes("abc");
  EXPECT_EQ(open_area(*cipher, sealed(raw.view())).value(), "abc");
  EXPECT_FALSE(open_area(*cipher, sealed("short")));
  Encoder wrong_size;
  wrong_size.u8(0).u8(0).u16(0).u32(4).bytes("abc");
  EXPECT_FALSE(open_area(*cipher, sealed(wrong_size.view())));
  Encoder no_codec;
  no_codec.u8(9).u8(0).u16(0).u32(3).bytes("abc");
  EXPECT_FALSE(open_area(*cipher, sealed(no_codec.view())));
}

}  // namespace
}  // namespace amberfs
