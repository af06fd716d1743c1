// SPDX-License-Identifier: Apache-2.0
// FaultIo: an Io above another one that counts calls, fails the n-th of them, tears writes, records
// what was called, and can play a power cut by taking back all that was never synced.
// Use:     FaultIo io(*posix);  io.arm({.at = n, .sys_errno = ENOSPC});  … run …  io.fired()
//          io.track_unsynced();  … run …  close all files …  io.lose_unsynced();
// Counted: by default the calls that can change the disk or report a lost write (kIoChanges); with
//          count(kIoAll) reads and lookups as well.
// Threads: every method from any thread; arm, count and lose_unsynced while nothing is running.
// Owns:    nothing below; borrows the Io beneath, which must outlive it and its files.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"

#include <cerrno>
#include <functional>
#include <map>
#include <optional>

namespace amberfs::testing {

enum class IoOp : unsigned {
  kOpen,  // of a file that is there
  kCreate,
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kAllocate,
  kSize,
  kClose,
  kMakeDirectory,
  kList,
  kRename,
  kUnlink,
  kSyncDirectory,
  kExists,
  kDiskSpace,
};

using IoOpSet = unsigned;
constexpr IoOpSet io_ops(std::initializer_list<IoOp> ops) {
  IoOpSet set = 0;
  for (IoOp op : ops) set |= 1U << static_cast<unsigned>(op);
  return set;
}
constexpr IoOpSet kIoAll = ~0U;
constexpr IoOpSet kIoChanges = io_ops({IoOp::kCreate, IoOp::kWrite, IoOp::kSync, IoOp::kTruncate,
                                       IoOp::kAllocate, IoOp::kClose, IoOp::kMakeDirectory,
                                       IoOp::kRename, IoOp::kUnlink, IoOp::kSyncDirectory});

struct IoCall {
  IoOp op = IoOp::kOpen;
  std::string path;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool failed = false;
};

struct Fault {
  std::uint64_t at = 1;  // which counted call from now on fails; 1 is the next
  int sys_errno = EIO;
  unsigned torn_percent = 0;  // a failing write puts this share of its bytes on disk first
  bool sticky = false;        // every counted call after it fails too: the disk is gone
};

class FaultIo final : public Io {
 public:
  explicit FaultIo(Io& below) : below_(below) {}

  void count(IoOpSet ops);
  void arm(const Fault& fault);
  void disarm();
  // Counted calls since the last arm(), or since the start.
  [[nodiscard]] std::uint64_t calls();
  // Whether the armed fault struck.
  [[nodiscard]] bool fired();

  // From now on every call, counted or not, is kept for take_calls().
  void record();
  [[nodiscard]] std::vector<IoCall> take_calls();

  // From now on what would undo each unsynced change is kept. Syncs are no longer passed on to the
  // real disk, since the power cut is played: such tests are fast.
  void track_unsynced();
  // The disk as after a power cut that lost all that was not synced: writes, truncations and sizes
  // without sync_data(), names without sync_directory(). Directories made stay.
  [[nodiscard]] Status lose_unsynced();

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status make_directory(const std::string& path) override;
  Result<std::vector<DirEntry>> list(const std::string& path) override;
  Status rename(const std::string& source, const std::string& target) override;
  Status unlink(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<DiskSpace> disk_space(const std::string& path) override;

 private:
  class FaultFile;
  using FileKey = std::uint64_t;  // one per file, whatever its name becomes

  // Puts a range of a file's bytes and its size back.
  struct ContentUndo {
    FileKey key = 0;
    std::uint64_t offset = 0;
    Bytes bytes;
    std::uint64_t file_size = 0;
  };
  struct NameUndo {
    IoOp op = IoOp::kCreate;     // kCreate, kRename or kUnlink
    std::string path;            // created, unlinked, or target of the rename
    std::string source;          // of the rename
    std::optional<Bytes> bytes;  // what was at `path` before
  };

  [[nodiscard]] Status enter(IoCall call);
  // Like enter(); on failure says how many bytes of a write still reach the disk.
  [[nodiscard]] Status enter_write(IoCall call, std::uint64_t* torn_bytes);
  [[nodiscard]] FileKey key_of(const std::string& path) REQUIRES(mu_);
  void forget_content(FileKey key) REQUIRES(mu_);
  void remember_content(FileKey key, File& file, std::uint64_t offset, std::uint64_t size);
  [[nodiscard]] std::optional<Bytes> content_at(const std::string& path);
  [[nodiscard]] Status undo_content(const ContentUndo& undo, const std::string& path);
  [[nodiscard]] Status undo_name(const NameUndo& undo);

  Io& below_;
  Mutex mu_;
  IoOpSet counted_ GUARDED_BY(mu_) = kIoChanges;
  std::optional<Fault> fault_ GUARDED_BY(mu_);
  std::uint64_t calls_ GUARDED_BY(mu_) = 0;
  bool fired_ GUARDED_BY(mu_) = false;
  bool recording_ GUARDED_BY(mu_) = false;
  bool tracking_ GUARDED_BY(mu_) = false;
  std::vector<IoCall> recorded_ GUARDED_BY(mu_);
  std::map<std::string, FileKey> keys_ GUARDED_BY(mu_);
  FileKey next_key_ GUARDED_BY(mu_) = 1;
  std::vector<ContentUndo> contents_ GUARDED_BY(mu_);
  std::vector<NameUndo> names_ GUARDED_BY(mu_);
};

}  // namespace amberfs::testing
