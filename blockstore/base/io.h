// SPDX-License-Identifier: Apache-2.0
// Io: every disk access of the store goes through here, so that tests can fail, tear, drop or
// record the n-th call (tests/support/fault_io.h). LMDB's own file is the one exception; it sits
// behind Index, which has an in-memory double.
// Units:   offsets and sizes in bytes.
// Threads: an Io and a File may be used from any thread at the same time.
// Owns:    a File owns its descriptor. close() reports errors; the destructor closes silently and
//          is for error paths and for files that were only read.
// Errors:  errc_for(errno), with the path as object. EINTR and short transfers are handled here,
//          once: pread_some() alone may return less than asked, at the end of the file.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

namespace amberfs {

class File {
 public:
  virtual ~File() = default;
  // Reads up to `size` bytes; fewer only at the end of the file. Returns how many.
  [[nodiscard]] virtual Result<std::size_t> pread_some(char* target, std::size_t size,
                                                       std::uint64_t offset) = 0;
  // Writes all bytes of all parts at `offset`, in order.
  [[nodiscard]] virtual Status pwritev(std::span<const ByteView> parts, std::uint64_t offset) = 0;
  // Makes data and size durable (fdatasync). After a failure the file's state is unknown: the
  // caller must never retry into a success.
  [[nodiscard]] virtual Status sync_data() = 0;
  [[nodiscard]] virtual Status truncate(std::uint64_t size) = 0;
  // Reserves blocks for [offset, offset + size), extending the file; reads there give zeros.
  [[nodiscard]] virtual Status allocate(std::uint64_t offset, std::uint64_t size) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
  [[nodiscard]] virtual Status close() = 0;
  [[nodiscard]] virtual const std::string& path() const = 0;

  [[nodiscard]] Status pwrite(ByteView bytes, std::uint64_t offset) {
    return pwritev(std::span<const ByteView>(&bytes, 1), offset);
  }
  // Exactly `size` bytes; kCorrupt when the file ends before.
  [[nodiscard]] Status pread_exact(char* target, std::size_t size, std::uint64_t offset);
};

enum class OpenMode {
  kRead,           // must exist
  kReadWrite,      // must exist
  kCreateNew,      // must not exist
  kCreateOrOpen,
};

struct DirEntry {
  std::string name;
  bool is_directory = false;
  bool is_link = false;  // symbolic
};

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  // to unprivileged users
  std::uint64_t free_bytes = 0;
};

class Io {
 public:
  virtual ~Io() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                                           OpenMode mode) = 0;
  [[nodiscard]] virtual Status make_directory(const std::string& path) = 0;  // ok if it is there
  // Sorted by name, without "." and "..".
  [[nodiscard]] virtual Result<std::vector<DirEntry>> list(const std::string& path) = 0;
  [[nodiscard]] virtual Status rename(const std::string& source, const std::string& target) = 0;
  [[nodiscard]] virtual Status unlink(const std::string& path) = 0;
  // Makes the names in a directory durable: needed after create, rename and unlink.
  [[nodiscard]] virtual Status sync_directory(const std::string& path) = 0;
  [[nodiscard]] virtual Result<bool> exists(const std::string& path) = 0;
  [[nodiscard]] virtual Result<DiskSpace> disk_space(const std::string& path) = 0;

  // Whole small files (manifests, config).
  [[nodiscard]] Result<Bytes> read_file(const std::string& path, std::uint64_t size_max);
  // Written beside, synced, renamed over, directory synced: the old or the new, never a half.
  [[nodiscard]] Status replace_file(const std::string& path, ByteView bytes);
};

// Whoever made a store chose what stands in it: a link there would have its server write, truncate
// or wait anywhere on the machine. kRefuse: what a path names by its last part is a file of the
// usual kind, or a directory, never a link, a device or a pipe. kFollow: for paths that people
// give.
enum class Links { kRefuse, kFollow };
// The real disk. Owns nothing; any number may exist.
[[nodiscard]] std::unique_ptr<Io> make_posix_io(Links links = Links::kRefuse);

// An exclusive flock on `path` (created if missing), held until destroyed. kStoreLocked if another
// process holds it.
class FileLock {
 public:
  [[nodiscard]] static Result<FileLock> acquire(const std::string& path);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace amberfs
