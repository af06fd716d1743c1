// SPDX-License-Identifier: Apache-2.0
// NodeId: how the kernel names an inode to us: a view number above an inode number. Nothing is
// looked up in a table, so a server that took over a mount understands every id the kernel holds.
//
//   63        40 39          0
//   [view number][inode number]      view 0         the live tree; its root is 1, as the kernel
//   asks
//                                    view N         snapshot with sequence N
//                                    view 0xFFFFFF  the directories of .snapshots (past.h)
//
// st_ino is the whole id: a file in a snapshot never looks like the same file as the live one.
// Threads: values.
#pragma once

#include "snapshot/record_format.h"

namespace amberfs {

using NodeId = std::uint64_t;

constexpr unsigned kInoBits = 40;
constexpr std::uint64_t kLiveView = 0;
constexpr std::uint64_t kVirtualView = 0xFFFFFF;
constexpr std::uint64_t kSnapshotViewMax = kVirtualView - 1;

static_assert(kInoMax == (Ino{1} << kInoBits) - 1);

[[nodiscard]] constexpr NodeId make_node(std::uint64_t view, Ino ino) {
  return view << kInoBits | ino;
}
[[nodiscard]] constexpr std::uint64_t view_number(NodeId node) {
  return node >> kInoBits;
}
[[nodiscard]] constexpr Ino ino_of(NodeId node) {
  return node & kInoMax;
}
[[nodiscard]] constexpr bool is_live(NodeId node) {
  return view_number(node) == kLiveView;
}
[[nodiscard]] constexpr bool is_virtual(NodeId node) {
  return view_number(node) == kVirtualView;
}
[[nodiscard]] constexpr bool is_snapshot(NodeId node) {
  return !is_live(node) && !is_virtual(node);
}

}  // namespace amberfs
