// SPDX-License-Identifier: Apache-2.0
#include "fs/adopt.h"

#include "fs/path_text.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

namespace amberfs {
namespace {

constexpr std::size_t kPiece = 1 * kMiB;
constexpr int kCopyAttempts = 3;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// O_NOATIME is for owners only; without it a read may change the original's access time.
int open_quietly(int directory, const char* name, int flags) {
  const int fd = ::openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
  if (fd >= 0 || errno != EPERM) return fd;
  return ::openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC);
}

Timestamp to_timestamp(const timespec& time) {
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

class Adopter {
 public:
  Adopter(Engine& engine, const AdoptProgress& progress)
      : fs_(engine.filesystem()), progress_(progress) {}

  Result<AdoptReport> run(const std::string& directory) {
    Descriptor root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (root.get() < 0) return fail(errc_for(errno), errno, "open the directory", directory);
    struct stat st {};
    if (::fstat(root.get(), &st) != 0) return fail(errc_for(errno), errno, "stat", directory);
    device_ = st.st_dev;
    TRY(copy_entries(root.release(), kRootIno, {}));
    TRY(copy_attributes(kRootIno, st, directory, {}));
    return std::move(report_);
  }

 private:
  void warn(const std::string& path, const std::string& why) {
    constexpr std::size_t kWarningsMax = 1000;
    if (report_.warnings.size() < kWarningsMax) {
      report_.warnings.push_back("/" + encode_path(path) + ": " + why);
    }
  }

  // Takes over `fd`.
  Status copy_entries(int fd, Ino directory, const std::string& path) {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
    if (!dir) {
      const int error = errno;
      ::close(fd);
      return fail(errc_for(error), error, "read directory", path);
    }
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(dir.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      TRY(copy_entry(::dirfd(dir.get()), directory, name, path.empty() ? name : path + "/" + name));
    }
    if (errno != 0) warn(path, std::string("not read to its end: ") + std::strerror(errno));
    return ok();
  }

  Status copy_entry(int parent_fd, Ino directory, const std::string& name,
                    const std::string& path) {
    struct stat st {};
    if (::fstatat(parent_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) warn(path, std::strerror(errno));
      return ok();
    }
    if (st.st_dev != device_) {
      warn(path, "not taken in: another file system is mounted there");
      return ok();
    }
    if (st.st_nlink > 1 && !S_ISDIR(st.st_mode)) {
      const auto linked = linked_.find(st.st_ino);
      if (linked != linked_.end()) {
        TRY(fs_.link(owner_of(st), linked->second, directory, name));
        return ok();
      }
    }
    TRY_ASSIGN(Ino ino, make(parent_fd, directory, name, st, path));
    if (ino == kNoIno) return ok();
    if (st.st_nlink > 1) linked_[st.st_ino] = ino;
    const std::string reach = fmt::format("/proc/self/fd/{}/{}", parent_fd, name);
    TRY(copy_attributes(ino, st, reach, path));
    if (progress_ && ++since_progress_ % kProgressEvery == 0) progress_(report_);
    return ok();
  }

  static Origin owner_of(const struct stat& st) {
    Origin origin;
    origin.uid = st.st_uid;
    origin.gid = st.st_gid;
    return origin;
  }

  // kNoIno: it cannot be read, a warning says so.
  Result<Ino> make(int parent_fd, Ino directory, const std::string& name, const struct stat& st,
                   const std::string& path) {
    if (S_ISLNK(st.st_mode)) {
      Bytes target(kTargetSizeMax + 1, '\0');
      const ssize_t size = ::readlinkat(parent_fd, name.c_str(), target.data(), target.size());
      if (size < 0) {
        warn(path, std::strerror(errno));
        return kNoIno;
      }
      target.resize(static_cast<std::size_t>(size));
      ++report_.others;
      TRY_ASSIGN(Attr made, fs_.symlink(owner_of(st), directory, name, target));
      return made.ino;
    }
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
      const int flags = O_RDONLY | (S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK);
      const int fd = open_quietly(parent_fd, name.c_str(), flags);
      if (fd < 0) {
        warn(path, std::string("not taken in: ") + std::strerror(errno));
        return kNoIno;
      }
      return make_from(fd, directory, name, st, path);
    }
    ++report_.others;
    TRY_ASSIGN(Attr made, fs_.make(owner_of(st), directory, name,
                                   {.mode = st.st_mode, .umask = 0, .rdev = st.st_rdev}));
    return made.ino;
  }

  Result<Ino> make_from(int fd, Ino directory, const std::string& name, const struct stat& st,
                        const std::string& path) {
    Descriptor source(fd);
    TRY_ASSIGN(Attr made, fs_.make(owner_of(st), directory, name, {.mode = st.st_mode}));
    if (S_ISDIR(st.st_mode)) {
      ++report_.directories;
      TRY(copy_entries(source.release(), made.ino, path));
    } else {
      ++report_.files;
      TRY(copy_file(source.get(), made.ino, path));
    }
    return made.ino;
  }

  // A log may grow while it is read: what came is read as well.
  Status copy_file(int fd, Ino ino, const std::string& path) {
    struct stat before {};
    struct stat after {};
    off_t done = 0;
    for (int attempt = 0; attempt < kCopyAttempts; ++attempt) {
      if (::fstat(fd, &before) != 0) break;
      if (before.st_size < done) done = 0;
      TRY(copy_range(fd, ino, done, before.st_size, path));
      done = before.st_size;
      if (::fstat(fd, &after) != 0) break;
      if (after.st_size == before.st_size && after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
          after.st_mtim.tv_nsec == before.st_mtim.tv_nsec) {
        return set_size(ino, done);
      }
      if (after.st_size <= before.st_size) done = 0;  // rewritten: all of it again
    }
    warn(path, "it changed while it was read: stop who writes it, or compare it afterwards");
    return set_size(ino, done);
  }

  Status set_size(Ino ino, off_t size) {
    SetAttr set;
    set.size_bytes = static_cast<std::uint64_t>(size);
    TRY(fs_.setattr({}, ino, set));
    return ok();
  }

  // Holes stay holes.
  Status copy_range(int fd, Ino ino, off_t begin, off_t end, const std::string& path) {
    Bytes piece(kPiece, '\0');
    while (begin < end) {
      const off_t data = ::lseek(fd, begin, SEEK_DATA);
      if (data < 0 && errno == ENXIO) return ok();
      if (data > begin) begin = data;
      const off_t hole = ::lseek(fd, begin, SEEK_HOLE);
      const off_t stop = std::min(end, hole > begin ? hole : end);
      while (begin < stop) {
        const auto size = std::min<std::size_t>(kPiece, static_cast<std::size_t>(stop - begin));
        const ssize_t got = ::pread(fd, piece.data(), size, begin);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
          warn(path, fmt::format("not read from byte {}: {}", begin, std::strerror(errno)));
        if (got <= 0) return ok();
        TRY(fs_.write({}, ino, static_cast<std::uint64_t>(begin),
                      ByteView(piece).substr(0, static_cast<std::size_t>(got)), {}));
        report_.bytes += static_cast<std::uint64_t>(got);
        begin += got;
      }
    }
    return ok();
  }

  // `reach` leads to the original without following a symlink in its last part.
  Status copy_attributes(Ino ino, const struct stat& st, const std::string& reach,
                         const std::string& path) {
    SetAttr owner;
    owner.uid = st.st_uid;
    owner.gid = st.st_gid;
    TRY(fs_.setattr({}, ino, owner));
    TRY(copy_xattrs(ino, reach, path));
    SetAttr rest;
    if (!S_ISLNK(st.st_mode)) rest.mode = st.st_mode & 07777;
    rest.atime = to_timestamp(st.st_atim);
    rest.mtime = to_timestamp(st.st_mtim);
    TRY(fs_.setattr({}, ino, rest));
    return ok();
  }

  Status copy_xattrs(Ino ino, const std::string& reach, const std::string& path) {
    Bytes names(64 * kKiB, '\0');
    const ssize_t size = ::llistxattr(reach.c_str(), names.data(), names.size());
    if (size < 0) {
      if (errno != ENOTSUP) warn(path, std::string("extended attributes: ") + std::strerror(errno));
      return ok();
    }
    names.resize(static_cast<std::size_t>(size));
    for (std::size_t at = 0; at < names.size();) {
      const std::string name = names.c_str() + at;
      at += name.size() + 1;
      Bytes value(kXattrValueSizeMax, '\0');
      const ssize_t got = ::lgetxattr(reach.c_str(), name.c_str(), value.data(), value.size());
      if (got < 0) continue;
      value.resize(static_cast<std::size_t>(got));
      const Status set = fs_.set_xattr({}, ino, name, value, FileSystem::XattrMode::kAny);
      if (!set && set.error().code != Errc::kPosix) return set;
      if (!set) warn(path, "extended attribute " + name + ": " + set.error().to_string());
    }
    return ok();
  }

  static constexpr std::uint64_t kProgressEvery = 100;

  FileSystem& fs_;
  const AdoptProgress& progress_;
  dev_t device_ = 0;
  std::map<ino_t, Ino> linked_;
  std::uint64_t since_progress_ = 0;
  AdoptReport report_;
};

}  // namespace

Result<AdoptReport> adopt(Engine& engine, const std::string& directory,
                          const AdoptProgress& progress) {
  TRY_ASSIGN(bool empty, engine.live_view()->is_empty_directory(kRootIno));
  if (!empty) {
    return fail(Errc::kStoreExists, 0,
                "adopt: the store has files already; mount it without --adopt, or adopt into a new "
                "store",
                engine.store());
  }
  TRY_ASSIGN(AdoptReport report, Adopter(engine, progress).run(directory));
  SnapshotRequest request{.name = {}, .reason = "adopted " + directory, .kind = "adopt"};
  TRY(engine.snapshot(request));
  TRY(engine.set_adopted_directory(directory));
  return report;
}

std::vector<OpenFileUser> holders_of(const std::string& directory) {
  namespace fs = std::filesystem;
  std::vector<OpenFileUser> users;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string command;
    std::ifstream(process.path() / "comm") >> command;
    std::error_code gone;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", gone)) {
      const std::string path = fs::read_symlink(fd.path(), gone).string();
      if (!path.starts_with(directory + "/")) continue;
      users.push_back({path.substr(directory.size() + 1), command,
                       static_cast<std::uint32_t>(std::stoul(pid))});
    }
  }
  return users;
}

}  // namespace amberfs
