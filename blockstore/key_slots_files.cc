// SPDX-License-Identifier: Apache-2.0
// The two files of key slots: read, mended from each other, replaced.
#include "blockstore/base/log.h"
#include "blockstore/key_slots.h"

#include <array>
#include <cerrno>

namespace amberfs {
namespace {

// The first is written first, so after a crash between the two it is the newer one.
constexpr std::array<std::string_view, 2> kNames{"keys.json", "keys.copy.json"};

std::string path_of(const std::string& store, std::string_view name) {
  return store + "/" + std::string(name);
}

Result<KeySlots> read_one(Io& io, const std::string& path) {
  TRY_ASSIGN(const Bytes text, io.read_file(path, KeySlots::kFileSizeMax));
  Result<KeySlots> slots = KeySlots::decode(text);
  if (!slots) slots.error().object = path;
  return slots;
}

// The old content lies in blocks of the disk that nobody names any more: overwritten through a
// descriptor from before the rename. A disk that writes elsewhere (SSD, copy on write) keeps them.
void overwrite(File& old) {
  const auto blank = [&]() -> Status {
    TRY_ASSIGN(const std::uint64_t size, old.size());
    if (size > KeySlots::kFileSizeMax) return ok();
    TRY(old.pwrite(Bytes(size, '\0'), 0));
    TRY(old.sync_data());
    return old.close();
  };
  if (Status done = blank(); !done) {
    log_warning("the keys of before could not be overwritten: {}", done.error().to_string());
  }
}

Status replace_one(Io& io, const std::string& path, ByteView text) {
  auto old = io.open(path, OpenMode::kReadWrite);  // none yet: nothing to overwrite
  TRY(io.replace_file(path, text));
  if (old) overwrite(**old);
  return ok();
}

struct Found {
  std::array<Result<KeySlots>, 2> files;
  std::size_t best = 0;
  [[nodiscard]] bool good() const {
    return files[0] && files[1] && files[0]->encode() == files[1]->encode();
  }
};

// At least one of them is good.
Result<Found> find(Io& io, const std::string& store) {
  Found found{{read_one(io, path_of(store, kNames[0])), read_one(io, path_of(store, kNames[1]))}};
  auto& [first, second] = found.files;
  for (const auto& one : found.files) {
    if (!one && one.error().code == Errc::kNewerFormat) return fail(one.error());
  }
  if (!first && !second) {
    const bool first_is_gone = first.error().sys_errno == ENOENT;
    Error error = first_is_gone ? std::move(second).error() : std::move(first).error();
    error.code = Errc::kKeysDamaged;
    return fail(std::move(error));
  }
  if (!first || (second && second->generation() > first->generation())) found.best = 1;
  return found;
}

void mend(Io& io, const std::string& store, const Found& found) {
  const std::size_t bad = 1 - found.best;
  const std::string path = path_of(store, kNames[bad]);
  const bool gone = !found.files[bad] && found.files[bad].error().sys_errno == ENOENT;
  const char* why = found.files[bad] ? "older than its copy" : gone ? "missing" : "damaged";
  const Status mended = replace_one(io, path, found.files[found.best]->encode());
  if (mended) {
    log_warning("{}: it was {} and has been written anew", path, why);
  } else {
    log_warning("{}: it is {}, and could not be mended: {}", path, why, mended.error().to_string());
  }
}

}  // namespace

Result<FileLock> lock_key_slots(const std::string& store) {
  Result<FileLock> lock = FileLock::acquire(path_of(store, "keys.lock"));
  if (!lock && lock.error().code == Errc::kStoreLocked) {
    return fail(Errc::kStoreLocked, 0, "change the keys: another amberfs key is at it", store);
  }
  return lock;
}

Result<bool> has_key_slots(Io& io, const std::string& store) {
  for (const std::string_view name : kNames) {
    TRY_ASSIGN(const bool there, io.exists(path_of(store, name)));
    if (there) return true;
  }
  return false;
}

Result<KeySlots> read_key_slots(Io& io, const std::string& store) {
  TRY_ASSIGN(Found found, find(io, store));
  if (found.good()) return *std::move(found.files[0]);
  // Not beside one who is just writing them: that one leaves both as they should be.
  const Result<FileLock> lock = lock_key_slots(store);
  if (lock) {
    TRY_ASSIGN(found, find(io, store));
    if (!found.good()) mend(io, store, found);
  }
  return *std::move(found.files[found.best]);
}

Status write_key_slots(Io& io, const std::string& store, KeySlots& slots) {
  slots.set_generation(slots.generation() + 1);
  const std::string text = slots.encode();
  for (const std::string_view name : kNames) TRY(replace_one(io, path_of(store, name), text));
  return ok();
}

}  // namespace amberfs
