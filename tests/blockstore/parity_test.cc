// SPDX-License-Identifier: Apache-2.0
// Parity: whatever is lost within its bounds comes back as it was, and nothing is ever written
// that is not.
#include "blockstore/erasure_code.h"
#include "blockstore/pack_heal.h"
#include "blockstore/pack_writer.h"
#include "blockstore/parity_writer.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/fault_io.h"

#include <numeric>

namespace amberfs {
namespace {

using testing::Fault;
using testing::FaultIo;
using testing::must;
using testing::random_text;

TEST(ErasureCode, BringsBackAnyRowsUpToItsParity) {
  struct Shape {
    unsigned data;
    unsigned parity;
  };
  constexpr std::size_t kSize = 100;
  std::mt19937 random(7);
  for (const Shape shape : {Shape{1, 1}, Shape{1, 2}, Shape{3, 2}, Shape{20, 5}, Shape{247, 8}}) {
    const ErasureCode code(shape.data, shape.parity);
    std::vector<Bytes> rows;
    for (unsigned i = 0; i < shape.data; ++i) rows.push_back(random_text(i + 1, kSize));
    rows.resize(shape.data + shape.parity, Bytes(kSize, '\0'));
    std::vector<char*> pointers;
    for (Bytes& row : rows) pointers.push_back(row.data());
    code.encode(kSize, pointers);
    const std::vector<Bytes> whole = rows;
    for (unsigned count = 1; count <= shape.parity + 1; ++count) {
      for (int round = 0; round < 20; ++round) {
        std::vector<unsigned> order(rows.size());
        std::iota(order.begin(), order.end(), 0U);
        std::ranges::shuffle(order, random);
        std::vector<unsigned> lost(
            order.begin(),
            order.begin() + std::min<std::ptrdiff_t>(count, static_cast<long>(order.size())));
        std::ranges::sort(lost);
        for (const unsigned row : lost) std::ranges::fill(rows[row], 'x');
        const Status restored = code.restore(kSize, pointers, lost);
        EXPECT_EQ(restored.has_value(), lost.size() <= shape.parity) << lost.size();
        if (restored) {
          EXPECT_EQ(rows, whole);
        } else {
          EXPECT_EQ(restored.error().code, Errc::kCorrupt);
        }
        for (std::size_t i = 0; i < rows.size(); ++i) {
          std::ranges::copy(whole[i], rows[i].begin());
        }
      }
    }
  }
}

TEST(ParityGeometry, HasAtLeastTheAskedShareInEverySize) {
  for (const unsigned percent : {1U, 3U, 10U, kParityPercentMax}) {
    for (std::uint64_t size :
         {std::uint64_t{1}, std::uint64_t{103}, 5 * kKiB, 100 * kKiB + 1, 130 * kKiB, kMiB - 1,
          4 * kMiB, 40 * kMiB + 17, 256 * kMiB + 5, 4 * kGiB}) {
      const ParityGeometry geometry = choose_parity_geometry(size, percent);
      EXPECT_GE(geometry.data_shards() * geometry.shard_size, size);
      EXPECT_GE(geometry.parity_rows * 100U, geometry.data_rows * percent) << size;
      EXPECT_LE(geometry.data_rows + geometry.parity_rows, 255);
      // No column is empty, and not much more is written than was asked for.
      EXPECT_LT((geometry.data_shards() - geometry.columns()) * geometry.shard_size, size);
      if (size < 10 * kMiB) continue;
      EXPECT_LT(geometry.file_size() * 100, size * (percent + 1)) << size << " " << percent;
    }
  }
}

// A reader keeps a checksum of each shard: what a hostile store asks for is bounded.
TEST(ParityHeader, OfMoreShardsThanAPackCanHaveIsNone) {
  ParityHeader header;
  header.geometry = choose_parity_geometry(std::uint64_t{300} * kMiB, 50);
  EXPECT_TRUE(decode_parity_header(encode_parity_header(header)));
  header.geometry = {
      .pack_size = std::uint64_t{1} << 40, .shard_size = 512, .data_rows = 1, .parity_rows = 255};
  EXPECT_FALSE(decode_parity_header(encode_parity_header(header)));
}

TEST(ParityHeader, IsWhatWasWrittenAndNothingElse) {
  const ParityHeader header{
      .pack = {1, 2, 3}, .geometry = choose_parity_geometry(1234567, 3), .table_checksum = 99};
  const Bytes raw = encode_parity_header(header);
  ASSERT_EQ(raw.size(), kParityHeaderSize);
  EXPECT_EQ(must(decode_parity_header(raw)), header);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    Bytes flipped = raw;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(decode_parity_header(flipped)) << i;
  }
}

// A sealed pack with its parity.
class Parity : public ::testing::Test {
 protected:
  void make(std::size_t blocks, std::size_t block_size, unsigned percent = 3) {
    auto writer = must(PackWriter::create(*io, dir.path()));
    pack.id = writer->id();
    for (std::size_t i = 0; i < blocks; ++i) {
      const Bytes stored = random_text(i + 1, block_size + i % 7);
      const FrameHeader header{.type = FrameType::kData,
                               .stored_size = static_cast<std::uint32_t>(stored.size()),
                               .plain_size = static_cast<std::uint32_t>(stored.size()),
                               .id = BlockId{sha256(stored)}};
      must(writer->append(header, encode_frame_header(pack.id, header, stored), stored));
    }
    must(writer->seal());
    pack.length = writer->length();
    pack.sealed = true;
    must(writer->close());
    pack_path = dir / pack_file_name(pack.id);
    parity_path = dir / parity_file_name(pack.id);
    options.parity_percent = percent;
    Pace pace;
    const std::uint64_t size =
        must(write_parity(*io, dir.path(), pack.id, pack.length, percent, pace));
    whole = bytes_of(pack_path);
    whole_parity = bytes_of(parity_path);
    EXPECT_EQ(size, whole_parity.size());
    geometry = choose_parity_geometry(pack.length, percent);
  }
  Bytes bytes_of(const std::string& path) { return must(io->read_file(path, kGiB)); }
  void overwrite(const std::string& path, const Bytes& bytes) {
    auto file = must(io->open(path, OpenMode::kReadWrite));
    must(file->truncate(0));
    must(file->pwrite(bytes, 0));
  }
  Result<HealReport> heal_on(Io& disk) {
    Pace pace;
    TRY_ASSIGN(auto file, disk.open(pack_path, OpenMode::kRead));
    TRY_ASSIGN(PackLook look, look_at_pack(*file, pack, pace));
    return heal_pack(disk, dir.path(), pack, look, options, pace);
  }
  HealReport heal() {
    FaultIo quick(*io);
    quick.track_unsynced();  // no real syncs
    return must(heal_on(quick));
  }
  void expect_healed(const std::string& what) {
    const HealReport report = heal();
    EXPECT_EQ(report.failure, "") << what;
    EXPECT_TRUE(report.lost.empty()) << what;
    EXPECT_TRUE(bytes_of(pack_path) == whole) << what;
    EXPECT_TRUE(bytes_of(parity_path) == whole_parity) << what;
  }

