// SPDX-License-Identifier: Apache-2.0
#include "tools/copy_out.h"

#include "blockstore/base/hash.h"
#include "fs/path_text.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>

namespace amberfs::tools {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int close() {
    const int fd = std::exchange(fd_, -1);
    return fd >= 0 ? ::close(fd) : 0;
  }

 private:
  int fd_;
};

std::unexpected<Error> failed(const char* tried, const std::string& path) {
  return fail(errc_for(errno), errno, std::string("restore elsewhere: ") + tried, path);
}

timespec to_timespec(const Json& time) {
  return {.tv_sec = time.value("seconds", std::int64_t{0}),
          .tv_nsec = time.value("nanoseconds", std::int64_t{0})};
}

bool is_safe_name(ByteView name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == ByteView::npos &&
         name.find('\0') == ByteView::npos;
}

class Copier {
 public:
  Copier(Session& session, const CopyOutRequest& request) : session_(session), request_(request) {}

  Result<CopyOutReport> run() {
    std::error_code error;
    std::filesystem::create_directories(request_.directory, error);
    root_ = Descriptor(::open(request_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (root_.get() < 0) return failed("open the target directory", request_.directory);
    for (const std::string& path : request_.paths) {
      const auto decoded = decode_path(path);
      if (!decoded) return fail(Errc::kBadRequest, 0, "read path", path);
      TRY(copy_path(normal_path(*decoded)));
    }
    return report_;
  }

 private:
  Result<Json> stat_of(const Bytes& path) {
    TRY_ASSIGN(
        auto answer,
        session_.call({{"command", "stat"}, {"view", request_.view}, {"path", encode_path(path)}}));
    return std::move(answer.json);
  }

  // `path` with the directories above it, as they were.
  Status copy_path(const Bytes& path) {
    TRY_ASSIGN(Json top, stat_of(path));
    int parent = root_.get();
    Descriptor held;
    std::size_t at = 0;
    for (auto slash = path.find('/'); slash != Bytes::npos; slash = path.find('/', slash + 1)) {
      const Bytes name = path.substr(at, slash - at);
      TRY_ASSIGN(Descriptor next, enter_directory(parent, name, path.substr(0, slash)));
      held = std::move(next);
      parent = held.get();
      at = slash + 1;
    }
    if (path.empty()) return copy_children(parent, path);
    return copy_entry(parent, path.substr(at), path, top);
  }

  Result<Descriptor> enter_directory(int parent, const Bytes& name, const Bytes& path) {
    if (!is_safe_name(name)) return fail(Errc::kBadRequest, 0, "restore elsewhere: name", path);
    if (::mkdirat(parent, name.c_str(), 0700) == 0) {
      Descriptor made(::openat(parent, name.c_str(), kOpenDirectory));
      if (made.get() < 0) return failed("open", path);
      TRY_ASSIGN(Json stat, stat_of(path));
      TRY(copy_attributes(made.get(), path, stat));
      return made;
    }
    if (errno != EEXIST) return failed("make directory", path);
    Descriptor there(::openat(parent, name.c_str(), kOpenDirectory));
    if (there.get() < 0) return failed("open", path);
    return there;
  }

  Status copy_entry(int parent, const Bytes& name, const Bytes& path, const Json& stat) {
    if (!is_safe_name(name)) return fail(Errc::kBadRequest, 0, "restore elsewhere: name", path);
    const auto mode = stat.value("mode", 0U);
    const auto ino = stat.value("ino", std::uint64_t{0});
    if (S_ISDIR(mode)) {
      TRY_ASSIGN(Descriptor directory, enter_directory(parent, name, path));
      TRY(copy_children(directory.get(), path));
      return copy_attributes(directory.get(), path, stat);
    }
    if (request_.overwrite && ::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
      return failed("replace", path);
    }
    ++report_.files;
    const auto linked = links_.find(ino);
    if (linked != links_.end()) {
      if (::linkat(root_.get(), linked->second.c_str(), parent, name.c_str(), 0) != 0) {
        return failed("link", path);
      }
      return ok();
    }
    if (stat.value("nlink", 1U) > 1) links_[ino] = path;
    if (S_ISREG(mode)) return copy_file(parent, name, path, stat);
    return copy_special(parent, name, path, stat);
  }

  Status copy_children(int directory, const Bytes& path) {
    std::uint64_t after = 0;
    while (true) {
      TRY_ASSIGN(auto answer, session_.call({{"command", "readdir"},
                                             {"view", request_.view},
                                             {"path", encode_path(path)},
                                             {"after", after}}));
      for (const Json& entry : answer.json["entries"]) {
        const auto name = decode_path(entry.value("name", ""));
        if (!name) return fail(Errc::kControl, 0, "read the server's answer");
        const Bytes child = path.empty() ? *name : path + "/" + *name;
        TRY_ASSIGN(Json stat, stat_of(child));
        TRY(copy_entry(directory, *name, child, stat));
      }
      if (!answer.json.contains("next")) return ok();
      after = answer.json["next"].get<std::uint64_t>();
    }
  }

  Status copy_file(int parent, const Bytes& name, const Bytes& path, const Json& stat) {
    Descriptor file(
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file.get() < 0) return failed("create (--overwrite replaces what is there)", path);
    const std::uint64_t size = stat.value("size", std::uint64_t{0});
    for (std::uint64_t offset = 0; offset < size;) {
      TRY_ASSIGN(auto answer, session_.call({{"command", "read"},
                                             {"view", request_.view},
                                             {"path", encode_path(path)},
                                             {"offset", offset}}));
      if (answer.payload.empty()) return fail(Errc::kCorrupt, 0, "read: it ends early", path);
      TRY(write_sparse(file.get(), answer.payload, offset, path));
      offset += answer.payload.size();
    }
    if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) return failed("size", path);
    report_.bytes += size;
    TRY(copy_attributes(file.get(), path, stat));
    if (file.close() != 0) return failed("close", path);
    return ok();
  }

  // Runs of zeros are left out: they become holes.
  static Status write_sparse(int fd, ByteView bytes, std::uint64_t offset, const Bytes& path) {
    constexpr std::size_t kBlock = 4096;
    for (std::size_t at = 0; at < bytes.size();) {
      const ByteView block = bytes.substr(at, kBlock);
      if (std::ranges::all_of(block, [](char c) { return c == '\0'; })) {
        at += block.size();
        continue;
      }
      const ssize_t n = ::pwrite(fd, block.data(), block.size(), static_cast<off_t>(offset + at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed("write", path);
      at += static_cast<std::size_t>(n);
    }
    return ok();
  }

  Status copy_special(int parent, const Bytes& name, const Bytes& path, const Json& stat) {
    const auto mode = stat.value("mode", 0U);
    if (S_ISLNK(mode)) {
      TRY_ASSIGN(auto answer, session_.call({{"command", "readlink"},
                                             {"view", request_.view},
                                             {"path", encode_path(path)}}));
      const auto target = decode_path(answer.json.value("target", ""));
      if (!target || ::symlinkat(target->c_str(), parent, name.c_str()) != 0) {
        return failed("make symlink", path);
      }
    } else if (::mknodat(parent, name.c_str(), mode & (S_IFMT | 0600),
                         stat.value("rdev", dev_t{0})) != 0) {
      return failed("make", path);
    }
    if (::fchownat(parent, name.c_str(), stat.value("uid", 0U), stat.value("gid", 0U),
                   AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != EPERM) {
      return failed("set owner", path);
    }
    if (!S_ISLNK(mode) && ::fchmodat(parent, name.c_str(), mode & 07777, 0) != 0) {
      return failed("set mode", path);
    }
    const timespec times[] = {to_timespec(stat["atime"]), to_timespec(stat["mtime"])};
    if (::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return failed("set times", path);
    }
    return ok();
  }

  Status copy_attributes(int fd, const Bytes& path, const Json& stat) {
    // Owner before mode (chown clears set-user-id), times last. Without root, owners stay one's
    // own.
    if (::fchown(fd, stat.value("uid", 0U), stat.value("gid", 0U)) != 0 && errno != EPERM) {
      return failed("set owner", path);
    }
    TRY_ASSIGN(auto answer,
               session_.call(
                   {{"command", "xattrs"}, {"view", request_.view}, {"path", encode_path(path)}}));
    for (const Json& xattr : answer.json["xattrs"]) {
      const std::string hex = xattr.value("value_hex", "");
      Bytes value(hex.size() / 2, '\0');
      const auto name = decode_path(xattr.value("name", ""));
      if (!name || !from_hex(hex, reinterpret_cast<std::uint8_t*>(value.data()), value.size())) {
        return fail(Errc::kControl, 0, "read the server's answer");
      }
      if (::fsetxattr(fd, name->c_str(), value.data(), value.size(), 0) != 0 && errno != EPERM &&
          errno != ENOTSUP) {
        return failed("set an extended attribute", path);
      }
    }
    if (::fchmod(fd, stat.value("mode", 0U) & 07777) != 0) return failed("set mode", path);
    const timespec times[] = {to_timespec(stat["atime"]), to_timespec(stat["mtime"])};
    if (::futimens(fd, times) != 0) return failed("set times", path);
    return ok();
  }

  static constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

  Session& session_;
  const CopyOutRequest& request_;
  Descriptor root_;
  std::map<std::uint64_t, Bytes> links_;  // inode → where it was written first
  CopyOutReport report_;
};

}  // namespace

Result<CopyOutReport> copy_out(Session& session, const CopyOutRequest& request) {
  return Copier(session, request).run();
}

}  // namespace amberfs::tools
