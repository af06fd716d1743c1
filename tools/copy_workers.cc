// SPDX-License-Identifier: Apache-2.0
#include "tools/copy_workers.h"

#include "fs/path_text.h"

#include <algorithm>
#include <exception>
#include <system_error>

namespace amberfs::tools {
namespace {

// Each waits now for the server and now for the disk, so two for a core; four keep a disk busy.
std::size_t threads_wanted() {
  return std::clamp<std::size_t>(std::size_t{2} * std::thread::hardware_concurrency(), 2, 4);
}

}  // namespace

Result<std::unique_ptr<CopyWorkers>> CopyWorkers::start(const Session& session, std::string view) {
  std::unique_ptr<CopyWorkers> workers(new CopyWorkers(std::move(view)));
  for (std::size_t i = 0; i < threads_wanted(); ++i) {
    Status added = workers->add_thread(session);
    if (!added && i == 0) return fail(std::move(added).error());
    if (!added) break;
  }
  return workers;
}

Status CopyWorkers::add_thread(const Session& session) {
  TRY_ASSIGN(Session branch, session.branch());
  // A server that has too many connections says so when it is asked something.
  TRY(branch.call({{"command", "stat"}, {"view", view_}, {"path", ""}}));
  try {
    threads_.emplace_back(
        [this, own = std::make_shared<Session>(std::move(branch))] { run(*own); });
  } catch (const std::system_error& e) {
    return fail(Errc::kOutOfMemory, e.code().value(), "restore elsewhere: start a thread");
  }
  return ok();
}

CopyWorkers::~CopyWorkers() {
  stop();
  for (std::thread& thread : threads_) thread.join();
}

void CopyWorkers::stop() {
  MutexLock lock(mu_);
  stopping_ = true;
  queue_.clear();
  more_.notify_all();
  fewer_.notify_all();
}

Status CopyWorkers::add(const std::shared_ptr<CopiedFile>& file) {
  std::uint64_t offset = 0;
  do {  // an empty file has a piece too: somebody has to finish it
    MutexLock lock(mu_);
    while (!error_ && queue_.size() >= kQueueMax) fewer_.wait(mu_);
    if (error_) return fail(*error_);
    queue_.push_back({file, offset});
    more_.notify_one();
    offset += CopiedFile::kPieceSize;
  } while (offset < file->size());
  return ok();
}

Result<std::vector<CopyFailure>> CopyWorkers::finish() {
  MutexLock lock(mu_);
  while (!error_ && (!queue_.empty() || running_ > 0)) fewer_.wait(mu_);
  if (error_) return fail(*error_);
  return std::move(unreadable_);
}

std::optional<CopyWorkers::Piece> CopyWorkers::next_piece() {
  MutexLock lock(mu_);
  while (!stopping_ && queue_.empty()) more_.wait(mu_);
  if (stopping_) return std::nullopt;
  Piece piece = std::move(queue_.front());
  queue_.pop_front();
  ++running_;
  fewer_.notify_all();
  return piece;
}

void CopyWorkers::done(Status status) {
  MutexLock lock(mu_);
  --running_;
  if (!status) {
    if (!error_) error_ = std::move(status).error();
    stopping_ = true;
    queue_.clear();
    more_.notify_all();
  }
  fewer_.notify_all();
}

void CopyWorkers::note_unreadable(CopiedFile& file, const Error& error) {
  MutexLock lock(mu_);
  if (!file.given_up()) unreadable_.push_back({file.path(), error});
  file.give_up();
}

void CopyWorkers::run(Session& session) {
  std::optional<CopyBuffer> buffer;
  while (auto piece = next_piece()) {
    // The JSON library and the allocator report by exceptions; none may leave a thread.
    try {
      if (!buffer) buffer.emplace(kBufferSize);
      done(copy(session, *buffer, *piece));
    } catch (const std::bad_alloc&) {
      done(fail(Errc::kOutOfMemory, 0, "restore elsewhere: out of memory", piece->file->path()));
    } catch (const std::exception& e) {
      done(fail(Errc::kControl, 0, std::string("restore elsewhere: ") + e.what(),
                piece->file->path()));
    }
  }
}

Status CopyWorkers::copy(Session& session, CopyBuffer& buffer, const Piece& piece) {
  CopiedFile& file = *piece.file;
  const std::uint64_t end = std::min(file.size(), piece.offset + CopiedFile::kPieceSize);
  TRY_ASSIGN(const std::uint64_t begin, skip_hole(session, piece));
  for (std::uint64_t at = begin; at < end && !file.given_up();) {
    const std::size_t size = std::min<std::uint64_t>(kBufferSize, end - at);
    if (Status filled = fill(session, buffer.span().first(size), piece, at); !filled) {
      if (filled.error().code == Errc::kControl) return filled;
      note_unreadable(file, filled.error());
      break;
    }
    TRY(file.write(buffer, size, at));
    at += size;
  }
  return file.piece_done() && !file.given_up() ? file.finish(session, view_) : ok();
}

// Where the first data of a piece is, in whole blocks of the disk: of a sparse file of a terabyte,
// as /var/log/lastlog can be, not a terabyte of zeros is sent.
Result<std::uint64_t> CopyWorkers::skip_hole(Session& session, const Piece& piece) const {
  if (piece.file->size() <= kBufferSize) return piece.offset;  // one read costs no more than asking
  TRY_ASSIGN(const auto answer, session.call({{"command", "next_data"},
                                              {"view", view_},
                                              {"path", encode_path(piece.file->path())},
                                              {"offset", piece.offset}}));
  const auto data = answer.json.value("offset", piece.offset);
  return std::max(piece.offset, data / CopyBuffer::kAlignment * CopyBuffer::kAlignment);
}

// All of `target`: the disk is written to in whole blocks.
Status CopyWorkers::fill(Session& session, std::span<char> target, const Piece& piece,
                         std::uint64_t offset) const {
  while (!target.empty()) {
    TRY_ASSIGN(const std::size_t got, session.read_into({{"command", "read"},
                                                         {"view", view_},
                                                         {"path", encode_path(piece.file->path())},
                                                         {"offset", offset},
                                                         {"size", target.size()}},
                                                        target));
    if (got == 0) return fail(Errc::kCorrupt, 0, "read: it ends early", piece.file->path());
    target = target.subspan(got);
    offset += got;
  }
  return ok();
}

}  // namespace amberfs::tools
