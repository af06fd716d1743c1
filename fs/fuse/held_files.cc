// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/held_files.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

using Piece = HeldFiles::Piece;
using Range = HeldFiles::Range;

std::vector<Piece> whole(Range range) {
  return {{0, range.size, range.offset}};
}

std::size_t size_below(Range range, std::uint64_t limit) {
  if (range.offset >= limit) return 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(range.size, limit - range.offset));
}

// The part at and above sizes.before moves by the difference of the sizes.
void add_moved(std::vector<Piece>& pieces, Range range, HeldFiles::Sizes sizes) {
  const std::size_t low = size_below(range, sizes.before);
  if (low == range.size) return;
  pieces.push_back({low, range.size - low, range.offset + low - sizes.before + sizes.after});
}

// The attributes are told again at the next look: these answers only end a lock.
void answer(fuse_req_t request, const HeldFiles::Attributes& attributes) {
  if (attributes) {
    fuse_reply_attr(request, &*attributes, 0);
  } else {
    fuse_reply_err(request, attributes.error().to_errno());
  }
}

}  // namespace

HeldFiles::Taken HeldFiles::take(fuse_req_t request, Ino ino, unsigned valid) {
  if (!any()) return Taken::kNo;
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it == files_.end() || it->second.holder != fuse_req_ctx(request)->pid) return Taken::kNo;
  Held& held = it->second;
  const bool truncates = (valid & FUSE_SET_ATTR_SIZE) != 0;
  const bool changes_mode = (valid & FUSE_SET_ATTR_MODE) != 0;
  if (held.state == State::kAsked && changes_mode && !truncates) {
    held.request = request;
    set_state(held, State::kHeld);
    return Taken::kAnsweredLater;
  }
  if (held.state == State::kOpen && truncates) {
    held.request = request;
    set_state(held, State::kShrinking);
    return Taken::kAnsweredLater;
  }
  return Taken::kAnswerUnchanged;
}

std::vector<HeldFiles::Piece> HeldFiles::place_write(Ino ino, Range range, bool from_page_cache) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it == files_.end()) return whole(range);
  const Held& held = it->second;
  if (held.state == State::kSettling) {
    const bool stale = from_page_cache && range.offset + range.size <= held.settled_end;
    return stale ? std::vector<Piece>() : whole(range);
  }
  if (!held.sizes) return whole(range);
  std::vector<Piece> pieces;
  const std::size_t low = size_below(range, held.sizes->before);
  if (low > 0 && !from_page_cache) pieces.push_back({0, low, range.offset});
  add_moved(pieces, range, *held.sizes);
  return pieces;
}

std::vector<HeldFiles::Piece> HeldFiles::place_read(Ino ino, Range range) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it == files_.end() || !it->second.sizes) return whole(range);
  std::vector<Piece> pieces;
  const std::size_t low = size_below(range, it->second.sizes->before);
  if (low > 0) pieces.push_back({0, low, range.offset});
  add_moved(pieces, range, *it->second.sizes);
  return pieces;
}

void HeldFiles::size_was_set(Ino ino) {
  if (!any()) return;
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it != files_.end()) it->second.sizes.reset();
}

void HeldFiles::expect(Ino ino, pid_t holder) {
  MutexLock lock(mu_);
  files_[ino].holder = holder;
  count_.store(files_.size(), std::memory_order_release);
}

void HeldFiles::set_state(Held& held, State state) {
  held.state = state;
  changed_.notify_all();
}

void HeldFiles::fail_held(Ino ino) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it != files_.end()) set_state(it->second, State::kFailed);
}

bool HeldFiles::wait_for(Ino ino, State state, std::chrono::steady_clock::time_point until) {
  MutexLock lock(mu_);
  while (true) {
    const auto it = files_.find(ino);
    if (it != files_.end() && it->second.state == state) return true;
    if (it != files_.end() && it->second.state == State::kFailed) return false;
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    changed_.wait_for(mu_, left);
  }
}

void HeldFiles::release(Ino ino, const Attributes& attributes, std::optional<Sizes> sizes) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it == files_.end() || it->second.state != State::kHeld) return;
  it->second.sizes = sizes;
  set_state(it->second, State::kOpen);
  answer(std::exchange(it->second.request, nullptr), attributes);
}

std::optional<HeldFiles::Sizes> HeldFiles::sizes_of(Ino ino) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  return it == files_.end() ? std::nullopt : it->second.sizes;
}

void HeldFiles::answer_truncate(Ino ino, const Attributes& attributes) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it == files_.end() || it->second.state != State::kShrinking) return;
  it->second.sizes.reset();
  it->second.settled_end =
      attributes ? static_cast<std::uint64_t>(attributes->st_size) : std::uint64_t{0};
  set_state(it->second, State::kSettling);
  answer(std::exchange(it->second.request, nullptr), attributes);
}

void HeldFiles::abandon(Ino ino) {
  MutexLock lock(mu_);
  const auto it = files_.find(ino);
  if (it == files_.end()) return;
  it->second.sizes.reset();
  set_state(it->second, State::kFailed);
  if (it->second.request != nullptr) {
    fuse_reply_err(std::exchange(it->second.request, nullptr), EIO);
  }
}

void HeldFiles::forget(Ino ino) {
  MutexLock lock(mu_);
  files_.erase(ino);
  count_.store(files_.size(), std::memory_order_release);
}

}  // namespace amberfs
