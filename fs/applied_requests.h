// SPDX-License-Identifier: Apache-2.0
// Which requests of the kernel were applied although a server that died may not have answered them.
// The kernel sends such a request again to the next server, which must answer it and not apply it
// twice. An applied request is in the journal (its batch carries the id), or, when a commit has
// already released that part of the journal, in the marks that every server leaves (RequestMarks).
// Flow:    journal replay → AppliedRequests;  LiveMap, after each append → RequestMarks.
// Threads: AppliedRequests: filled by one thread, then read by any. RequestMarks: any.
#pragma once

#include "fs/batch.h"

#include <algorithm>
#include <vector>

namespace amberfs {

// Kept outside the server's memory (fs/fuse/mount_state.h). Called inside the gate: a commit that
// covers the batch begins only after the mark is there.
class RequestMarks {
 public:
  virtual ~RequestMarks() = default;
  virtual void applied(std::uint64_t request_id) = 0;
};

class AppliedRequests {
 public:
  // Batches in the order of the journal; kMount begins a new mount, whose ids begin anew.
  void replayed(const Batch& batch) {
    if (batch.kind() == OpKind::kMount) ids_.clear();
    if (batch.origin().request_id != 0) ids_.push_back(batch.origin().request_id);
  }
  void ready() { std::ranges::sort(ids_); }
  void forget() { std::vector<std::uint64_t>().swap(ids_); }
  [[nodiscard]] bool contains(std::uint64_t request_id) const {
    return std::ranges::binary_search(ids_, request_id);
  }

 private:
  std::vector<std::uint64_t> ids_;
};

}  // namespace amberfs
