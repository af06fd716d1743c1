// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/through_mount.h"

#include "fs/filesystem.h"

#include <fcntl.h>

#include <cerrno>

namespace amberfs {
namespace {

using Op = MountHelper::Op;

const char* name_of(Op op) {
  switch (op) {
    case Op::kOpen:
      return "open through the mount";
    case Op::kClose:
      return "close";
    case Op::kStat:
      return "stat";
    case Op::kSyncFs:
      return "syncfs";
    case Op::kDataSync:
      return "fdatasync";
    case Op::kSyncRange:
      return "sync_file_range";
    case Op::kChmod:
      return "chmod";
    case Op::kTruncate:
      return "truncate";
    case Op::kSetTimes:
      return "set times";
    case Op::kRead:
      return "read";
    case Op::kStatFs:
      return "statfs";
    case Op::kUnmount:
      return "unmount";
  }
  return "use the mount";
}

}  // namespace

ThroughMount::~ThroughMount() {
  if (!channel_) return;
  // An error of close(2) tells of writes that failed; nothing was written here.
  if (channel_->call({.op = Op::kClose})) helper_->give_back(std::move(channel_));
}

Result<ThroughMount> ThroughMount::on_channel(const MountPlace& place) {
  TRY_ASSIGN(auto channel, place.helper->channel());
  return ThroughMount(*place.helper, std::move(channel));
}

Result<MountHelper::Answer> ThroughMount::ask(const MountHelper::Call& call) const {
  auto answer = channel_->call(call);
  if (answer || answer.error().code != Errc::kPosix) return answer;
  const int error = answer.error().sys_errno;
  return fail(errc_for(error), error, name_of(call.op), what_);
}

Status ThroughMount::run(const MountHelper::Call& call) const {
  TRY(ask(call));
  return ok();
}

Result<Ino> ThroughMount::open_path(const MountPlace& place, const std::string& path, int flags) {
  what_ = path;
  const auto opened = ask({.op = Op::kOpen, .number = flags, .device = place.device, .path = path});
  if (!opened && opened.error().sys_errno == ENXIO) return fail(Errc::kNotMounted, 0, "use", path);
  if (!opened) return fail(opened.error());
  caller_ = opened->caller;
  return opened->ino;
}

Result<ThroughMount> ThroughMount::open(FileSystem& fs, const MountPlace& place, Ino ino,
                                        int flags) {
  constexpr int kAttempts = 10;  // it may be renamed between the look and the open
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TRY_ASSIGN(const std::optional<std::string> path, fs.view()->path_of(ino));
    if (!path) break;
    TRY_ASSIGN(ThroughMount file, on_channel(place));
    const auto opened =
        file.open_path(place, place.path + "/" + *path, flags | O_NOFOLLOW | O_NONBLOCK);
    if (!opened && opened.error().sys_errno == ENOENT) continue;
    if (!opened) return fail(opened.error());
    if (*opened == ino) return file;
  }
  return fail(Errc::kNoSuchPath, 0, "open through the mount", "inode " + std::to_string(ino));
}

Result<ThroughMount> ThroughMount::open_root(const MountPlace& place) {
  TRY_ASSIGN(ThroughMount root, on_channel(place));
  TRY(root.open_path(place, place.path, O_RDONLY | O_DIRECTORY));
  return root;
}

Status ThroughMount::truncate(std::uint64_t size) const {
  return run({.op = Op::kTruncate, .number = static_cast<std::int64_t>(size)});
}

Status ThroughMount::set_times(const std::pair<timespec, timespec>& atime_and_mtime) const {
  return run({.op = Op::kSetTimes, .times = {atime_and_mtime.first, atime_and_mtime.second}});
}

Result<std::uint64_t> ThroughMount::size() const {
  TRY_ASSIGN(const auto answer, ask({.op = Op::kStat}));
  return answer.size;
}

Result<Bytes> ThroughMount::read(std::uint64_t offset, std::uint64_t size) const {
  TRY_ASSIGN(auto answer,
             ask({.op = Op::kRead, .number = static_cast<std::int64_t>(offset), .size = size}));
  return std::move(answer.bytes);
}

}  // namespace amberfs
