// SPDX-License-Identifier: Apache-2.0
// SegmentPool: the segment files of a journal directory: those in use, the released ones that wait
// for reuse, and the next one, which a thread prepares ahead so that an append need not wait for
// it. Threads: every method from any thread. Lock order: prepare_mu_ → mu_. Owns:    segments and
// its thread; borrows Io. Errors:  those of Io. A segment that could not be prepared leaves nothing
// behind; the next take()
//          tries anew.
#pragma once

#include "blockstore/base/mutex.h"
#include "fs/segment.h"

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace amberfs {

class SegmentPool {
 public:
  SegmentPool(Io& io, std::string directory, const JournalOptions& options);
  ~SegmentPool();
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  // Opens every segment file of the directory. Once, before anything else. Files below
  // `lowest_needed` without a valid header are released ones that were being reused.
  [[nodiscard]] Status load(std::uint64_t lowest_needed);
  // nullptr when there is none of that number.
  [[nodiscard]] SegmentPtr find(std::uint64_t number);
  // All from `number` on, in order.
  [[nodiscard]] std::vector<SegmentPtr> from(std::uint64_t number);
  // Unlinks all behind `number`, whose records are not part of the journal: durably, and the last
  // one first, so that a power cut leaves no gap.
  [[nodiscard]] Status drop_behind(std::uint64_t number);
  // Moves the same ones into the directory `target`, and puts a copy of what `end.segment` holds
  // behind `end` there, too, the header with it. The directory is made when there is anything to
  // keep; returns whether there was.
  [[nodiscard]] Result<bool> set_aside_behind(const JournalPosition& end, bool has_segment,
                                              const std::string& target);

  // The next segment, `number`, empty and durable, with room for a record of that size.
  [[nodiscard]] Result<SegmentPtr> take(std::uint64_t number, std::uint64_t record_size);
  // Puts another file in the place of `bad`, with the same records up to `end`, all of them
  // durable.
  [[nodiscard]] Result<SegmentPtr> rewrite(const SegmentPtr& bad, std::uint64_t end);
  // A hint that `number` will be taken soon.
  void prepare_ahead(std::uint64_t number);
  // Numbers below `number` are not needed any more.
  [[nodiscard]] Status release_before(std::uint64_t number);
  [[nodiscard]] std::uint64_t size_bytes();
  // Ends the thread.
  void stop();

 private:
  [[nodiscard]] Result<SegmentPtr> prepare(std::uint64_t number, std::uint64_t size_bytes)
      REQUIRES(prepare_mu_);
  // At least `size_min` bytes.
  [[nodiscard]] Result<SegmentPtr> prepare_or_make_room(std::uint64_t number,
                                                        std::uint64_t size_min)
      REQUIRES(prepare_mu_);
  [[nodiscard]] std::optional<std::string> pop_spare();
  [[nodiscard]] std::string path_of(std::uint64_t number) const;
  using RemoveSegment = std::function<Status(const std::string& path, std::uint64_t number)>;
  [[nodiscard]] Status take_out_behind(std::uint64_t number, const RemoveSegment& remove);
  void retire(const Segment& segment) REQUIRES(mu_);
  void prepare_loop();
  void prepare_wanted(std::uint64_t number);

  Io& io_;
  const std::string directory_;
  const JournalOptions options_;

  Mutex prepare_mu_;  // held while a segment is made
  SegmentPtr ahead_ GUARDED_BY(prepare_mu_);
  std::uint64_t taken_ GUARDED_BY(prepare_mu_) = 0;  // the highest number in use

  Mutex mu_;
  CondVar wake_;
  std::map<std::uint64_t, SegmentPtr> segments_ GUARDED_BY(mu_);
  std::vector<std::string> spares_ GUARDED_BY(mu_);     // paths
  std::vector<std::string> to_unlink_ GUARDED_BY(mu_);  // released, more than are kept
  std::uint64_t wanted_ GUARDED_BY(mu_) = 0;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // started by the first hint, under mu_
};

}  // namespace amberfs
