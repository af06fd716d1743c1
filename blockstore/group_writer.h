// SPDX-License-Identifier: Apache-2.0
// GroupWriter: lays blocks beside each other, in the order in which they are added, as groups in
// packs of their own. Groups are compressed by threads of low priority while the next is gathered.
// Flow:       collect: add … end_group … finish → moves, packs → one index transaction.
// Durability: after finish() every pack is sealed, so durable; before it nothing is promised.
// Threads:    one; its own threads hold what they were given and end before finish() returns, or
//             the destructor. Told to stop, they end soon, however busy the machine is.
// Owns:       the writers of its packs; the caller closes or removes them.
// Memory:     plain bytes of one group, and of one more for each thread.
// Errors:     as of PackWriter; kBroken when it was told to stop. After one the packs are to be
//             thrown away.
// Format:     docs/format/pack.md.
#pragma once

#include "blockstore/block_store.h"
#include "blockstore/frame_cipher.h"
#include "blockstore/group_format.h"
#include "blockstore/index.h"
#include "blockstore/pack_writer.h"

#include <deque>
#include <functional>
#include <future>

namespace amberfs {

class GroupWriter {
 public:
  struct Pack {
    PackNumber number = 0;
    std::shared_ptr<PackWriter> writer;
  };
  // A pack that the index knows already, of a version that may hold groups.
  using NewPack = std::function<Result<Pack>()>;

  // `frames` must outlive it. `keep_going` is asked by the caller's thread while it waits.
  GroupWriter(const CompactOptions& options, std::uint64_t pack_size_bytes,
              const FrameCipher& frames, NewPack new_pack, std::function<bool()> keep_going);
  ~GroupWriter();
  GroupWriter(const GroupWriter&) = delete;
  GroupWriter& operator=(const GroupWriter&) = delete;

  // Of the kind that `from` says. Ends the group when it is full, or of the other kind.
  [[nodiscard]] Status add(const BlockId& id, const BlockLocation& from, ByteView bytes);
  // Everything added is in a sealed pack.
  [[nodiscard]] Status finish();

  [[nodiscard]] const std::vector<Pack>& packs() const { return packs_; }
  [[nodiscard]] std::vector<IndexMove> take_moves() { return std::move(moves_); }

 private:
  // A frame on its way to a pack.
  struct Work {
    std::vector<BlockLocation> from;  // of each member
    GroupBuilder::Group group;
    bool grouped = true;  // false: a block too large for a group, which is a frame of its own
    Codec codec = Codec::kRaw;
    BlockId id;     // of the frame
    Bytes encoded;  // unless it is raw
  };

  class Worker;

  [[nodiscard]] Status end_group();
  [[nodiscard]] Status start(Work work);
  [[nodiscard]] Status write_oldest();
  [[nodiscard]] Status write(Work work);
  [[nodiscard]] Work encode(Worker& worker, Work work) const;
  void stop();

  const CompactOptions options_;
  const std::uint64_t pack_size_bytes_;
  const FrameCipher& frames_;
  const NewPack new_pack_;
  GroupBuilder builder_;
  BlockKind kind_ = BlockKind::kData;  // of the group that is being built
  std::vector<BlockLocation> from_;
  const std::function<bool()> keep_going_;
  std::deque<std::unique_ptr<Worker>> working_;  // in the order in which they are written
  std::vector<Pack> packs_;                      // the last one is open
  std::vector<IndexMove> moves_;
};

}  // namespace amberfs
