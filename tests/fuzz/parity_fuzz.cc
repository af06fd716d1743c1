// SPDX-License-Identifier: Apache-2.0
// Parity: a pack that rotted, beside any bytes as its parity file. Healing ends, and no frame that
// could be read before reads otherwise afterwards: whatever parity says. Of the first byte, bit 0:
// both headers and the checksum of the table are made right, so that the fuzzer gets behind them;
// bit 1: the headers are those of this pack.
//
//   input: u8 choice, u8 how many damages (u32 where, u8 how many bytes, those), the parity file
#include "blockstore/base/coding.h"
#include "blockstore/pack_heal.h"
#include "blockstore/pack_look.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_writer.h"
#include "blockstore/parity_writer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_io.h"

#include <map>

namespace amberfs {
namespace {

using fuzz::require;

const std::string kPacks = "packs";
constexpr unsigned kPercent = 20;

struct Made {
  PackId id{};
  Bytes pack;
  Bytes parity;
  std::vector<FrameSpot> frames;
};

Made make_pack() {
  testing::MemoryIo io;
  auto pack = PackWriter::create(io, kPacks);
  require(pack.has_value());
  for (int i = 0; i < 12; ++i) {
    const Bytes plain = random_bytes(200 + 300 * static_cast<std::size_t>(i));
    const FrameCipher frames(nullptr);
    const StoredFrame frame = frames.store(
        (*pack)->id(),
        {.plain_size = static_cast<std::uint32_t>(plain.size()), .id = BlockId{sha256(plain)}},
        plain);
    require((*pack)->append(frame).has_value());
  }
  require((*pack)->seal().has_value());
  Made made{.id = (*pack)->id()};
  made.pack = *io.files().at((*pack)->path());
  Pace pace;
  require(write_parity(io, kPacks, made.id, made.pack.size(), kPercent, pace).has_value());
  made.parity = *io.files().at(kPacks + "/" + parity_file_name(made.id));
  const auto file = io.open((*pack)->path(), OpenMode::kRead);
  made.frames = read_footer(**file, made.id).value().frames;
  return made;
}

const Made& made() {
  static const Made made = make_pack();
  return made;
}

// As whoever makes a parity file on purpose: what it says of itself holds.
void correct_headers(Bytes& parity, bool of_this_pack) {
  if (parity.size() < 2 * kParityHeaderSize) return;
  Decoder d(parity);
  d.bytes(16);
  ParityHeader header{.pack = made().id};
  d.bytes(header.pack.size());
  header.geometry.pack_size = of_this_pack ? made().pack.size() : d.u64();
  if (of_this_pack) (void)d.u64();
  header.geometry.shard_size = d.u32();
  header.geometry.data_rows = d.u16();
  header.geometry.parity_rows = d.u16();
  const std::uint64_t table = header.geometry.shard_size == 0 || header.geometry.data_rows == 0
                                  ? 0
                                  : header.geometry.table_size();
  if (table < parity.size()) {
    header.table_checksum = xxh3(ByteView(parity).substr(kParityHeaderSize, table));
  }
  const Bytes raw = encode_parity_header(header);
  parity.replace(0, raw.size(), raw);
  parity.replace(parity.size() - raw.size(), raw.size(), raw);
}

std::map<std::uint64_t, Bytes> readable(Io& io, const std::string& path) {
  const auto file = io.open(path, OpenMode::kRead);
  require(file.has_value());
  std::map<std::uint64_t, Bytes> frames;
  for (const FrameSpot& spot : made().frames) {
    if (auto plain = read_block(**file, made().id, spot, FrameCipher(nullptr))) {
      frames[spot.offset] = *std::move(plain);
    }
  }
  return frames;
}

void heal(const Bytes& pack, const Bytes& parity, bool dry_run) {
  testing::MemoryIo io;
  const std::string path = kPacks + "/" + pack_file_name(made().id);
  io.files()[path] = std::make_shared<Bytes>(pack);
  io.files()[kPacks + "/" + parity_file_name(made().id)] = std::make_shared<Bytes>(parity);
  const auto before = readable(io, path);
  const PackToLookAt what{.id = made().id, .length = made().pack.size(), .sealed = true};
  const auto file = io.open(path, OpenMode::kRead);
  Pace pace;
  const auto look = look_at_pack(**file, what, pace);
  if (!look) return;  // kNewerFormat
  const HealOptions options{.parity_percent = kPercent, .dry_run = dry_run};
  const auto healed = heal_pack(io, kPacks, what, *look, options, pace);
  const auto after = readable(io, path);
  for (const auto& [offset, plain] : before) {
    const auto found = after.find(offset);
    require(found != after.end() && found->second == plain);
  }
  if (dry_run) require(*io.files().at(path) == pack);
  if (!healed || dry_run || !healed->lost.empty() || !healed->failure.empty()) return;
  // What it calls whole is whole.
  const auto again = look_at_pack(**file, what, pace);
  require(again && again->is_sound());
}

Bytes damage(std::uint32_t where, ByteView bytes) {
  Encoder e;
  e.u32(where).u8(static_cast<std::uint8_t>(bytes.size())).bytes(bytes);
  return std::move(e).take();
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  const Bytes& parity = made().parity;
  for (const char choice : {'\0', '\1', '\3'}) {
    add(choice + Bytes(1, '\0') + parity);
    add(choice + Bytes(1, '\1') + damage(900, "rotten") + parity);
    add(choice + Bytes(1, '\2') + damage(3, "x") + damage(9000, Bytes(200, 'y')) + parity);
  }
  heal(made().pack, parity, false);
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 128 * kKiB) return 0;
  Decoder d(fuzz::as_bytes(data, size));
  const unsigned choice = d.u8();
  Bytes pack = made().pack;
  for (int count = d.u8() % 16; count > 0 && d.ok(); --count) {
    const std::size_t where = d.u32() % pack.size();
    const ByteView bytes = d.bytes(d.u8());
    const std::size_t fits = std::min(bytes.size(), pack.size() - where);
    pack.replace(where, fits, bytes.substr(0, fits));
  }
  Bytes parity(d.bytes(d.remaining()));
  if ((choice & 1) != 0) correct_headers(parity, (choice & 2) != 0);
  heal(pack, parity, (choice & 4) != 0);
  return 0;
}
