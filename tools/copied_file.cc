// SPDX-License-Identifier: Apache-2.0
#include "tools/copied_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

namespace amberfs::tools {
namespace {

// Below it a write past the page cache waits longer for the disk than the copy takes.
constexpr std::uint64_t kDirectMin = 1 * kMiB;
constexpr std::size_t kBlock = CopyBuffer::kAlignment;

bool is_zero(const char* bytes, std::size_t size) {
  return bytes[0] == '\0' && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

std::size_t rounded_up(std::size_t size) {
  return (size + kBlock - 1) / kBlock * kBlock;
}

// syncfs(2) does not reach the server of a FUSE file system: there each file is synced by itself.
bool needs_own_sync(int fd) {
  struct statfs st {};
  return ::fstatfs(fd, &st) == 0 && st.f_type == FUSE_SUPER_MAGIC;
}

}  // namespace

CopiedFile::CopiedFile(Descriptor file, Bytes path, Json stat, std::uint64_t size)
    : file_(std::move(file)),
      path_(std::move(path)),
      stat_(std::move(stat)),
      size_(size),
      pieces_left_(std::max<std::uint64_t>(1, (size + kPieceSize - 1) / kPieceSize)) {}

CopiedFile::~CopiedFile() {
  // Somebody else is being told of an error already.
  if (!whole_) std::ignore = ::ftruncate(file_.get(), 0);
}

Result<std::shared_ptr<CopiedFile>> CopiedFile::create(int parent, const Bytes& name, Bytes path,
                                                       Json stat) {
  Descriptor file(
      ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0) return copy_failed("create (--overwrite replaces what is there)", path);
  const auto size = stat.value("size", std::uint64_t{0});
  std::shared_ptr<CopiedFile> made(
      new CopiedFile(std::move(file), std::move(path), std::move(stat), size));
  // Before the first byte: writes that make a file longer would wait for each other.
  if (size > 0 && ::ftruncate(made->file_.get(), static_cast<off_t>(size)) != 0) {
    return copy_failed("size", made->path_);
  }
  if (size >= kDirectMin) {
    made->direct_ = ::fcntl(made->file_.get(), F_SETFL, O_DIRECT) == 0;
  }
  return made;
}

Status CopiedFile::write(CopyBuffer& buffer, std::size_t size, std::uint64_t offset) {
  char* bytes = buffer.span().data();
  // The end of a file is padded for the disk; finish() cuts it off again.
  const std::size_t whole = std::min(rounded_up(size), buffer.span().size());
  std::fill(bytes + size, bytes + whole, '\0');
  for (std::size_t at = 0; at < size;) {
    const auto zero = [&](std::size_t block) {
      return is_zero(bytes + block, std::min(kBlock, size - block));
    };
    if (zero(at)) {
      at += kBlock;
      continue;
    }
    std::size_t end = at + kBlock;
    while (end < size && !zero(end)) end += kBlock;
    TRY(write_run(bytes + at, std::min(end, whole) - at, offset + at));
    at = end;
  }
  return ok();
}

// `size` may be padded beyond the end of the file.
Status CopiedFile::write_run(const char* bytes, std::size_t size, std::uint64_t offset) {
  while (size > 0 && offset < size_) {
    const bool direct = direct_;
    const std::size_t wanted = direct ? size : std::min<std::uint64_t>(size, size_ - offset);
    const ssize_t n = ::pwrite(file_.get(), bytes, wanted, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && direct && leave_direct()) continue;
    if (n <= 0) return copy_failed("write", path_);
    bytes += n;
    size -= std::min(static_cast<std::size_t>(n), size);
    offset += static_cast<std::uint64_t>(n);
  }
  return ok();
}

// For all threads that write this file. Says EINVAL again when that was not the reason.
bool CopiedFile::leave_direct() {
  const bool left = ::fcntl(file_.get(), F_SETFL, 0) == 0;
  if (left) direct_ = false;
  return left;
}

Status CopiedFile::finish(Session& session, const std::string& view) {
  if (size_ % kBlock != 0 && ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) {
    return copy_failed("size", path_);
  }
  whole_ = true;
  TRY(copy_attributes(session, view, path_, stat_, file_.get()));
  if (needs_own_sync(file_.get()) && ::fsync(file_.get()) != 0) {
    return copy_failed("sync", path_);
  }
  if (file_.close() != 0) return copy_failed("close", path_);
  return ok();
}

}  // namespace amberfs::tools
