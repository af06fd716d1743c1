// SPDX-License-Identifier: Apache-2.0
#include "fs/live_map.h"

#include "blockstore/base/log.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace amberfs {

void Gate::enter() {
  MutexLock lock(mu_);
  while (closed_) changed_.wait(mu_);
  ++inside_;
}

void Gate::leave() {
  MutexLock lock(mu_);
  if (--inside_ == 0 && closed_) changed_.notify_all();
}

void Gate::close() {
  MutexLock lock(mu_);
  while (closed_) changed_.wait(mu_);
  closed_ = true;
  while (inside_ != 0) changed_.wait(mu_);
}

void Gate::open() {
  MutexLock lock(mu_);
  closed_ = false;
  changed_.notify_all();
}

namespace {

class ClosedGate {
 public:
  explicit ClosedGate(Gate& gate) : gate_(gate) { gate_.close(); }
  ~ClosedGate() { gate_.open(); }
  ClosedGate(const ClosedGate&) = delete;
  ClosedGate& operator=(const ClosedGate&) = delete;

 private:
  Gate& gate_;
};

std::vector<std::shared_ptr<const Overlay>> layers(const std::shared_ptr<Overlay>& active,
                                                   const std::shared_ptr<const Overlay>& frozen) {
  std::vector<std::shared_ptr<const Overlay>> overlays{active};
  if (frozen) overlays.push_back(frozen);
  return overlays;
}

// All that is not known to leave file data as it is.
bool changes_data_otherwise(OpKind kind) {
  switch (kind) {
    case OpKind::kWrite:
    case OpKind::kCreate:
    case OpKind::kMkdir:
    case OpKind::kMknod:
    case OpKind::kSymlink:
    case OpKind::kLink:
    case OpKind::kUnlink:
    case OpKind::kRmdir:
    case OpKind::kRename:
    case OpKind::kSetattr:
    case OpKind::kSetxattr:
    case OpKind::kRemovexattr:
      return false;
    default:
      return true;
  }
}

}  // namespace

struct LiveMap::State {
  State(std::shared_ptr<Overlay> top, std::shared_ptr<const Overlay> below, Tree tree)
      : active(std::move(top)), frozen(std::move(below)), view(layers(active, frozen), tree) {}

  const std::shared_ptr<Overlay> active;
  const std::shared_ptr<const Overlay> frozen;  // null when no commit runs
  const View view;
};

LiveMap::LiveMap(Blocks& blocks, const BlockId& root, const TreeTotals& totals, Ino next_ino)
    : blocks_(blocks),
      state_(
          std::make_shared<const State>(std::make_shared<Overlay>(), nullptr, Tree(blocks, root))),
      totals_(totals),
      next_ino_(next_ino) {}

std::shared_ptr<const LiveMap::State> LiveMap::state() const {
  MutexLock lock(state_mu_);
  return state_;
}

std::shared_ptr<const View> LiveMap::view() const {
  std::shared_ptr<const State> current = state();
  const View* view = &current->view;
  return {std::move(current), view};
}

void LiveMap::set_state(std::shared_ptr<const State> state) {
  MutexLock lock(state_mu_);
  std::erase_if(old_states_, [](const auto& old) { return old.expired(); });
  old_states_.push_back(state_);
  state_ = std::move(state);
}

void LiveMap::replay(const Batch& batch) {
  state()->active->apply(batch);
  for (const Change& change : batch.changes()) {
    const Result<ParsedKey> key = parse_key(change.key);
    if (key && key->tag == Tag::kInode && key->ino >= next_ino_.load()) next_ino_ = key->ino + 1;
  }
  add_totals(batch);
}

void LiveMap::add_totals(const Batch& batch) {
  MutexLock lock(state_mu_);
  totals_.inode_count += static_cast<std::uint64_t>(batch.inode_delta());
  totals_.logical_bytes += static_cast<std::uint64_t>(batch.byte_delta());
}

