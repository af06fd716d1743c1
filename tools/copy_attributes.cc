// SPDX-License-Identifier: Apache-2.0
#include "tools/copy_attributes.h"

#include "blockstore/base/hash.h"
#include "fs/path_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <set>

namespace amberfs::tools {
namespace {

timespec to_timespec(const Json& time) {
  return {.tv_sec = time.value("seconds", std::int64_t{0}),
          .tv_nsec = time.value("nanoseconds", std::int64_t{0})};
}

// An open file, or one that can only be had with O_PATH: that is reached by its name in /proc.
class Target {
 public:
  static Target opened(int fd) { return Target(fd, {}); }
  static Target not_opened(int fd) { return Target(fd, "/proc/self/fd/" + std::to_string(fd)); }

  [[nodiscard]] int set(const Bytes& name, const Bytes& value) const {
    return path_.empty() ? ::fsetxattr(fd_, name.c_str(), value.data(), value.size(), 0)
                         : ::setxattr(path_.c_str(), name.c_str(), value.data(), value.size(), 0);
  }
  [[nodiscard]] int remove(const char* name) const {
    return path_.empty() ? ::fremovexattr(fd_, name) : ::removexattr(path_.c_str(), name);
  }
  [[nodiscard]] int set_owner(uid_t uid, gid_t gid) const {
    return ::fchownat(fd_, "", uid, gid, AT_EMPTY_PATH);
  }
  [[nodiscard]] int set_mode(mode_t mode) const {
    return path_.empty() ? ::fchmod(fd_, mode) : ::chmod(path_.c_str(), mode);
  }
  [[nodiscard]] int set_times(const timespec (&times)[2]) const {
    return path_.empty() ? ::futimens(fd_, times) : ::utimensat(AT_FDCWD, path_.c_str(), times, 0);
  }
  [[nodiscard]] int stat(struct stat& status) const { return ::fstat(fd_, &status); }

 private:
  Target(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

// What the directory that holds the copy has as default ACL would let others in.
Status remove_inherited_acls(const Target& target, const std::set<Bytes>& wanted,
                             const Bytes& path) {
  for (const char* acl : {"system.posix_acl_access", "system.posix_acl_default"}) {
    if (wanted.contains(acl) || target.remove(acl) == 0) continue;
    if (errno != ENODATA && errno != ENOTSUP) return copy_failed("remove an inherited ACL", path);
  }
  return ok();
}

Status copy_xattrs(Session& session, const std::string& view, const Bytes& path,
                   const Target& target) {
  std::set<Bytes> names;
  TRY_ASSIGN(const auto answer,
             session.call({{"command", "xattrs"}, {"view", view}, {"path", encode_path(path)}}));
  for (const Json& xattr : answer.json.at("xattrs")) {
    const std::string hex = xattr.value("value_hex", "");
    Bytes value(hex.size() / 2, '\0');
    const auto name = decode_path(xattr.value("name", ""));
    if (!name || !from_hex(hex, reinterpret_cast<std::uint8_t*>(value.data()), value.size())) {
      return fail(Errc::kControl, 0, "read the server's answer");
    }
    if (target.set(*name, value) != 0 && errno != EPERM && errno != ENOTSUP) {
      return copy_failed("set an extended attribute", path);
    }
    names.insert(*name);
  }
  return remove_inherited_acls(target, names, path);
}

// The group by itself when the owner may not be set.
Status copy_owner(const Target& target, const Json& stat, const Bytes& path) {
  const auto uid = stat.value("uid", uid_t{0});
  const auto gid = stat.value("gid", gid_t{0});
  const bool set = target.set_owner(uid, gid) == 0 ||
                   (errno == EPERM && target.set_owner(static_cast<uid_t>(-1), gid) == 0);
  return set || errno == EPERM ? ok() : Status(copy_failed("set owner", path));
}

// A copy that belongs to somebody else than in the snapshot must not run as its new owner.
Result<mode_t> mode_for(const Target& target, const Json& stat, const Bytes& path) {
  struct stat now {};
  if (target.stat(now) != 0) return copy_failed("stat", path);
  mode_t mode = stat.value("mode", 0U) & 07777;
  if (now.st_uid != stat.value("uid", uid_t{0})) mode &= ~mode_t{S_ISUID};
  if (now.st_gid != stat.value("gid", gid_t{0})) mode &= ~mode_t{S_ISGID};
  return mode;
}

Status copy_to(Session& session, const std::string& view, const Bytes& path, const Json& stat,
               const Target& target) {
  // Owner before mode: chown clears set-user-id.
  TRY(copy_owner(target, stat, path));
  TRY(copy_xattrs(session, view, path, target));
  if (!S_ISLNK(stat.value("mode", 0U))) {
    TRY_ASSIGN(const mode_t mode, mode_for(target, stat, path));
    if (target.set_mode(mode) != 0) return copy_failed("set mode", path);
  }
  const timespec times[] = {to_timespec(stat.at("atime")), to_timespec(stat.at("mtime"))};
  if (target.set_times(times) != 0) return copy_failed("set times", path);
  return ok();
}

}  // namespace

std::unexpected<Error> copy_failed(const char* tried, const Bytes& path) {
  return fail(Errc::kIo, errno, std::string("restore elsewhere: ") + tried, path);
}

Status copy_attributes(Session& session, const std::string& view, const Bytes& path,
                       const Json& stat, int fd) {
  return copy_to(session, view, path, stat, Target::opened(fd));
}

Status copy_special_attributes(Session& session, const std::string& view, const Bytes& path,
                               const Json& stat, int fd) {
  return copy_to(session, view, path, stat, Target::not_opened(fd));
}

}  // namespace amberfs::tools
