// SPDX-License-Identifier: Apache-2.0
#include "blockstore/pack_heal.h"

#include "blockstore/erasure_code.h"
#include "blockstore/parity_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

namespace amberfs {
namespace {

// Bytes of a pack that were made again, by offset.
using Patches = std::map<std::uint64_t, Bytes>;

constexpr std::uint64_t kColumnsAtOnce = 16;

// Finds the lost shards of a pack and makes them again, in memory.
class Restorer {
 public:
  Restorer(File& pack, ParityFile& parity)
      : pack_(pack),
        parity_(parity),
        geometry_(parity.geometry()),
        code_(geometry_.data_rows, geometry_.parity_rows),
        rows_(geometry_.data_rows + geometry_.parity_rows, ShardRun(geometry_.shard_size)) {}

  Result<Patches> run(Pace& pace) {
    for (std::uint64_t first = 0; first < geometry_.columns(); first += kColumnsAtOnce) {
      const std::uint64_t count = std::min(kColumnsAtOnce, geometry_.columns() - first);
      read(first, count);
      for (std::uint64_t i = 0; i < count; ++i) restore_column(first + i, i);
      if (!pace.took(count * geometry_.shard_size * rows_.size())) {
        return fail(Errc::kBroken, 0, "heal pack: stopped", pack_.path());
      }
    }
    return std::move(patches_);
  }

 private:
  void read(std::uint64_t first, std::uint64_t count) {
    for (unsigned row = 0; row < rows_.size(); ++row) {
      if (row >= geometry_.data_rows) {
        parity_.read_row(row - geometry_.data_rows, first, count, rows_[row]);
        continue;
      }
      rows_[row].read(pack_, (row * geometry_.columns() + first) * geometry_.shard_size, count,
                      geometry_.pack_size);
    }
  }

  void restore_column(std::uint64_t column, std::uint64_t i) {
    std::vector<unsigned> lost;
    std::vector<char*> shards(rows_.size());
    for (unsigned row = 0; row < rows_.size(); ++row) {
      const std::uint64_t shard = row * geometry_.columns() + column;
      shards[row] = rows_[row].bytes.data() + i * geometry_.shard_size;
      if (!rows_[row].readable[i] || !parity_.matches(shard, rows_[row].shard(i))) {
        lost.push_back(row);
      }
    }
    const bool data_lost = !lost.empty() && lost.front() < geometry_.data_rows;
    if (!data_lost || !code_.restore(geometry_.shard_size, shards, lost)) return;
    for (const unsigned row : lost) {
      if (row < geometry_.data_rows) keep(row * geometry_.columns() + column, rows_[row].shard(i));
    }
  }

  // Only what is provably as it was, and only what is in the pack.
  void keep(std::uint64_t shard, ByteView bytes) {
    const std::uint64_t offset = shard * geometry_.shard_size;
    if (offset >= geometry_.pack_size || !parity_.matches(shard, bytes)) return;
    patches_[offset] = bytes.substr(0, geometry_.pack_size - offset);
  }

  File& pack_;
  ParityFile& parity_;
  const ParityGeometry geometry_;
  const ErasureCode code_;
  std::vector<ShardRun> rows_;
  Patches patches_;
};

// A pack as it would be with the patches in place. Read only.
class PatchedFile final : public File {
 public:
  PatchedFile(File& below, const Patches& patches, std::uint64_t size)
      : below_(below), patches_(patches), size_(size) {}

  Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t offset) override {
    size = offset >= size_ ? 0 : std::min<std::uint64_t>(size, size_ - offset);
    std::size_t done = 0;
    while (done < size) {
      const std::uint64_t at = offset + done;
      auto next = patches_.upper_bound(at);
      if (next != patches_.begin()) {
        const auto& [begin, bytes] = *std::prev(next);
        if (at < begin + bytes.size()) {
          const std::size_t part = std::min(size - done, begin + bytes.size() - at);
          std::memcpy(target + done, bytes.data() + (at - begin), part);
          done += part;
          continue;
        }
      }
      std::size_t part = size - done;
      if (next != patches_.end()) part = std::min<std::uint64_t>(part, next->first - at);
      TRY_ASSIGN(const std::size_t got, below_.pread_some(target + done, part, at));
      done += got;
      if (got < part) break;
    }
    return done;
  }
  Status pwritev(std::span<const ByteView>, std::uint64_t) override { return read_only(); }
  Status sync_data() override { return read_only(); }
  Status truncate(std::uint64_t) override { return read_only(); }
  Status allocate(std::uint64_t, std::uint64_t) override { return read_only(); }
  Result<std::uint64_t> size() override { return size_; }
  Status close() override { return ok(); }
  [[nodiscard]] const std::string& path() const override { return below_.path(); }

 private:
  [[nodiscard]] Status read_only() const {
    return fail(Errc::kBroken, 0, "write what was only opened to be looked at", path());
  }

