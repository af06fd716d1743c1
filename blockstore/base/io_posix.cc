// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "blockstore/base/io.h"
#include "blockstore/base/own_file.h"

namespace amberfs {
namespace {

std::unexpected<Error> fail_errno(int sys_errno, std::string tried, const std::string& path) {
  return fail(errc_for(sys_errno), sys_errno, std::move(tried), path);
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override {
    if (fd_ >= 0) ::close(fd_);
  }

  Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t offset) override {
    std::size_t done = 0;
    while (done < size) {
      ssize_t n = ::pread(fd_, target + done, size - done, static_cast<off_t>(offset + done));
      if (n == 0) break;
      if (n < 0) {
        if (errno == EINTR) continue;
        return fail_errno(errno, "read", path_);
      }
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Status pwritev(std::span<const ByteView> parts, std::uint64_t offset) override {
    std::array<iovec, kIovMax> iov{};
    while (!parts.empty()) {
      std::size_t count = std::min(parts.size(), iov.size());
      std::size_t total = 0;
      for (std::size_t i = 0; i < count; ++i) {
        iov[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
        total += parts[i].size();
      }
      TRY(write_all(std::span(iov.data(), count), offset, total));
      offset += total;
      parts = parts.subspan(count);
    }
    return ok();
  }

  Status sync_data() override {
    // EINTR is not retried: what a second fdatasync says about the first one's pages is unknown.
    if (::fdatasync(fd_) != 0) return fail_errno(errno, "sync", path_);
    return ok();
  }

  Status truncate(std::uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
      return fail_errno(errno, "truncate", path_);
    }
    return ok();
  }

  Status allocate(std::uint64_t offset, std::uint64_t size) override {
    int error = 0;
    do {
      error = ::posix_fallocate(fd_, static_cast<off_t>(offset), static_cast<off_t>(size));
    } while (error == EINTR);
    if (error != 0) return fail_errno(error, "reserve space", path_);
    return ok();
  }

  Result<std::uint64_t> size() override {
    struct stat st {};
    if (::fstat(fd_, &st) != 0) return fail_errno(errno, "stat", path_);
    return static_cast<std::uint64_t>(st.st_size);
  }

  Status close() override {
    int fd = std::exchange(fd_, -1);
    if (fd >= 0 && ::close(fd) != 0) return fail_errno(errno, "close", path_);
    return ok();
  }

  const std::string& path() const override { return path_; }

 private:
  static constexpr std::size_t kIovMax = 64;

  Status write_all(std::span<iovec> iov, std::uint64_t offset, std::size_t total) {
    while (total > 0) {
      ssize_t n =
          ::pwritev(fd_, iov.data(), static_cast<int>(iov.size()), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return fail_errno(errno, "write", path_);
      }
      auto done = static_cast<std::size_t>(n);
      offset += done;
      total -= done;
      while (!iov.empty() && done >= iov.front().iov_len) {
        done -= iov.front().iov_len;
        iov = iov.subspan(1);
      }
      if (!iov.empty()) {
        iov.front().iov_base = static_cast<char*>(iov.front().iov_base) + done;
        iov.front().iov_len -= done;
      }
    }
    return ok();
  }

  int fd_;
  std::string path_;
};

class PosixIo final : public Io {
 public:
  explicit PosixIo(Links links) : follows_(links == Links::kFollow) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreateNew:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
      case OpenMode::kCreateOrOpen:
        flags |= O_RDWR | O_CREAT;
        break;
    }
    // A pipe without a writer must not hold up the open.
    if (!follows_) flags |= O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0 && errno == ELOOP && !follows_) return fail_foreign("open", path);
    if (fd < 0) return fail_errno(errno, "open", path);
    auto file = std::make_unique<PosixFile>(fd, path);
    struct stat st {};
    if (::fstat(fd, &st) != 0) return fail_errno(errno, "stat", path);
    if (!follows_ && S_ISDIR(st.st_mode)) return fail_errno(EISDIR, "open", path);
    if (!follows_ && !S_ISREG(st.st_mode)) return fail_foreign("open", path);
    return file;
  }

