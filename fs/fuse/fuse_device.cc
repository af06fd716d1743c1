// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_device.h"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace amberfs {
namespace {

// The kernel does not hand out less than this, and INIT with what comes later fits well.
constexpr std::size_t kReadSize = std::size_t{64} * 1024;

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ',' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

struct SessionCloser {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};

Result<std::string> read_init(int fd, const std::string& mount_point) {
  std::vector<char> buffer(kReadSize);
  ssize_t got = -1;
  do {
    got = ::read(fd, buffer.data(), buffer.size());
  } while (got < 0 && (errno == EINTR || errno == EAGAIN));
  if (got < 0)
    return fail(Errc::kMountFailed, errno, "read the kernel's first request", mount_point);
  fuse_in_header header{};
  if (got >= static_cast<ssize_t>(sizeof header))
    std::memcpy(&header, buffer.data(), sizeof header);
  if (header.opcode != FUSE_INIT) {
    return fail(Errc::kMountFailed, 0, "mount: the kernel's first request is not INIT",
                mount_point);
  }
  return std::string(buffer.data(), static_cast<std::size_t>(got));
}

}  // namespace

std::string libfuse_options(const std::string& store, const MountOptions& options, bool as_root) {
  std::string text = "default_permissions,subtype=amberfs,fsname=" + escape(store);
  // A file system mounted by root has devices and set-user-id programs like any other.
  if (as_root) text += ",suid,dev";
  const bool asked = std::ranges::find(options.extra, "allow_other") != options.extra.end();
  // Ordinary users may say it only where /etc/fuse.conf allows it.
  if (as_root && options.allow_other && !asked) text += ",allow_other";
  if (options.read_only) text += ",ro";
  if (options.debug) text += ",debug";
  for (const std::string& option : options.extra) text += "," + option;
  return text;
}

Result<fuse_session*> new_libfuse_session(const std::string& store, const MountOptions& options,
                                          const fuse_lowlevel_ops& ops, void* userdata) {
  const std::string text = libfuse_options(store, options, ::geteuid() == 0);
  fuse_args arguments{};
  const bool added = fuse_opt_add_arg(&arguments, "amberfs") == 0 &&
                     fuse_opt_add_arg(&arguments, "-o") == 0 &&
                     fuse_opt_add_arg(&arguments, text.c_str()) == 0;
  fuse_session* session = nullptr;
  if (added) session = fuse_session_new(&arguments, &ops, sizeof ops, userdata);
  fuse_opt_free_args(&arguments);
  if (session == nullptr) return fail(Errc::kMountFailed, 0, "start libfuse with options", text);
  return session;
}

Result<FuseDevice> FuseDevice::mount(const std::string& store, const std::string& real_mount_point,
                                     const MountOptions& options) {
  const fuse_lowlevel_ops none{};
  TRY_ASSIGN(fuse_session* const raw, new_libfuse_session(store, options, none, nullptr));
  const std::unique_ptr<fuse_session, SessionCloser> session(raw);
  errno = 0;
  if (fuse_session_mount(session.get(), real_mount_point.c_str()) != 0) {
    const int error = errno;
    const std::string text = libfuse_options(store, options, ::geteuid() == 0);
    return fail(Errc::kMountFailed, error, "mount (options " + text + ")", real_mount_point);
  }
  // The session's own descriptor is closed with it.
  FuseDevice device(::fcntl(fuse_session_fd(session.get()), F_DUPFD_CLOEXEC, 3));
  if (device.fd_ < 0) {
    return fail(Errc::kMountFailed, errno, "keep the device of", real_mount_point);
  }
  TRY_ASSIGN(device.init_request_, read_init(device.fd_, real_mount_point));
  return device;
}

FuseDevice::~FuseDevice() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace amberfs
