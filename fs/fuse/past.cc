// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/past.h"

#include "blockstore/base/log.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace amberfs {
namespace {

constexpr std::uint64_t kSequenceMask = 0xFFFFFFFF;
constexpr unsigned kKindShift = 32;

// Symlinks: a kind above the sequence of the snapshot. The kernel holds such ids: never renumber.
enum class Symlink : std::uint64_t { kLatest = 4, kByName = 5, kAt = 6 };

constexpr std::uint64_t kByNameCookie = 3;
constexpr std::uint64_t kLatestCookie = 4;
constexpr std::uint64_t kAtCookie = 5;
constexpr std::uint64_t kSequenceCookie = 16;  // plus the sequence

NodeId link_node(Symlink kind, std::uint64_t sequence) {
  return make_node(kVirtualView, static_cast<std::uint64_t>(kind) << kKindShift | sequence);
}

std::uint64_t sequence_of(NodeId link) {
  return ino_of(link) & kSequenceMask;
}

bool is_directory_node(NodeId node) {
  return node == kSnapshotsNode || node == kByNameNode || node == kAtNode;
}

bool is_link_of(NodeId node, Symlink kind) {
  return ino_of(node) >> kKindShift == static_cast<std::uint64_t>(kind);
}

// A snapshot that is not there is an errno to programs, not an incident.
template <class T>
Result<T> or_errno(Result<T> result, int sys_errno) {
  if (result) return result;
  const Errc code = result.error().code;
  const bool absent = code == Errc::kNoSuchSnapshot || code == Errc::kAmbiguousSnapshot ||
                      code == Errc::kBadSnapshotName;
  return absent ? Result<T>(fail(posix_error(sys_errno))) : result;
}

Timestamp timestamp_of(std::int64_t time_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = time_ns / kSecond;
  std::int64_t rest = time_ns % kSecond;
  if (rest < 0) {
    seconds -= 1;
    rest += kSecond;
  }
  return {seconds, static_cast<std::uint32_t>(rest)};
}

InodeRecord record_of(std::uint32_t mode, std::int64_t time_ns) {
  InodeRecord record;
  record.mode = mode;
  record.nlink = S_ISDIR(mode) ? 2 : 1;
  record.atime = record.mtime = record.ctime = record.btime = timestamp_of(time_ns);
  return record;
}

}  // namespace

Result<std::shared_ptr<const View>> Past::view(NodeId node) {
  const std::uint64_t sequence = view_number(node);
  const bool forgotten = !catalog_.contains(sequence);
  {
    MutexLock lock(mu_);
    if (forgotten) {  // its blocks may go as soon as nobody holds the view
      views_.remove_if([&](const OpenedView& opened) { return opened.sequence == sequence; });
      return fail(posix_error(ESTALE));
    }
    for (auto it = views_.begin(); it != views_.end(); ++it) {
      if (it->sequence != sequence) continue;
      views_.splice(views_.begin(), views_, it);
      return it->view;
    }
  }
  TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.by_sequence(sequence), ESTALE));
  std::shared_ptr<const View> opened = open_view_(manifest);
  MutexLock lock(mu_);
  views_.push_front({sequence, opened});
  if (views_.size() > kOpenViewsMax) views_.pop_back();
  return opened;
}

Result<NodeId> Past::lookup(NodeId directory, ByteView name, std::int64_t now_ns) {
  if (directory == kSnapshotsNode) return lookup_top(name);
  if (directory == kByNameNode) {
    // Only an exact name: resolve() also takes ids, times and "latest".
    TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.resolve(name), ENOENT));
    if (manifest.name != name) return fail(posix_error(ENOENT));
    return link_node(Symlink::kByName, manifest.sequence);
  }
  if (directory == kAtNode) {
    const std::optional<std::int64_t> time_ns = parse_time(name, now_ns);
    if (!time_ns) return fail(posix_error(ENOENT));
    TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.at(*time_ns), ENOENT));
    return link_node(Symlink::kAt, manifest.sequence);
  }
  return fail(posix_error(ENOTDIR));
}

