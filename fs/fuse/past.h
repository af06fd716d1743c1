// SPDX-License-Identifier: Apache-2.0
// Past: the directory .snapshots: which names it has, what they lead to, and the views behind them.
//
//   .snapshots/2026-11-20T10:00:00.000Z   directory: the root of that snapshot's view
//   .snapshots/by-name/NAME               symlink → ../2026-…
//   .snapshots/latest                     symlink → 2026-…
//   .snapshots/at/TIME                    symlink → ../2026-… of the newest snapshot at or before
//                                         TIME (looked up, never listed)
//
// `at` gives symlinks because the kernel allows a directory one name only: a second one would move
// it away from the first. The node id of a symlink holds the snapshot it leads to.
// Flow:    fuse_names, fuse_dir → Past → Catalog | View.
// Threads: every method from any thread.
// Owns:    the views opened last; borrows the catalog.
// Errors:  ENOENT for names, ESTALE for ids of snapshots that are gone, both as kPosix; kCorrupt.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/config.h"
#include "fs/fuse/node_id.h"
#include "fs/view.h"
#include "snapshot/catalog.h"

#include <functional>
#include <list>
#include <memory>

namespace amberfs {

constexpr ByteView kSnapshotsName = ".snapshots";
constexpr NodeId kSnapshotsNode = make_node(kVirtualView, 1);
constexpr NodeId kByNameNode = make_node(kVirtualView, 2);
constexpr NodeId kAtNode = make_node(kVirtualView, 3);

class Past {
 public:
  using OpenView = std::function<std::shared_ptr<const View>(const Manifest&)>;
  // With `whom` root, the virtual directories are this process's user's alone: the kernel checks
  // modes on the way to every file below. With none, nothing is found.
  Past(Catalog& catalog, OpenView open_view, SnapshotsFor whom = SnapshotsFor::kAll)
      : catalog_(catalog), open_view_(std::move(open_view)), whom_(whom) {}

  [[nodiscard]] bool is_hidden() const { return whom_ == SnapshotsFor::kNone; }

  // The view that a node of a snapshot belongs to.
  [[nodiscard]] Result<std::shared_ptr<const View>> view(NodeId node);

  // What a name in one of the virtual directories leads to; may be the root of a snapshot.
  [[nodiscard]] Result<NodeId> lookup(NodeId directory, ByteView name, std::int64_t now_ns);
  // Of a virtual node.
  [[nodiscard]] Result<InodeRecord> attributes(NodeId node);
  [[nodiscard]] Result<Bytes> target(NodeId symlink);

  struct Entry {
    Bytes name;
    NodeId node = 0;
    std::uint8_t type = 0;
    std::uint64_t cookie = 0;
  };
  // As View::list_directory.
  [[nodiscard]] Status list(NodeId directory, std::uint64_t after,
                            const std::function<bool(const Entry&)>& visit);

 private:
  static constexpr std::size_t kOpenViewsMax = 16;

  [[nodiscard]] Result<NodeId> lookup_top(ByteView name);
  [[nodiscard]] Status list_top(std::uint64_t after,
                                const std::function<bool(const Entry&)>& visit);
  [[nodiscard]] Status list_snapshots(NodeId directory, std::uint64_t after,
                                      const std::function<bool(const Entry&)>& visit);

  struct OpenedView {
    std::uint64_t sequence = 0;
    std::shared_ptr<const View> view;
  };
  Catalog& catalog_;
  const OpenView open_view_;
  const SnapshotsFor whom_;
  Mutex mu_;
  std::list<OpenedView> views_ GUARDED_BY(mu_);  // used last first
};

}  // namespace amberfs
