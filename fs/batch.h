// SPDX-License-Identifier: Apache-2.0
// Batch: one operation of a program as changes of the map: puts and deletes, plus the data bytes.
// It is what the journal holds and what the overlay applies; replaying batches in order rebuilds
// the overlay exactly (physical logging: no operation is re-executed).
//
// New data: append_data() lays bytes into the batch's data area and returns their offset there; an
// EXTENT put with kind kJournal or kPacked, segment 0 and position = that offset is *relative*. The
// journal says where the data area landed, and resolve() turns relative extents into absolute ones,
// on append and on replay alike. Extents with a segment other than 0 are absolute already.
//
// Threads: built and used by one thread.
// Owns:    keys and values; data bytes are borrowed and must live until the batch is appended.
#pragma once

#include "blockstore/base/bytes.h"
#include "snapshot/record_format.h"
#include "snapshot/tree.h"

#include <vector>

namespace amberfs {

// Who asked for it: kept in the journal with every batch (exact capture needs it for each write).
struct Origin {
  std::uint64_t request_id = 0;  // the kernel's unique id in this mount; 0: the server's own work
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;
  std::string command;  // comm of the process, at most 16 bytes; "" when not looked up
};

// What the operation was: for history, audit and exactly-once answers. On disk, never renumber.
enum class OpKind : std::uint8_t {
  kOther = 0,
  kWrite = 1,
  kCreate = 2,
  kMkdir = 3,
  kMknod = 4,
  kSymlink = 5,
  kLink = 6,
  kUnlink = 7,
  kRmdir = 8,
  kRename = 9,
  kSetattr = 10,
  kTruncate = 11,
  kSetxattr = 12,
  kRemovexattr = 13,
  kFallocate = 14,
  kCopyRange = 15,
  kForgetOrphan = 16,
  kRestore = 17,
  kAdopt = 18,
  kRollback = 19,
  kMount = 20,  // changes nothing: request ids of what follows are those of a new mount
};

class Batch {
 public:
  explicit Batch(OpKind kind = OpKind::kOther, Origin origin = {})
      : kind_(kind), origin_(std::move(origin)) {}

  void put(Bytes key, Bytes value) { changes_.push_back({std::move(key), std::move(value)}); }
  void remove(Bytes key) { changes_.push_back({std::move(key), std::nullopt}); }
  // Returns the offset of `data` in the data area.
  std::uint32_t append_data(ByteView data) {
    auto offset = static_cast<std::uint32_t>(data_size_);
    data_.push_back(data);
    data_size_ += data.size();
    return offset;
  }
  void add_totals(std::int64_t inodes, std::int64_t bytes) {
    inode_delta_ += inodes;
    byte_delta_ += bytes;
  }
  // Makes relative extents absolute. Once, after the append.
  void resolve(std::uint64_t segment, std::uint64_t data_position);

  [[nodiscard]] bool empty() const { return changes_.empty(); }
  [[nodiscard]] OpKind kind() const { return kind_; }
  void set_kind(OpKind kind) { kind_ = kind; }
  [[nodiscard]] const Origin& origin() const { return origin_; }
  void set_time_ns(std::int64_t time_ns) { time_ns_ = time_ns; }
  [[nodiscard]] std::int64_t time_ns() const { return time_ns_; }
  [[nodiscard]] const std::vector<Change>& changes() const { return changes_; }
  [[nodiscard]] const std::vector<ByteView>& data() const { return data_; }
  [[nodiscard]] std::uint64_t data_size() const { return data_size_; }
  [[nodiscard]] std::int64_t inode_delta() const { return inode_delta_; }
  [[nodiscard]] std::int64_t byte_delta() const { return byte_delta_; }

 private:
  OpKind kind_;
  Origin origin_;
  std::int64_t time_ns_ = 0;
  std::vector<Change> changes_;  // applied in order; a later one of the same key wins
  std::vector<ByteView> data_;
  std::uint64_t data_size_ = 0;
  std::int64_t inode_delta_ = 0;  // change of TreeTotals
  std::int64_t byte_delta_ = 0;
};

}  // namespace amberfs