  Status make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) == 0) return ok();
    if (errno != EEXIST) return fail_errno(errno, "make directory", path);
    struct stat st {};
    if (::fstatat(AT_FDCWD, path.c_str(), &st, follows_ ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno(errno, "make directory", path);
    }
    if (S_ISLNK(st.st_mode)) return fail_foreign("open", path);
    if (!S_ISDIR(st.st_mode)) return fail_errno(ENOTDIR, "make directory", path);
    return ok();
  }

  Result<std::vector<DirEntry>> list(const std::string& path) override {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follows_ ? 0 : O_NOFOLLOW));
    if (fd < 0 && !follows_ && is_link(path)) return fail_foreign("open", path);
    if (fd < 0) return fail_errno(errno, "list directory", path);
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
    if (!dir) {
      const int error = errno;
      ::close(fd);
      return fail_errno(error, "list directory", path);
    }
    std::vector<DirEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(dir.get());
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name != "." && name != "..") {
        entries.push_back({std::move(name), entry->d_type == DT_DIR, entry->d_type == DT_LNK});
      }
    }
    if (errno != 0) return fail_errno(errno, "list directory", path);
    std::ranges::sort(entries, {}, &DirEntry::name);
    return entries;
  }

  Status rename(const std::string& source, const std::string& target) override {
    if (::rename(source.c_str(), target.c_str()) != 0) {
      return fail_errno(errno, "rename to " + target, source);
    }
    return ok();
  }

  Status unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return fail_errno(errno, "unlink", path);
    return ok();
  }

  Status sync_directory(const std::string& path) override {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(errno, "open directory", path);
    int error = ::fsync(fd) != 0 ? errno : 0;
    ::close(fd);
    if (error != 0) return fail_errno(error, "sync directory", path);
    return ok();
  }

  Result<bool> exists(const std::string& path) override {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return fail_errno(errno, "stat", path);
  }

  Result<DiskSpace> disk_space(const std::string& path) override {
    struct statvfs st {};
    if (::statvfs(path.c_str(), &st) != 0) return fail_errno(errno, "statvfs", path);
    return DiskSpace{st.f_blocks * st.f_frsize, st.f_bavail * st.f_frsize,
                     st.f_bfree * st.f_frsize};
  }

 private:
  static bool is_link(const std::string& path) {
    struct stat st {};
    return ::lstat(path.c_str(), &st) == 0 && S_ISLNK(st.st_mode);
  }

  const bool follows_;
};

}  // namespace

std::unique_ptr<Io> make_posix_io(Links links) {
  return std::make_unique<PosixIo>(links);
}

Status File::pread_exact(char* target, std::size_t size, std::uint64_t offset) {
  TRY_ASSIGN(std::size_t got, pread_some(target, size, offset));
  if (got != size) {
    return fail(Errc::kCorrupt, 0, "read past the end at offset " + std::to_string(offset), path());
  }
  return ok();
}

Result<Bytes> Io::read_file(const std::string& path, std::uint64_t size_max) {
  TRY_ASSIGN(auto file, open(path, OpenMode::kRead));
  TRY_ASSIGN(std::uint64_t size, file->size());
  if (size > size_max) {
    return fail(Errc::kCorrupt, 0, "read: larger than " + std::to_string(size_max) + " bytes",
                path);
  }
  Bytes bytes(size, '\0');
  TRY(file->pread_exact(bytes.data(), bytes.size(), 0));
  return bytes;
}

Status Io::replace_file(const std::string& path, ByteView bytes) {
  const std::string beside = path + ".new";
  TRY_ASSIGN(auto file, open(beside, OpenMode::kCreateOrOpen));
  TRY(file->truncate(0));
  TRY(file->pwrite(bytes, 0));
  TRY(file->sync_data());
  TRY(file->close());
  TRY(rename(beside, path));
  const auto slash = path.find_last_of('/');
  return sync_directory(slash == std::string::npos ? "." : path.substr(0, slash + 1));
}

Result<FileLock> FileLock::acquire(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0 && errno == ELOOP) return fail_foreign("open", path);
  if (fd < 0) return fail_errno(errno, "open lock", path);
  FileLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return fail(Errc::kStoreLocked, 0, "lock the store", path);
    return fail_errno(errno, "lock the store", path);
  }
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace amberfs
