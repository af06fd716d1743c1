// SPDX-License-Identifier: Apache-2.0
// What a disk holds after a crash, as far as POSIX promises: bytes and sizes of a file are there
// for certain once the file was synced, names once their directory was. Of everything else each
// write, truncation and name may be there or not, in any combination, and a write may be torn at a
// sector's border.
//
//   RecordingIo ──every change──→ EventLog ──first n events, choice of the unsynced──→ DiskImage
//   DiskImage ──→ RecordingIo: the store is opened again on it
//
// Threads: RecordingIo from any thread (events in the order in which they were done); the rest by
//          one.
// Owns:    everything by value; file contents are shared between images until they are changed.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace amberfs::testing {

constexpr std::size_t kSector = 512;

// A file's bytes, sparse: pages of zeros take nothing.
class FileBytes {
 public:
  void write(std::uint64_t offset, ByteView bytes);
  void resize(std::uint64_t size);
  void extend(std::uint64_t size) { size_ = std::max(size_, size); }
  [[nodiscard]] std::size_t read(std::uint64_t offset, char* target, std::size_t size) const;
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t hash() const;

 private:
  static constexpr std::size_t kPage = 4096;
  using Page = std::array<char, kPage>;
  std::map<std::uint64_t, std::shared_ptr<Page>> pages_;
  std::uint64_t size_ = 0;
};

using FileId = std::uint64_t;

struct DiskImage {
  std::map<std::string, FileId> names;
  std::map<FileId, FileBytes> files;
  std::set<std::string> directories;
  FileId next_id = 1;
  [[nodiscard]] std::uint64_t hash() const;
};

struct Event {
  enum class Kind {
    kWrite,
    kTruncate,
    kExtend,
    kSyncFile,
    kCreate,
    kRename,
    kUnlink,
    kSyncDirectory,
    kIndexCommit,  // by LMDB, on its own file: durable at once
  };
  Kind kind = Kind::kWrite;
  FileId file = 0;
  std::string path;    // of the name that is made or removed, or the directory
  std::string source;  // kRename
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::shared_ptr<const Bytes> bytes;
};
[[nodiscard]] bool is_sync(const Event& event);

class EventLog {
 public:
  void add(Event event) { events_.push_back(std::move(event)); }
  [[nodiscard]] std::size_t size() const { return events_.size(); }
  [[nodiscard]] const Event& operator[](std::size_t i) const { return events_[i]; }
  // Which of the first `count` events a crash after them may undo.
  [[nodiscard]] std::vector<std::size_t> unsynced(std::size_t count) const;

  // The first `count` events, a line each; the unsynced ones are marked.
  [[nodiscard]] std::string describe(std::size_t count) const;

  // How much of an unsynced event reached the disk: nothing, or all, or so many bytes of a write,
  // or some of its sectors, by chance.
  using Keep = std::function<std::uint64_t(std::size_t event)>;
  static constexpr std::uint64_t kNothing = 0;
  static constexpr std::uint64_t kAll = ~std::uint64_t{0};
  static constexpr std::uint64_t kSectorsBit = std::uint64_t{1} << 63;  // the rest is the salt
  [[nodiscard]] DiskImage image(const DiskImage& base, std::size_t count, const Keep& keep) const;

 private:
  std::vector<Event> events_;
};

// A deliberate mistake: looks at each event before it is recorded and may take it away (false) or
// change it.
using Mutation = std::function<bool(Event& event)>;

// Files in memory; those that only LMDB knows of are looked for on the real disk.
class RecordingIo final : public Io {
 public:
  explicit RecordingIo(DiskImage image, std::uint64_t disk_bytes = std::uint64_t{1} << 40)
      : disk_bytes_(disk_bytes), image_(std::move(image)) {}
  // `before` runs ahead of each event: what changed behind Io's back since the last one?
  void record(EventLog& log, std::function<void()> before, Mutation mutation);
  void stop_recording();
  [[nodiscard]] DiskImage image();

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status make_directory(const std::string& path) override;
  Result<std::vector<DirEntry>> list(const std::string& path) override;
  Status rename(const std::string& source, const std::string& target) override;
  Status unlink(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<DiskSpace> disk_space(const std::string& path) override;

 private:
  class MemoryFile;
  void note(Event event) REQUIRES(mu_);

  const std::uint64_t disk_bytes_;
  Mutex mu_;
  DiskImage image_ GUARDED_BY(mu_);
  EventLog* log_ GUARDED_BY(mu_) = nullptr;
  std::function<void()> before_ GUARDED_BY(mu_);
  Mutation mutation_ GUARDED_BY(mu_);
};

}  // namespace amberfs::testing