  testing::TempDir dir;
  std::unique_ptr<Io> io = make_posix_io();
  PackToLookAt pack;
  std::string pack_path;
  std::string parity_path;
  Bytes whole;
  Bytes whole_parity;
  ParityGeometry geometry;
  HealOptions options;
};

TEST_F(Parity, HealsAnyByteOfASmallPack) {
  make(3, 300);
  for (std::size_t offset = 0; offset < whole.size(); offset += offset < 70 ? 1 : 7) {
    Bytes bytes = whole;
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x10);
    overwrite(pack_path, bytes);
    expect_healed("byte " + std::to_string(offset));
  }
}

TEST_F(Parity, WritesItselfAnewWhereAnyByteOfItIsDamaged) {
  make(3, 300);
  for (std::size_t offset = 0; offset < whole_parity.size(); offset += 5) {
    Bytes bytes = whole_parity;
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x10);
    overwrite(parity_path, bytes);
    const HealReport report = heal();
    EXPECT_TRUE(report.parity_written) << offset;
    EXPECT_FALSE(report.parity_damaged.empty()) << offset;
    ASSERT_TRUE(bytes_of(parity_path) == whole_parity) << offset;
  }
  must(io->unlink(parity_path));
  EXPECT_TRUE(heal().parity_missing);
  EXPECT_EQ(bytes_of(parity_path), whole_parity);
}

