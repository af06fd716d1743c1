// SPDX-License-Identifier: Apache-2.0
#include "fs/control/peer.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <vector>

namespace amberfs {
namespace {

bool is_member(int fd, gid_t primary, gid_t group) {
  if (primary == group) return true;
  socklen_t size = 0;  // asked for first: there may be 65,536
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) == 0 || errno != ERANGE) {
    return false;  // it has none, or they are not told
  }
  std::vector<gid_t> groups(size / sizeof(gid_t));
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
  groups.resize(size / sizeof(gid_t));
  return std::ranges::count(groups, group) > 0;
}

}  // namespace

std::optional<Caller> caller_at(int fd, std::optional<gid_t> readers) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  Caller caller{.uid = peer.uid, .pid = static_cast<std::uint32_t>(std::max(peer.pid, 0))};
  if (peer.uid == 0 || peer.uid == ::geteuid()) return caller;
  if (!readers || !is_member(fd, peer.gid, *readers)) return std::nullopt;
  caller.access = Caller::Access::kRead;
  return caller;
}

Result<gid_t> find_group(const std::string& text) {
  gid_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  // The highest number means "unchanged" to chown(2).
  if (error == std::errc() && end == text.data() + text.size() && number != gid_t(-1)) {
    return number;
  }
  constexpr std::size_t kSizeMax = 1 * kMiB;
  for (std::vector<char> buffer(4 * kKiB); buffer.size() <= kSizeMax;
       buffer.resize(2 * buffer.size())) {
    group entry{};
    group* found = nullptr;
    const int failed = ::getgrnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (failed == ERANGE) continue;
    if (found != nullptr) return found->gr_gid;
    break;
  }
  return fail(Errc::kBadConfig, 0, "read setting access.group: there is no such group", text);
}

Status open_to_group(const std::string& store, const std::string& socket, gid_t group) {
  constexpr uid_t kSame = static_cast<uid_t>(-1);
  struct stat status {};
  if (::stat(store.c_str(), &status) != 0) return fail(Errc::kControl, errno, "stat", store);
  const bool passable = (status.st_mode & S_IXOTH) != 0 ||
                        (status.st_gid == group && (status.st_mode & S_IXGRP) != 0);
  if (!passable && (::chown(store.c_str(), kSame, group) != 0 ||
                    ::chmod(store.c_str(), (status.st_mode & 07707) | S_IXGRP) != 0)) {
    return fail(Errc::kControl, errno, "let the group pass through the store's directory", store);
  }
  if (::chown(socket.c_str(), kSame, group) != 0 || ::chmod(socket.c_str(), 0660) != 0) {
    return fail(Errc::kControl, errno, "give the control socket to the group", socket);
  }
  return ok();
}

}  // namespace amberfs
