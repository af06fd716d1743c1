// SPDX-License-Identifier: Apache-2.0
// TailPages: the last, unfinished pages of files that grow. The kernel's page cache writes such a
// page again with each append: the bytes that it had already are compared with these, and not read
// from the journal or a block.
// Threads: any; for one inode under its lock.
// Owns:    some pages, a place for each; who comes later takes it.
#pragma once

#include "blockstore/base/mutex.h"
#include "snapshot/record_format.h"

#include <array>

namespace amberfs {

class TailPages {
 public:
  // Whether `data`, at `offset`, begins with what the file has from there to its end. False also
  // when that is not known. `changes`: a number that grows whenever bytes are changed otherwise.
  [[nodiscard]] bool goes_on(Ino ino, std::uint64_t file_size, std::uint64_t offset, ByteView data,
                             std::uint64_t changes) {
    Place& place = places_[ino % kPlaces];
    MutexLock lock(place.mu);
    if (place.ino != ino || place.changes != changes || offset < place.begin) return false;
    if (file_size != place.begin + place.bytes.size() || offset > file_size) return false;
    const ByteView known = ByteView(place.bytes).substr(offset - place.begin);
    return data.starts_with(known);
  }

  // The file has `data` at `offset`, and ends at `file_size`.
  void wrote(Ino ino, std::uint64_t file_size, std::uint64_t offset, ByteView data,
             std::uint64_t changes) {
    const std::uint64_t begin = file_size / kPageSize * kPageSize;
    const bool has_tail = begin < file_size && offset <= begin && offset + data.size() == file_size;
    Place& place = places_[ino % kPlaces];
    MutexLock lock(place.mu);
    if (has_tail) {
      place.ino = ino;
      place.begin = begin;
      place.changes = changes;
      place.bytes = data.substr(begin - offset);
    } else if (place.ino == ino) {
      place.ino = kNoIno;
    }
  }

 private:
  static constexpr std::size_t kPlaces = 256;
  static constexpr std::uint64_t kPageSize = 4096;
  struct Place {
    Mutex mu;
    Ino ino GUARDED_BY(mu) = kNoIno;
    std::uint64_t begin GUARDED_BY(mu) = 0;
    std::uint64_t changes GUARDED_BY(mu) = 0;
    Bytes bytes GUARDED_BY(mu);
  };
  std::array<Place, kPlaces> places_;
};

}  // namespace amberfs
