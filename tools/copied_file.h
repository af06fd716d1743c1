// SPDX-License-Identifier: Apache-2.0
// CopiedFile: a regular file that CopyOut is writing, in pieces and by several threads. It has its
// size from the start, and what is not written is a hole.
// Large files go past the page cache (O_DIRECT): a copy of them through it would take longer than
// the disk does. A file system that refuses that gets them the usual way.
// Flow:    create → write, from any offset → piece_done, once for each piece → finish, once.
// Threads: write and piece_done from any thread, at different ranges; the others from one.
// Owns:    the descriptor. A file that goes without finish() is emptied: its holes would look like
//          bytes of the snapshot.
// Errors:  kIo with errno and the path in the snapshot.
#pragma once

#include "tools/copy_attributes.h"
#include "tools/descriptor.h"

#include <atomic>
#include <memory>
#include <span>

namespace amberfs::tools {

// Memory that any disk can read from directly.
class CopyBuffer {
 public:
  static constexpr std::size_t kAlignment = 4096;  // no disk wants more of memory, offset or size
  explicit CopyBuffer(std::size_t size)
      : size_(size),
        bytes_(static_cast<char*>(::operator new (size, std::align_val_t{kAlignment}))) {}
  [[nodiscard]] std::span<char> span() { return {bytes_.get(), size_}; }

 private:
  struct Free {
    void operator()(char* bytes) const { ::operator delete (bytes, std::align_val_t{kAlignment}); }
  };
  std::size_t size_;
  std::unique_ptr<char, Free> bytes_;
};

class CopiedFile {
 public:
  static constexpr std::uint64_t kPieceSize = 32 * kMiB;

  // Makes the file; it is empty but for holes, and only the owner may open it until finish().
  // `stat`: the reply to "stat".
  [[nodiscard]] static Result<std::shared_ptr<CopiedFile>> create(int parent, const Bytes& name,
                                                                  Bytes path, Json stat);

  ~CopiedFile();
  CopiedFile(const CopiedFile&) = delete;
  CopiedFile& operator=(const CopiedFile&) = delete;

  [[nodiscard]] const Bytes& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] int fd() const { return file_.get(); }

  // Writes `size` bytes of `buffer` at `offset`, a multiple of the alignment; only the end of the
  // file may have a `size` that is none. Runs of zeros are left out.
  [[nodiscard]] Status write(CopyBuffer& buffer, std::size_t size, std::uint64_t offset);
  // It cannot be read: no piece of it is of any use.
  void give_up() { given_up_ = true; }
  [[nodiscard]] bool given_up() const { return given_up_; }
  // True: that was the last piece.
  [[nodiscard]] bool piece_done() { return pieces_left_.fetch_sub(1) == 1; }
  // Gives it its attributes and closes it.
  [[nodiscard]] Status finish(Session& session, const std::string& view);

 private:
  CopiedFile(Descriptor file, Bytes path, Json stat, std::uint64_t size);
  [[nodiscard]] Status write_run(const char* bytes, std::size_t size, std::uint64_t offset);
  [[nodiscard]] bool leave_direct();

  Descriptor file_;
  const Bytes path_;
  const Json stat_;
  const std::uint64_t size_;
  std::atomic<bool> direct_ = false;
  std::atomic<bool> given_up_ = false;
  std::atomic<std::uint64_t> pieces_left_;
  bool whole_ = false;
};

}  // namespace amberfs::tools
