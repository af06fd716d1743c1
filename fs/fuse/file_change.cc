// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/file_change.h"

#include "blockstore/base/log.h"
#include "fs/fuse/fuse_edge.h"
#include "fs/fuse/through_mount.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace amberfs {
namespace {

constexpr auto kHoldTimeout = std::chrono::seconds(10);

std::chrono::steady_clock::time_point hold_deadline() {
  return std::chrono::steady_clock::now() + kHoldTimeout;
}

}  // namespace

// The thread whose chmod and truncate are not answered for a while.
class FileChange::Holder {
 public:
  // `look` is a second opening, to look at the file while the calls through `file` are held.
  Holder(HeldFiles& held, Ino inode, ThroughMount file, ThroughMount look)
      : ino(inode), held_(held), file_(std::move(file)), look_(std::move(look)), thread_([this] {
          run();
        }) {}
  ~Holder() {
    proceed({});
    held_.abandon(ino);
    finish();
    held_.forget(ino);
  }
  // Waits until the kernel has taken over what it was told.
  void finish() {
    if (thread_.joinable()) thread_.join();
  }

  // What to do after the chmod was answered. The first call counts.
  struct Verdict {
    std::optional<std::uint64_t> truncate_to;
    std::optional<std::pair<timespec, timespec>> times;  // atime, mtime
  };
  void proceed(const Verdict& verdict) {
    {
      MutexLock lock(mu_);
      if (!verdict_) verdict_ = verdict;
    }
    decided_.notify_all();
  }

  [[nodiscard]] const ThroughMount& look() const { return look_; }

  const Ino ino;
  std::uint64_t size_before = 0;
  bool shrinks = false;

 private:
  void run() {
    held_.expect(ino, file_.caller());
    // On return it was answered, or writing the pages out failed before it was even asked.
    if (!file_.change_mode()) held_.fail_held(ino);
    const Verdict verdict = wait_for_verdict();
    if (verdict.truncate_to && !file_.truncate(*verdict.truncate_to)) held_.fail_held(ino);
    if (verdict.times && !file_.set_times(*verdict.times)) held_.fail_held(ino);
  }

  Verdict wait_for_verdict() {
    MutexLock lock(mu_);
    while (!verdict_) decided_.wait(mu_);
    return *verdict_;
  }

  HeldFiles& held_;
  const ThroughMount file_;
  const ThroughMount look_;
  Mutex mu_;
  CondVar decided_;
  std::optional<Verdict> verdict_ GUARDED_BY(mu_);
  std::thread thread_;
};

FileChange::FileChange(const MountParts& mount) : mount_(mount) {}
FileChange::~FileChange() = default;

Status FileChange::run(const std::vector<Ino>& inos, const std::function<Status()>& change) {
  if (Status held = hold_all(inos); !held) {
    for (const auto& holder : holders_) release(*holder);
    return held;
  }
  const Status changed = change();
  for (const auto& holder : holders_) release(*holder);
  for (const auto& holder : holders_) {
    if (holder->shrinks) finish_shrinking(*holder);
  }
  for (const auto& holder : holders_) holder->finish();
  return changed;
}

Status FileChange::hold_all(const std::vector<Ino>& inos) {
  if (inos.size() > kFilesMax) {
    return fail(
        Errc::kFilesOpen, 0,
        fmt::format("change {} files at once: at most {} are possible", inos.size(), kFilesMax),
        mount_.place.path);
  }
  for (const Ino ino : inos) {
    auto file = ThroughMount::open(mount_.fs, mount_.place, ino, O_RDWR);
    if (!file && file.error().code == Errc::kNoSuchPath) continue;
    if (!file) return fail(std::move(file).error());
    auto look = ThroughMount::open(mount_.fs, mount_.place, ino, O_RDONLY);
    if (!look && look.error().code == Errc::kNoSuchPath) continue;
    if (!look) return fail(std::move(look).error());
    holders_.push_back(
        std::make_unique<Holder>(mount_.held, ino, *std::move(file), *std::move(look)));
  }
  const auto deadline = hold_deadline();
  for (const auto& holder : holders_) {
    const bool held = mount_.held.wait_for(holder->ino, HeldFiles::State::kHeld, deadline);
    const auto size = held ? holder->look().size() : Result<std::uint64_t>(0);
    if (!held || !size) {
      return fail(Errc::kIo, ETIMEDOUT, "hold back the writers of a file",
                  "inode " + std::to_string(holder->ino));
    }
    holder->size_before = *size;
  }
  return ok();
}

HeldFiles::Attributes FileChange::attributes(Ino ino) {
  TRY_ASSIGN(const Attr attr, mount_.fs.getattr(ino));
  return to_stat({make_node(kLiveView, ino), attr.record});
}

// The kernel gets to know a size that grew before the lock ends; one that shrank, right after.
void FileChange::release(Holder& holder) {
  const HeldFiles::Attributes now = attributes(holder.ino);
  Holder::Verdict verdict;
  std::optional<HeldFiles::Sizes> sizes;
  if (now) {
    const auto size = static_cast<std::uint64_t>(now->st_size);
    verdict.times = {now->st_atim, now->st_mtim};
    mount_.notifier.invalidate_inode(holder.ino);
    if (size > holder.size_before) {
      char last = 0;
      Result<std::size_t> read = mount_.fs.read(holder.ino, size - 1, &last, 1);
      Status stored = read ? mount_.notifier.store_byte(holder.ino, size - 1, last)
                           : Status(fail(read.error()));
      if (!stored) log_error("inode {}: {}", holder.ino, stored.error().to_string());
      mount_.notifier.invalidate_inode(holder.ino);
    } else if (size < holder.size_before) {
      holder.shrinks = true;
      sizes = {holder.size_before, size};
      verdict.truncate_to = size;
    }
  }
  holder.proceed(verdict);
  mount_.held.release(holder.ino, now, sizes);
}

void FileChange::finish_shrinking(Holder& holder) {
  if (!mount_.held.wait_for(holder.ino, HeldFiles::State::kShrinking, hold_deadline())) {
    log_error("inode {}: the kernel did not take over its new size", holder.ino);
    mount_.held.abandon(holder.ino);
    return;
  }
  if (const auto sizes = mount_.held.sizes_of(holder.ino)) {
    if (Status taken = take_over_appended(holder, *sizes); !taken) {
      log_error("inode {}: lines written during a restore: {}", holder.ino,
                taken.error().to_string());
    }
  }
  mount_.held.answer_truncate(holder.ino, attributes(holder.ino));
}

// What programs appended between the two holds stands in the kernel's pages only, or is here
// already: written again it is the same.
Status FileChange::take_over_appended(Holder& holder, const HeldFiles::Sizes& sizes) {
  TRY_ASSIGN(const std::uint64_t size, holder.look().size());
  std::uint64_t offset = sizes.before;
  while (offset < size) {
    TRY_ASSIGN(const Bytes bytes, holder.look().read(offset, size - offset));
    if (bytes.empty()) break;
    TRY(mount_.fs.write({}, holder.ino, offset - sizes.before + sizes.after, bytes,
                        {.from_page_cache = true}));
    offset += bytes.size();
  }
  return ok();
}

}  // namespace amberfs