TEST_F(Parity, HealsOneLongRunOfZeros) {
  make(40, 100'000);
  const std::uint64_t run =
      (geometry.columns() * geometry.parity_rows - 1) * geometry.shard_size + 1;
  EXPECT_GE(run * 100, pack.length * 3 - 100 * geometry.shard_size);
  for (const std::uint64_t begin :
       {std::uint64_t{0}, std::uint64_t{777'777}, pack.length / 2, pack.length - run}) {
    Bytes bytes = whole;
    bytes.replace(begin, run, Bytes(run, '\0'));
    overwrite(pack_path, bytes);
    expect_healed("zeros from " + std::to_string(begin));
  }
}

TEST_F(Parity, HealsAPackThatWasCutShortOrGrew) {
  make(40, 100'000);
  for (const std::size_t missing : {std::size_t{1}, std::size_t{40}, std::size_t{100'000}}) {
    overwrite(pack_path, whole.substr(0, whole.size() - missing));
    expect_healed("without the last " + std::to_string(missing));
  }
  overwrite(pack_path, whole + "behind the end");
  expect_healed("with bytes behind its end");
}

TEST_F(Parity, HealsUpToItsParityInEachColumnAndNamesTheRestBeyond) {
  make(40, 100'000);
  const std::uint64_t rows = geometry.parity_rows;
  for (std::uint64_t lost = 1; lost <= rows + 1; ++lost) {
    Bytes bytes = whole;
    for (std::uint64_t column = 0; column < geometry.columns(); ++column) {
      for (std::uint64_t i = 0; i < lost; ++i) {
        // In rows of its own for each column, never behind the end.
        const std::uint64_t row = (column * 5 + i * 11) % (geometry.data_rows - 1U);
        const std::uint64_t at = (row * geometry.columns() + column) * geometry.shard_size + 99;
        bytes[at] = static_cast<char>(bytes[at] ^ 4);
      }
    }
    overwrite(pack_path, bytes);
    if (lost <= rows) {
      expect_healed(std::to_string(lost) + " a column");
      continue;
    }
    const HealReport report = heal();
    EXPECT_FALSE(report.lost.empty());
    EXPECT_TRUE(report.repaired.empty());
    EXPECT_EQ(bytes_of(pack_path), bytes);  // what is not known is not touched
  }
}

TEST_F(Parity, HealsWithDamageInItselfAsWell) {
  make(40, 100'000);
  Bytes parity = whole_parity;
  parity[3] = 'x';                                   // a header
  parity[kParityHeaderSize + 1000] ^= 1;             // checksums, one copy
  parity[geometry.rows_offset() + 5] ^= 1;           // a row
  parity[geometry.second_table_offset() + 30] ^= 1;  // the other copy, elsewhere
  Bytes bytes = whole;
  const std::uint64_t run = geometry.columns() * (geometry.parity_rows - 2) * geometry.shard_size;
  bytes.replace(12345, run, Bytes(run, '\xff'));
  overwrite(pack_path, bytes);
  overwrite(parity_path, parity);
  expect_healed("with damage in both");
}

TEST_F(Parity, NeverTouchesAPackThatIsSound) {
  make(10, 5000);
  // Parity that is whole by its own checksums and wrong about every byte of the pack.
  Bytes lie = whole_parity;
  const ParityHeader header = must(decode_parity_header(lie));
  for (std::uint64_t i = 0; i < header.geometry.table_size(); ++i) {
    lie[kParityHeaderSize + i] ^= 0x55;
    lie[header.geometry.second_table_offset() + i] ^= 0x55;
  }
  ParityHeader forged = header;
  forged.table_checksum =
      xxh3(ByteView(lie).substr(kParityHeaderSize, header.geometry.table_size()));
  lie.replace(0, kParityHeaderSize, encode_parity_header(forged));
  lie.replace(header.geometry.second_header_offset(), kParityHeaderSize,
              encode_parity_header(forged));
  overwrite(parity_path, lie);
  expect_healed("parity that lies");  // it is the parity that is made anew
}

TEST_F(Parity, SaysWhatItWouldDoAndDoesNothing) {
  make(10, 5000);
  Bytes bytes = whole;
  bytes[1000] ^= 1;
  overwrite(pack_path, bytes);
  must(io->unlink(parity_path));
  options.dry_run = true;
  EXPECT_FALSE(heal().lost.empty());
  const auto there = must(io->exists(parity_path));
  EXPECT_FALSE(there);
  auto file = must(io->open(parity_path, OpenMode::kCreateNew));
  must(file->pwrite(whole_parity, 0));
  const HealReport report = heal();
  ASSERT_EQ(report.repaired.size(), 1U);
  EXPECT_LE(report.repaired[0].offset, 1000U);
  EXPECT_TRUE(report.lost.empty());
  EXPECT_EQ(bytes_of(pack_path), bytes);
}

TEST_F(Parity, IsNotMadeOfADamagedPack) {
  make(10, 5000);
  Bytes bytes = whole;
  bytes[1000] ^= 1;
  overwrite(pack_path, bytes);
  must(io->unlink(parity_path));
  Pace pace;
  const auto written = write_parity(*io, dir.path(), pack.id, pack.length, 3, pace);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kCorrupt);
  const auto there = must(io->exists(parity_path));
  EXPECT_FALSE(there);
}

// Any one call to the disk fails, with and without a power cut behind it: the pack holds what it
// held or what it should hold, byte by byte, and the next run heals it.
TEST_F(Parity, FailureAtAnyDiskCallLosesNothing) {
  make(12, 20'000);
  Bytes bytes = whole;
  bytes.replace(30'000, 3000, Bytes(3000, '\0'));
  bytes[200'000] ^= 1;
  Bytes parity = whole_parity;
  parity[kParityHeaderSize + 9] ^= 1;
  for (const bool power_cut : {false, true}) {
    for (const bool sticky : {false, true}) {
      bool fired = true;
      for (std::uint64_t at = 1; fired; ++at) {
        overwrite(pack_path, bytes);
        overwrite(parity_path, parity);
        FaultIo faulty(*io);
        faulty.track_unsynced();
        faulty.count(testing::kIoAll);
        faulty.arm({.at = at, .torn_percent = 50, .sticky = sticky});
        if (auto healed = heal_on(faulty); healed && healed->failure.empty()) {
          EXPECT_FALSE(healed->was_sound);
        }
        fired = faulty.fired();
        faulty.disarm();
        if (power_cut) must(faulty.lose_unsynced());
        const Bytes now = bytes_of(pack_path);
        ASSERT_EQ(now.size(), whole.size());
        for (std::size_t i = 0; i < now.size(); ++i) {
          ASSERT_TRUE(now[i] == whole[i] || now[i] == bytes[i]) << "byte " << i << " call " << at;
        }
        expect_healed("after call " + std::to_string(at));
      }
    }
  }
}

}  // namespace
}  // namespace amberfs
