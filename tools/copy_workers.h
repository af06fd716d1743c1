// SPDX-License-Identifier: Apache-2.0
// CopyWorkers: threads that fetch the bytes of files from a store and write them, piece by piece,
// each with a session of its own. One alone would wait in turn for the server, its codec and the
// disk.
// Flow:    add(file) → queue of pieces → (thread) read into a buffer → CopiedFile::write → … →
//          finish of a file by whoever wrote its last piece.
// Threads: add and finish from the one that made it.
// Memory:  kBufferSize a thread, and kQueueMax pieces with their open files.
// Owns:    its threads and their sessions; they end with it. Borrows the session it began with.
// Errors:  a file that the store cannot read is noted, the others go on. Any other error stops all
//          threads and is what add and finish return from then on.
#pragma once

#include "blockstore/base/mutex.h"
#include "tools/copied_file.h"

#include <deque>
#include <optional>
#include <thread>
#include <vector>

namespace amberfs::tools {

struct CopyFailure {
  Bytes path;
  Error error;
};

class CopyWorkers {
 public:
  // At least one thread; fewer than wanted when the server has no room for more connections.
  [[nodiscard]] static Result<std::unique_ptr<CopyWorkers>> start(const Session& session,
                                                                  std::string view);
  // Stops: what was not written yet never will be.
  ~CopyWorkers();
  CopyWorkers(const CopyWorkers&) = delete;
  CopyWorkers& operator=(const CopyWorkers&) = delete;

  // Waits while the queue is full.
  [[nodiscard]] Status add(const std::shared_ptr<CopiedFile>& file);
  // Waits until all that was added is written and has its attributes. Returns what could not be
  // read.
  [[nodiscard]] Result<std::vector<CopyFailure>> finish();

 private:
  static constexpr std::size_t kBufferSize = 1 * kMiB;  // also what is asked for at once
  static constexpr std::size_t kQueueMax = 64;

  struct Piece {
    std::shared_ptr<CopiedFile> file;
    std::uint64_t offset = 0;
  };

  explicit CopyWorkers(std::string view) : view_(std::move(view)) {}
  [[nodiscard]] Status add_thread(const Session& session);
  void run(Session& session);
  [[nodiscard]] std::optional<Piece> next_piece();
  [[nodiscard]] Status copy(Session& session, CopyBuffer& buffer, const Piece& piece);
  [[nodiscard]] Result<std::uint64_t> skip_hole(Session& session, const Piece& piece) const;
  [[nodiscard]] Status fill(Session& session, std::span<char> target, const Piece& piece,
                            std::uint64_t offset) const;
  void note_unreadable(CopiedFile& file, const Error& error);
  void done(Status status);
  void stop();

  const std::string view_;
  Mutex mu_;
  CondVar more_;   // a piece to write, or the end
  CondVar fewer_;  // room in the queue, a piece that is written, or an error
  std::deque<Piece> queue_ GUARDED_BY(mu_);
  std::size_t running_ GUARDED_BY(mu_) = 0;  // pieces that were taken and are not written yet
  std::optional<Error> error_ GUARDED_BY(mu_);
  std::vector<CopyFailure> unreadable_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace amberfs::tools