Status LiveMap::append_and_apply(Batch& batch) {
  if (batch.time_ns() == 0) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    batch.set_time_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  }
  TRY_ASSIGN(const Appended appended, journal_->append(batch));
  batch.resolve(appended.segment, appended.data_position);
  if (RequestMarks* marks = marks_.load(); marks != nullptr && batch.origin().request_id != 0) {
    marks->applied(batch.origin().request_id);
  }
  // Before the change can be seen: who sees it and syncs, syncs it too.
  std::uint64_t last = last_seq_.load();
  while (last < appended.seq && !last_seq_.compare_exchange_weak(last, appended.seq)) {
  }
  if (changes_data_otherwise(batch.kind())) ++data_changes_;
  state()->active->apply(batch);
  add_totals(batch);
  return ok();
}

TreeTotals LiveMap::totals() const {
  MutexLock lock(state_mu_);
  return totals_;
}

bool LiveMap::dirty() const {
  const auto current = state();
  return current->frozen != nullptr || !current->active->empty();
}

std::uint64_t LiveMap::overlay_bytes() const {
  const auto current = state();
  return current->active->memory_bytes() +
         (current->frozen ? current->frozen->memory_bytes() : std::uint64_t{0});
}

Status LiveMap::sync() {
  return journal_->sync_to(last_seq_.load());
}

Frozen LiveMap::freeze() {
  // Left by a commit that failed and did not thaw: goes into this one.
  if (state()->frozen) thaw();
  const ClosedGate closed(gate_);
  const auto before = state();
  set_state(std::make_shared<const State>(std::make_shared<Overlay>(), before->active,
                                          before->view.tree()));
  return {before->active, before->view.tree(), journal_->tail(), totals(), next_ino()};
}

// Two waits. Extents in journal segments before `position` may have come from the frozen overlay
// into the active one (shared by a copy). The first wait ends the operations that could still bring
// more of them; under its inode's lock none disappears while another is made from it. What is in
// the active overlay then is all there will ever be. The second wait ends the readers that saw one
// of them before it was overwritten.
std::uint64_t LiveMap::install(const BlockId& root, const JournalPosition& position) {
  const std::shared_ptr<Overlay> active = state()->active;
  const auto renew_state = [&] {
    set_state(std::make_shared<const State>(active, nullptr, Tree(blocks_, root)));
    wait_for_old_views();
  };
  renew_state();
  const std::uint64_t lowest = active->lowest_segment().value_or(position.segment);
  renew_state();
  return std::min(lowest, position.segment);
}

void LiveMap::wait_for_old_views() {
  using Clock = std::chrono::steady_clock;
  constexpr auto kComplainEvery = std::chrono::seconds(10);
  auto complain_at = Clock::now() + kComplainEvery;
  while (true) {
    std::size_t held = 0;
    {
      MutexLock lock(state_mu_);
      std::erase_if(old_states_, [](const auto& old) { return old.expired(); });
      held = old_states_.size();
    }
    if (held == 0) return;
    if (Clock::now() >= complain_at) {
      log_warning("live map: still waiting for operations on {} older views to end", held);
      complain_at += kComplainEvery;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void LiveMap::thaw() {
  const auto before = state();
  if (!before->frozen) return;
  auto merged = std::make_shared<Overlay>();
  merged->apply(before->frozen->changes());
  const ClosedGate closed(gate_);
  merged->apply(before->active->changes());
  set_state(std::make_shared<const State>(std::move(merged), nullptr, before->view.tree()));
}

Status LiveMap::replace(
    const BlockId& root, const TreeTotals& totals,
    const std::function<Status(const JournalPosition& position, Ino next_ino)>& publish) {
  {
    const ClosedGate closed(gate_);
    TRY(publish(journal_->tail(), next_ino()));
    ++data_changes_;
    set_state(
        std::make_shared<const State>(std::make_shared<Overlay>(), nullptr, Tree(blocks_, root)));
    MutexLock lock(state_mu_);
    totals_ = totals;
  }
  wait_for_old_views();
  return ok();
}

}  // namespace amberfs