Result<NodeId> Past::lookup_top(ByteView name) {
  if (name == "by-name") return kByNameNode;
  if (name == "at") return kAtNode;
  if (name == "latest") {
    const std::optional<std::uint64_t> newest = catalog_.newest_sequence();
    if (!newest) return fail(posix_error(ENOENT));
    return link_node(Symlink::kLatest, *newest);
  }
  TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.by_time_name(name), ENOENT));
  if (manifest.sequence > kSnapshotViewMax) return fail(posix_error(EOVERFLOW));
  return make_node(manifest.sequence, kRootIno);
}

Result<InodeRecord> Past::attributes(NodeId node) {
  if (is_directory_node(node)) {
    std::int64_t time_ns = 0;
    if (const std::optional<std::uint64_t> newest = catalog_.newest_sequence()) {
      TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.by_sequence(*newest), ESTALE));
      time_ns = manifest.time_ns;
    }
    InodeRecord record = record_of(S_IFDIR | 0555U, time_ns);
    if (whom_ != SnapshotsFor::kAll) {
      record.mode = S_IFDIR | 0500U;
      record.uid = ::geteuid();
      record.gid = ::getegid();
    }
    return record;
  }
  TRY_ASSIGN(const Bytes text, target(node));
  TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.by_sequence(sequence_of(node)), ESTALE));
  InodeRecord record = record_of(S_IFLNK | 0777U, manifest.time_ns);
  record.size_bytes = text.size();
  return record;
}

Result<Bytes> Past::target(NodeId symlink) {
  if (is_directory_node(symlink)) return fail(posix_error(EINVAL));
  TRY_ASSIGN(const Manifest manifest, or_errno(catalog_.by_sequence(sequence_of(symlink)), ESTALE));
  const std::string time = format_time(manifest.time_ns);
  return is_link_of(symlink, Symlink::kLatest) ? time : "../" + time;
}

Status Past::list(NodeId directory, std::uint64_t after,
                  const std::function<bool(const Entry&)>& visit) {
  if (directory == kSnapshotsNode) return list_top(after, visit);
  if (directory == kByNameNode) return list_snapshots(directory, after, visit);
  if (directory == kAtNode) return ok();
  return fail(posix_error(ENOTDIR));
}

Status Past::list_top(std::uint64_t after, const std::function<bool(const Entry&)>& visit) {
  const std::optional<std::uint64_t> newest = catalog_.newest_sequence();
  if (after < kByNameCookie && !visit({"by-name", kByNameNode, DT_DIR, kByNameCookie})) return ok();
  if (after < kLatestCookie && newest &&
      !visit({"latest", link_node(Symlink::kLatest, *newest), DT_LNK, kLatestCookie})) {
    return ok();
  }
  if (after < kAtCookie && !visit({"at", kAtNode, DT_DIR, kAtCookie})) return ok();
  return list_snapshots(kSnapshotsNode, after, visit);
}

Status Past::list_snapshots(NodeId directory, std::uint64_t after,
                            const std::function<bool(const Entry&)>& visit) {
  const std::uint64_t newest = catalog_.newest_sequence().value_or(0);
  std::uint64_t sequence = after < kSequenceCookie ? 0 : after - kSequenceCookie;
  while (++sequence <= newest) {
    Result<Manifest> manifest = catalog_.by_sequence(sequence);
    if (!manifest) {
      // A damaged manifest must not hide the good snapshots; `verify` names it.
      if (manifest.error().code != Errc::kNoSuchSnapshot) {
        log_warning("list .snapshots: {}", manifest.error().to_string());
      }
      continue;
    }
    const bool by_name = directory == kByNameNode;
    if (by_name && manifest->name.empty()) continue;
    Entry entry{by_name ? manifest->name : format_time(manifest->time_ns),
                by_name ? link_node(Symlink::kByName, sequence) : make_node(sequence, kRootIno),
                by_name ? std::uint8_t{DT_LNK} : std::uint8_t{DT_DIR}, kSequenceCookie + sequence};
    if (!visit(entry)) return ok();
  }
  return ok();
}

}  // namespace amberfs
