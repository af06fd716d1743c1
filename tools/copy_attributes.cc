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

// The attributes of an open file, or of what cannot be opened.
class XattrTarget {
 public:
  explicit XattrTarget(int fd) : fd_(fd) {}
  XattrTarget(int parent, const Bytes& name)
      : path_("/proc/self/fd/" + std::to_string(parent) + "/" + name) {}
  [[nodiscard]] int set(const Bytes& name, const Bytes& value) const {
    return fd_ >= 0 ? ::fsetxattr(fd_, name.c_str(), value.data(), value.size(), 0)
                    : ::lsetxattr(path_.c_str(), name.c_str(), value.data(), value.size(), 0);
  }
  [[nodiscard]] int remove(const char* name) const {
    return fd_ >= 0 ? ::fremovexattr(fd_, name) : ::lremovexattr(path_.c_str(), name);
  }

 private:
  int fd_ = -1;
  Bytes path_;
};

// What the directory that holds the copy has as default ACL would let others in.
Status remove_inherited_acls(const XattrTarget& target, const std::set<Bytes>& wanted,
                             const Bytes& path) {
  for (const char* acl : {"system.posix_acl_access", "system.posix_acl_default"}) {
    if (wanted.contains(acl) || target.remove(acl) == 0) continue;
    if (errno != ENODATA && errno != ENOTSUP) return copy_failed("remove an inherited ACL", path);
  }
  return ok();
}

Status copy_xattrs(Session& session, const std::string& view, const Bytes& path,
                   const XattrTarget& target) {
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

}  // namespace

std::unexpected<Error> copy_failed(const char* tried, const Bytes& path) {
  return fail(Errc::kIo, errno, std::string("restore elsewhere: ") + tried, path);
}

Status copy_attributes(Session& session, const std::string& view, const Bytes& path,
                       const Json& stat, int fd) {
  // Owner before mode: chown clears set-user-id.
  if (::fchown(fd, stat.value("uid", 0U), stat.value("gid", 0U)) != 0 && errno != EPERM) {
    return copy_failed("set owner", path);
  }
  TRY(copy_xattrs(session, view, path, XattrTarget(fd)));
  if (::fchmod(fd, stat.value("mode", 0U) & 07777) != 0) return copy_failed("set mode", path);
  const timespec times[] = {to_timespec(stat.at("atime")), to_timespec(stat.at("mtime"))};
  if (::futimens(fd, times) != 0) return copy_failed("set times", path);
  return ok();
}

Status copy_special_attributes(Session& session, const std::string& view, const Bytes& path,
                               const Json& stat, const SpecialFile& file) {
  const auto& [parent, name] = file;
  const auto mode = stat.value("mode", 0U);
  if (::fchownat(parent, name.c_str(), stat.value("uid", 0U), stat.value("gid", 0U),
                 AT_SYMLINK_NOFOLLOW) != 0 &&
      errno != EPERM) {
    return copy_failed("set owner", path);
  }
  TRY(copy_xattrs(session, view, path, XattrTarget(parent, name)));
  if (!S_ISLNK(mode) && ::fchmodat(parent, name.c_str(), mode & 07777, 0) != 0) {
    return copy_failed("set mode", path);
  }
  const timespec times[] = {to_timespec(stat.at("atime")), to_timespec(stat.at("mtime"))};
  if (::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return copy_failed("set times", path);
  }
  return ok();
}

}  // namespace amberfs::tools
