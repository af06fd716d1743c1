// SPDX-License-Identifier: Apache-2.0
// Index: LMDB's file with any damage to any of its pages. It answers or is refused, and what is
// put is found; LMDB, which would die of it, never looks at a page that is not as it must be.
//
//   input: up to 32 damages (u8 page, u16 where in it, u8 how many bytes, those)
#include "blockstore/base/coding.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/temp_dir.h"
#include "tests/support/used_index.h"

#include <algorithm>

namespace amberfs {
namespace {

using fuzz::require;

constexpr std::uint64_t kCount = 400;
constexpr std::size_t kPageSize = 4096;

Bytes made() {
  const testing::TempDir directory;
  const std::string path = directory / "data.mdb";
  require(testing::make_used_index(path, kCount).has_value());
  require(testing::use_index(path, kCount).has_value());
  return make_posix_io()->read_file(path, kMiB).value();
}

const Bytes& index_file() {
  static const Bytes file = made();
  return file;
}

Bytes damage(std::size_t page, std::size_t where, ByteView bytes) {
  Encoder e;
  e.u8(static_cast<std::uint8_t>(page)).u16(static_cast<std::uint16_t>(where));
  e.u8(static_cast<std::uint8_t>(bytes.size())).bytes(bytes);
  return std::move(e).take();
}

}  // namespace

// Of each page its header, its first node, and one of its last ones.
void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  add({});
  const std::size_t pages = index_file().size() / kPageSize;
  for (std::size_t page = 0; page < pages; ++page) {
    const char* bytes = index_file().data() + page * kPageSize;
    add(damage(page, 0, {bytes, 32}));
    add(damage(page, 40, {bytes + 40, 120}));
    const std::size_t node = std::min<std::size_t>(load_le<std::uint16_t>(bytes + 16), 4032);
    add(damage(page, node, {bytes + node, 48}));
    add(damage(page, 8, ByteView("\x05\x00\x02\x00", 4)) +
        damage(pages - 1 - page, 12, "\x7f\x7f"));
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size > 64 * kKiB) return 0;
  Bytes file = index_file();
  Decoder d(fuzz::as_bytes(data, size));
  for (int count = 0; count < 32 && d.remaining() > 0; ++count) {
    const std::size_t at = d.u8() * kPageSize + d.u16() % kPageSize;
    const ByteView bytes = d.bytes(d.u8());
    if (at >= file.size()) continue;
    const std::size_t fits = std::min(bytes.size(), file.size() - at);
    file.replace(at, fits, bytes.substr(0, fits));
  }
  static const testing::TempDir directory;
  const std::string path = directory / "data.mdb";
  const auto io = make_posix_io();
  const auto target = io->open(path, OpenMode::kCreateOrOpen);
  fuzz::require(target.has_value() && (*target)->truncate(0) && (*target)->pwrite(file, 0));
  (void)testing::use_index(path, kCount);
  return 0;
}
