// SPDX-License-Identifier: Apache-2.0
// LiveMap: the live state of the file system: the active overlay, while a commit runs the frozen
// one, and the tree below; the journal in front of them; the locks that order changes.
//
// A change is a Mutation: it enters the gate (shared), locks the inodes concerned, reads the live
// View, fills a Batch, and apply() appends the batch to the journal and applies it to the active
// overlay. A commit freezes by closing the gate for an instant: mutations in flight finish, new
// ones wait (microseconds), the active overlay becomes the frozen one. Writers never wait for the
// rest of the commit.
//
//   freeze()   active → frozen, empty active on top         [live: active, frozen, tree]
//   install()  the committed tree replaces frozen + tree    [live: active, tree']
//   thaw()     a failed commit: frozen is merged back under active, nothing is lost
//   replace()  rollback: another tree becomes live, overlays are dropped
//
// Lock order: gate → inode locks (ascending stripe) → journal → state → overlay.
// Threads:    every method from any thread; freeze/install/thaw/replace by the commit thread only.
// Owns:       overlays; borrows Journal and Blocks.
#pragma once

#include "fs/applied_requests.h"
#include "fs/journal.h"
#include "fs/view.h"
#include "snapshot/manifest.h"

#include <array>
#include <atomic>
#include <functional>
#include <span>

namespace amberfs {

// Many enter; one closes it, which waits for those inside and holds newcomers back (unlike
// std::shared_mutex it cannot be starved by a stream of entrants). Not recursive.
class Gate {
 public:
  void enter();
  void leave();
  void close();
  void open();

 private:
  Mutex mu_;
  CondVar changed_;
  std::uint32_t inside_ GUARDED_BY(mu_) = 0;
  bool closed_ GUARDED_BY(mu_) = false;
};

struct Frozen {
  std::shared_ptr<const Overlay> overlay;
  Tree tree;                 // below it
  JournalPosition position;  // every batch before it is in overlay + tree
  TreeTotals totals;         // of overlay + tree
  Ino next_ino = kRootIno + 1;
};

class LiveMap {
 public:
  LiveMap(Blocks& blocks, const BlockId& root, const TreeTotals& totals, Ino next_ino);
  // After recovery; before the first Mutation.
  void attach_journal(Journal& journal) { journal_ = &journal; }
  // Is told each request whose batch was appended. Before the first Mutation of a request.
  void set_marks(RequestMarks* marks) { marks_.store(marks); }
  // Recovery: applies a batch read from the journal.
  void replay(const Batch& batch);

  // The current view. Hold it only for the length of one operation.
  [[nodiscard]] std::shared_ptr<const View> view() const;
  [[nodiscard]] Ino allocate_ino() { return next_ino_.fetch_add(1); }
  [[nodiscard]] Ino next_ino() const { return next_ino_.load(); }
  [[nodiscard]] TreeTotals totals() const;
  [[nodiscard]] std::uint64_t last_seq() const { return last_seq_.load(); }
  // True when something changed since the last install() or replace().
  [[nodiscard]] bool dirty() const;
  [[nodiscard]] std::uint64_t overlay_bytes() const;
  // Grows with every change of file data but by write(2): read under an inode's lock it tells
  // whether the inode can have changed otherwise.
  [[nodiscard]] std::uint64_t data_changes() const { return data_changes_.load(); }
  // Every change up to now is durable when it returns.
  [[nodiscard]] Status sync();

  [[nodiscard]] Frozen freeze();
  // Waits until no reader holds an older view (so the caller must hold none); then returns the
  // lowest journal segment that is still needed given that replay starts at `position`.
  [[nodiscard]] std::uint64_t install(const BlockId& root, const JournalPosition& position);
  void thaw();
  // Closes the gate, calls `publish` (which makes `root` the durable head at the position it is
  // given) and on success drops all overlays. Nothing changes when publish fails. Returns when no
  // reader holds an older view, so the caller must hold none.
  [[nodiscard]] Status replace(
      const BlockId& root, const TreeTotals& totals,
      const std::function<Status(const JournalPosition& position, Ino next_ino)>& publish);

 private:
  friend class Mutation;
  struct State;  // immutable: the layers of one View
#ifdef __SANITIZE_THREAD__
  static constexpr std::size_t kStripes = 32;  // its deadlock detector follows 64 locks at most
#else
  static constexpr std::size_t kStripes = 256;
#endif

  [[nodiscard]] Status append_and_apply(Batch& batch);
  void add_totals(const Batch& batch);
  [[nodiscard]] std::shared_ptr<const State> state() const;
  void set_state(std::shared_ptr<const State> state);
  void wait_for_old_views();

  Blocks& blocks_;
  Journal* journal_ = nullptr;
  std::atomic<RequestMarks*> marks_{nullptr};
  Gate gate_;
  std::array<Mutex, kStripes> inode_locks_;
  mutable Mutex state_mu_;
  std::shared_ptr<const State> state_ GUARDED_BY(state_mu_);
  std::vector<std::weak_ptr<const State>> old_states_ GUARDED_BY(state_mu_);
  TreeTotals totals_ GUARDED_BY(state_mu_);
  std::atomic<Ino> next_ino_;
  std::atomic<std::uint64_t> last_seq_{0};
  std::atomic<std::uint64_t> data_changes_{0};
};

// One change of the live map. Construct, lock what it reads and changes, fill batch(), apply().
// Destroying it without apply() changes nothing.
class Mutation {
 public:
  Mutation(LiveMap& live, OpKind kind, Origin origin = {});
  ~Mutation();
  Mutation(const Mutation&) = delete;
  Mutation& operator=(const Mutation&) = delete;

  // Locks the stripes of these inodes, in a fixed order. Once per mutation.
  void lock(std::initializer_list<Ino> inos);
  // Locks every inode: for a change whose inodes are only known on the way (restore). Instead of
  // lock().
  void lock_all();
  [[nodiscard]] const View& view() const { return *view_; }
  [[nodiscard]] Batch& batch() { return batch_; }
  [[nodiscard]] const Origin& origin() const { return batch_.origin(); }
  // Journal, then overlay. An empty batch does nothing. Once.
  [[nodiscard]] Status apply();

 private:
  LiveMap& live_;
  std::shared_ptr<const View> view_;
  Batch batch_;
  std::vector<std::size_t> locked_;  // stripes
};

}  // namespace amberfs