  File& below_;
  const Patches& patches_;
  const std::uint64_t size_;
};

bool is_no_worse(const PackLook& after, const PackLook& before) {
  return (after.header_error.empty() || !before.header_error.empty()) &&
         (after.footer_error.empty() || !before.footer_error.empty()) &&
         is_within(after.gaps, before.gaps);
}

void add_changed(std::vector<FrameGap>& changed, std::uint64_t offset, ByteView now,
                 ByteView then) {
  for (std::size_t i = 0; i < then.size(); ++i) {
    if (i < now.size() && now[i] == then[i]) continue;
    if (changed.empty() || changed.back().end != offset + i) changed.push_back({offset + i, 0, {}});
    changed.back().end = offset + i + 1;
  }
}

// Bytes that pass a check of their own as they are stay as they are, whatever parity says.
bool changes_only_damage(File& pack, const Patches& patches, const PackLook& before) {
  std::vector<FrameGap> changed;
  for (const auto& [offset, bytes] : patches) {
    Bytes now(bytes.size(), '\0');
    const auto got = pack.pread_some(now.data(), now.size(), offset);
    add_changed(changed, offset, ByteView(now).substr(0, got ? *got : 0), bytes);
  }
  std::vector<FrameGap> damaged = before.gaps;
  if (!before.header_error.empty()) damaged.insert(damaged.begin(), {0, kPackHeaderSize, {}});
  return is_within(changed, damaged);
}

// In place. Behind the length of a sealed pack nothing belongs to it.
Status write_patches(File& pack, const Patches& patches, std::uint64_t length, bool cut_off) {
  for (const auto& [offset, bytes] : patches) TRY(pack.pwrite(bytes, offset));
  if (cut_off) TRY(pack.truncate(length));
  TRY(pack.sync_data());
  for (const auto& [offset, bytes] : patches) {
    Bytes now(bytes.size(), '\0');
    TRY(pack.pread_exact(now.data(), now.size(), offset));
    if (now != bytes) return fail(Errc::kCorrupt, 0, "read back what was repaired", pack.path());
  }
  return ok();
}

std::vector<FileRange> ranges_of(const Patches& patches) {
  std::vector<FileRange> ranges;
  for (const auto& [offset, bytes] : patches) {
    if (!ranges.empty() && ranges.back().offset + ranges.back().size == offset) {
      ranges.back().size += bytes.size();
    } else {
      ranges.push_back({offset, bytes.size(), "made again from parity"});
    }
  }
  return ranges;
}

class Healer {
 public:
  Healer(Io& io, const std::string& where, const PackToLookAt& pack, const HealOptions& options,
         Pace& pace)
      : io_(io), where_(where), pack_(pack), options_(options), pace_(pace) {}

  Result<HealReport> run(const PackLook& look) {
    report_.was_sound = look.is_sound();
    report_.lost = look.damage(pack_.length);
    TRY(open_parity());
    if (report_.was_sound) {
      TRY(write_parity_if_needed());
      return std::move(report_);
    }
    if (parity_) TRY(heal(look));
    return std::move(report_);
  }

 private:
  Status open_parity() {
    auto opened = ParityFile::open(io_, where_, pack_.id, pack_.length);
    if (opened) {
      parity_ = std::make_unique<ParityFile>(*std::move(opened));
      report_.parity_damaged = parity_->check(pace_);
      return pace_.goes_on() ? ok() : fail(Errc::kBroken, 0, "heal pack: stopped", where_);
    }
    if (opened.error().code == Errc::kNewerFormat) return fail(std::move(opened).error());
    if (opened.error().sys_errno == ENOENT) {
      report_.parity_missing = true;
    } else {
      report_.parity_damaged.push_back({0, 0, opened.error().tried});
    }
    return ok();
  }

  Status write_parity_if_needed() {
    const bool needed = !report_.parity_damaged.empty() || report_.parity_missing;
    if (!needed || options_.parity_percent == 0) return ok();
    report_.parity_written = true;
    if (options_.dry_run) return ok();
    const auto written =
        write_parity(io_, where_, pack_.id, pack_.length, options_.parity_percent, pace_);
    if (written) return ok();
    report_.parity_written = false;
    return note_failure(written.error());
  }

  // What cannot be written now is no reason to stop looking at the rest.
  Status note_failure(const Error& error) {
    if (!pace_.goes_on() || error.code == Errc::kNewerFormat) return fail(error);
    report_.failure = error.to_string();
    return ok();
  }

  Status heal(const PackLook& before) {
    const std::string path = where_ + "/" + pack_file_name(pack_.id);
    auto file = io_.open(path, options_.dry_run ? OpenMode::kRead : OpenMode::kReadWrite);
    if (!file) return note_failure(file.error());
    TRY_ASSIGN(const Patches patches, Restorer(**file, *parity_).run(pace_));
    if (patches.empty() && before.excess == 0) return ok();
    PatchedFile patched(**file, patches, pack_.length);
    Pace at_once;
    TRY_ASSIGN(PackLook after, look_at_pack(patched, pack_, at_once));
    if (!changes_only_damage(**file, patches, before) || !is_no_worse(after, before)) {
      report_.failure = "the pack would not pass its own checks with what parity says: " + path;
      return ok();
    }
    // Only a pack that is whole then tells that the bytes behind its end are not its own.
    const bool cut_off = before.excess > 0 && after.is_sound();
    if (!options_.dry_run) {
      if (Status written = write_patches(**file, patches, pack_.length, cut_off); !written) {
        return note_failure(written.error());
      }
      TRY_ASSIGN(after, look_at_pack(**file, pack_, at_once));
    }
    report_.repaired = ranges_of(patches);
    if (cut_off) report_.repaired.push_back({pack_.length, before.excess, "cut off"});
    report_.lost = after.damage(pack_.length);
    if (after.is_sound()) TRY(write_parity_if_needed());
    return ok();
  }

  Io& io_;
  const std::string& where_;
  const PackToLookAt& pack_;
  const HealOptions& options_;
  Pace& pace_;
  HealReport report_;
  std::unique_ptr<ParityFile> parity_;
};

}  // namespace

Result<HealReport> heal_pack(Io& io, const std::string& where, const PackToLookAt& pack,
                             const PackLook& look, const HealOptions& options, Pace& pace) {
  return Healer(io, where, pack, options, pace).run(look);
}

}  // namespace amberfs
