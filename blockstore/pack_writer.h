// SPDX-License-Identifier: Apache-2.0
// PackWriter: appends frames to one open pack file and, once it is full, seals it with a footer.
// Flow:       put → append; publish → append head → sync (→ seal).
// Durability: nothing is promised until sync() returns. seal() syncs the frames before it writes
//             the footer, so a footer that can be read proves that every frame before it was
//             durable: a frame that is missing there has rotted, it was not torn.
// Threads:    append() under the caller's lock; sync() beside append(); sync(), seal() and close()
//             from one thread at a time.
// Owns:       the file; borrows Io, which must outlive it.
// Errors:     as of Io. After a failed write, sync or seal the writer is broken: every call fails,
//             so that a failed sync is never retried into a success.
// Format:     docs/FORMAT.md#pack.
#pragma once

#include "blockstore/base/io.h"
#include "blockstore/frame_cipher.h"

#include <atomic>

namespace amberfs {

class PackWriter {
 public:
  // A new pack below `packs_directory`: its header and its name are durable on return.
  [[nodiscard]] static Result<std::unique_ptr<PackWriter>> create(
      Io& io, const std::string& packs_directory, std::uint32_t version = kPackVersionPlain);
  // Continues a pack at `length`. What is behind it was never published, if the index is right: it
  // is cut off, durably, before the first frame is appended, and not before. kCorrupt when the file
  // is shorter, or is not this pack; kKeyMissing when it is encrypted and the store is not.
  [[nodiscard]] static Result<std::unique_ptr<PackWriter>> resume(
      Io& io, const std::string& packs_directory, const PackId& id, std::uint64_t length,
      const FrameCipher& frames);

  // Appends a frame that was made for this pack. Returns where.
  [[nodiscard]] Result<std::uint64_t> append(const StoredFrame& frame) {
    return append(frame.header, frame.raw_header, frame.stored());
  }
  // The same, of its parts: `raw_header` was made by encode_frame_header().
  [[nodiscard]] Result<std::uint64_t> append(const FrameHeader& header, ByteView raw_header,
                                             ByteView stored);
  // Makes every frame appended before the call durable.
  [[nodiscard]] Status sync();
  // sync(), then footer and sync again. Nothing may be appended any more.
  [[nodiscard]] Status seal();
  [[nodiscard]] Status close();
  // Best effort after a failure: gives back the space behind `length`. The writer stays broken.
  [[nodiscard]] Status cut_off(std::uint64_t length);

  [[nodiscard]] const PackId& id() const { return id_; }
  [[nodiscard]] std::uint64_t length() const { return length_; }  // under the caller's lock
  // There is something behind the length that it was resumed at.
  [[nodiscard]] bool has_tail() const { return has_tail_; }
  [[nodiscard]] const std::string& path() const { return file_->path(); }

 private:
  PackWriter(std::unique_ptr<File> file, const PackId& id, std::uint64_t length);
  [[nodiscard]] Status check_whole() const;
  [[nodiscard]] Status keep_outcome(Status status);
  [[nodiscard]] Status list_earlier_frames();
  [[nodiscard]] Status cut_tail();

  const std::unique_ptr<File> file_;
  const PackId id_;
  const std::uint64_t resumed_at_;  // frames before it are not in frames_ yet
  std::uint64_t length_;
  bool has_tail_ = false;
  std::vector<FrameSpot> frames_;
  std::atomic<bool> broken_ = false;
};

}  // namespace amberfs
