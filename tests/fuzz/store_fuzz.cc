// SPDX-License-Identifier: Apache-2.0
// A whole store: the input is a list of changes to the files of a small one (not to its index,
// which is LMDB's). It is opened, verified, listed, read and changed: each read gives the bytes
// that were stored or an error, what was lost is never taken for "there is no such file", and what
// is written afterwards is there when it is opened again. At last its index is made anew from the
// packs.
//
//   input:  u8 choice (bit 0: of an encrypted store; bit 1: the index is made anew), changes
//   change: u8 which file, u8 kind, u32 where, u8 how much, and as many bytes
#include "fs/check.h"
#include "fs/verify_store.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/small_store.h"

#include <sys/stat.h>

namespace amberfs {
namespace {

using fuzz::require;
using fuzz::SmallStore;

constexpr int kChangesMax = 16;

enum Kind : std::uint8_t {
  kFlip,
  kOverwrite,
  kCutOff,
  kInsert,
  kRemove,
  kTakeOther,
  kZero,
  kKinds
};

void change_file(SmallStore& store, Decoder& d) {
  const auto& files = store.files();
  if (files.empty()) return;
  const auto pick = [&](std::size_t number) {
    return std::next(files.begin(), static_cast<std::ptrdiff_t>(number % files.size()));
  };
  const auto chosen = pick(d.u8());
  const unsigned kind = d.u8() % kKinds;
  const std::uint32_t where = d.u32();
  const ByteView how = d.bytes(d.u8());
  if (!d.ok()) return;
  Bytes& bytes = *chosen->second;
  // Most of a journal's segment was never written.
  const std::size_t used = bytes.find_last_not_of('\0') + 1;
  const std::size_t at = where % (used + 1);
  switch (kind) {
    case kFlip:
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (how.empty() ? 1 : how[0]));
      break;
    case kOverwrite:
      bytes.replace(at, std::min(how.size(), bytes.size() - at), how);
      break;
    case kCutOff:
      bytes.resize(at);
      break;
    case kInsert:
      bytes.insert(at, how);
      break;
    case kRemove:
      store.files().erase(chosen->first);
      break;
    case kTakeOther:
      bytes = Bytes(*pick(where)->second);
      break;
    default:
      bytes.replace(at, std::min<std::size_t>(512, bytes.size() - at),
                    std::min<std::size_t>(512, bytes.size() - at), '\0');
  }
}

// The bytes of a file, or why they cannot be had. "There is no such file" is no excuse.
Result<Bytes> read_file(Engine& engine, const View& view, const std::string& path) {
  auto ino = view.resolve_path(path);
  if (!ino) {
    require(ino.error().code != Errc::kPosix);
    return fail(std::move(ino).error());
  }
  TRY_ASSIGN(const InodeRecord inode, view.inode(*ino));
  Bytes bytes(std::min<std::uint64_t>(inode.size_bytes, 4 * kMiB), '\0');
  TRY_ASSIGN(const std::size_t got, engine.data().read(view, *ino, 0, bytes.data(), bytes.size()));
  bytes.resize(got);
  return bytes;
}

void read_snapshots(Engine& engine, const SmallStore& store) {
  const auto inspected = engine.catalog().inspect();
  if (!inspected) return;
  for (const Manifest& manifest : inspected->good) {
    const auto expected = store.snapshots().find(manifest.id);
    require(expected != store.snapshots().end());
    const SnapshotView seen = engine.view_of(manifest);
    for (const auto& [path, content] : expected->second) {
      const auto bytes = read_file(engine, *seen.view, path);
      require(!bytes || *bytes == content);
    }
  }
}

void read_live(Engine& engine, const SmallStore& store) {
  const auto view = engine.live_view();
  for (const auto& [path, contents] : store.live()) {
    const auto bytes = read_file(engine, *view, path);
    require(!bytes || contents.contains(*bytes));
  }
}

// True: it is there, and must be there from now on.
bool write_more(Engine& engine) {
  FileSystem& fs = engine.filesystem();
  const auto made = fs.make({}, kRootIno, "new", {.mode = S_IFREG | 0600});
  return made && fs.write({}, made->ino, 0, "written later", {}) && engine.live().sync() &&
         engine.commit();
}

void use(SmallStore& store) {
  auto opened = store.open();
  if (!opened) {
    require(!opened.error().to_string().empty());
    return;
  }
  Engine& engine = **opened;
  read_snapshots(engine, store);
  read_live(engine, store);
  (void)verify_store(engine, true, {});
  const bool wrote = write_more(engine);
  read_live(engine, store);
  const Status closed = engine.close();
  opened->reset();
  if (!wrote || !closed) return;
  opened = store.open();
  require(opened.has_value());
  const auto bytes = read_file(**opened, *(*opened)->live_view(), "new");
  require(bytes && *bytes == "written later");
}

void rebuild(SmallStore& store) {
  if (!store.rebuild_index()) return;
  auto opened = store.open();
  if (opened) read_snapshots(**opened, store);
}

Bytes change(std::uint8_t file, Kind kind, std::uint32_t where, ByteView how) {
  Encoder e;
  e.u8(file).u8(kind).u32(where).u8(static_cast<std::uint8_t>(how.size())).bytes(how);
  return std::move(e).take();
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  for (const char choice : {'\2', '\3'}) {
    add(Bytes(1, choice));
    add(choice + change(1, kFlip, 4200, "\x80") + change(2, kZero, 300, "") +
        change(3, kRemove, 0, ""));
  }
  for (std::uint8_t file = 0; file < 14; ++file) {
    for (std::uint8_t kind = 0; kind < kKinds; ++kind) {
      const char choice = static_cast<char>((file + kind) % 4);
      add(choice + change(file, static_cast<Kind>(kind), 100 + 997U * kind, "x"));
    }
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 4 * kKiB) return 0;
  // These outlive OpenSSL.
  static auto& cipher = *new std::shared_ptr<const StoreCipher>(
      StoreCipher::make(SecretBytes::copy_of(Bytes(kKeySize, 'T')).value()).value());
  static auto& plain = *new fuzz::SmallStore(nullptr);
  static auto& encrypted = *new fuzz::SmallStore(cipher);
  fuzz::SmallStore& store = (data[0] & 1) != 0 ? encrypted : plain;
  store.restore();
  Decoder d(fuzz::as_bytes(data + 1, size - 1));
  for (int i = 0; i < kChangesMax && d.ok() && d.remaining() > 0; ++i) change_file(store, d);
  use(store);
  if ((data[0] & 2) != 0) rebuild(store);
  return 0;
}
