// SPDX-License-Identifier: Apache-2.0
#include "fs/seal.h"

#include <algorithm>
#include <map>

namespace amberfs {
namespace {

using ExtentChanges = std::map<Bytes, std::optional<Bytes>>;

// Open tails below this size are always rewritten whole: a frame and an index entry for less would
// cost more than the bytes.
constexpr std::uint64_t kPieceSizeMin = 4 * kKiB;

// A maximal run of adjacent journal extents: [begin, end) of the file.
struct Run {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::vector<Extent> extents;
};

// The bytes of some extents one after another, read as a stream.
class ExtentStream {
 public:
  ExtentStream(const DataReader& reader, std::vector<Extent> extents)
      : reader_(reader), extents_(std::move(extents)) {}

  // Appends up to `size` bytes to `target`; fewer only at the end.
  Status read(std::size_t size, Bytes& target) {
    while (size > 0 && next_ < extents_.size()) {
      const Extent& extent = extents_[next_];
      const auto piece = std::min<std::size_t>(size, extent.length - skip_);
      const std::size_t old_size = target.size();
      target.resize(old_size + piece);
      TRY(reader_.read_extent(extent, skip_, target.data() + old_size, piece));
      size -= piece;
      skip_ += static_cast<std::uint32_t>(piece);
      if (skip_ == extent.length) {
        ++next_;
        skip_ = 0;
      }
    }
    return ok();
  }

 private:
  const DataReader& reader_;
  std::vector<Extent> extents_;
  std::size_t next_ = 0;
  std::uint32_t skip_ = 0;
};

class InodeSealer {
 public:
  InodeSealer(Ino ino, const View& view, BlockStore& blocks, const DataReader& reader,
              const ChunkerOptions& options)
      : ino_(ino), view_(view), blocks_(blocks), reader_(reader), options_(options) {}

  // `changes` are the EXTENT changes of the inode in the frozen overlay; returns them with every
  // journal extent replaced.
  Result<ExtentChanges> seal(ExtentChanges changes) {
    changes_ = std::move(changes);
    TRY_ASSIGN(auto inode, view_.find_inode(ino_));
    size_bytes_ = inode ? inode->size_bytes : 0;
    TRY_ASSIGN(auto runs, collect_runs());
    for (Run& run : runs) TRY(seal_run(std::move(run)));
    return std::move(changes_);
  }
  [[nodiscard]] std::uint64_t data_bytes() const { return data_bytes_; }

 private:
  // Journal extents stand in the overlay only; what the overlay holds is in `changes_`, in order.
  Result<std::vector<Run>> collect_runs() {
    std::vector<Run> runs;
    for (auto& [key, value] : changes_) {
      if (!value) continue;
      TRY_ASSIGN(Extent extent, decode_extent(*value));
      if (extent.kind != ExtentKind::kJournal) continue;
      TRY_ASSIGN(ParsedKey parsed, parse_key(key));
      const std::uint64_t end = parsed.number;
      const std::uint64_t begin = end - extent.length;
      if (runs.empty() || runs.back().end != begin) runs.push_back({begin, begin, {}});
      runs.back().end = end;
      runs.back().extents.push_back(extent);
      data_bytes_ += extent.length;
      value.reset();  // a deletion, unless a new extent takes the same key
    }
    return runs;
  }

  Status seal_run(Run run) {
    std::vector<View::FileExtent> tail;
    if (run.end >= size_bytes_ && run.begin > 0) {
      TRY_ASSIGN(tail, open_tail_before(run.begin));
    }
    std::uint64_t tail_bytes = 0;
    for (const auto& piece : tail) tail_bytes += piece.end - piece.begin;

    Chunker chunker(options_);
    if (tail_bytes > 0) {
      TRY_ASSIGN(Bytes context, bytes_before(tail, Chunker::kWindow));
      chunker.resume(tail_bytes, context);
    }
    ExtentStream stream(reader_, std::move(run.extents));
    std::uint64_t begin = run.begin;  // where the chunk at hand starts among the new bytes
    Bytes buffer;
    std::size_t scanned = 0;  // of `buffer`, already given to the chunker
    while (true) {
      const std::size_t before = buffer.size();
      TRY(stream.read(kReadSize, buffer));
      if (buffer.size() == before) break;
      while (scanned < buffer.size()) {
        const auto cut = chunker.find_cut(ByteView(buffer).substr(scanned));
        if (!cut) {
          scanned = buffer.size();
          break;
        }
        const std::size_t chunk_size = scanned + *cut;
        TRY(put_chunk(begin, ByteView(buffer).substr(0, chunk_size), tail, true));
        tail.clear();
        begin += chunk_size;
        buffer.erase(0, chunk_size);
        scanned = 0;
      }
    }
    if (buffer.empty()) return ok();
    narrow_to_merged(tail, buffer.size());
    return put_chunk(begin, buffer, tail, false);
  }

  // The pieces of the chunk that was not finished when the file ended at `end`: adjacent block
  // extents up to the last cut, not more than one chunk can hold.
  Result<std::vector<View::FileExtent>> open_tail_before(std::uint64_t end) {
    std::vector<View::FileExtent> pieces;
    const std::uint64_t from = end > options_.size_max ? end - options_.size_max : 0;
    TRY(view_.extents(ino_, from, end, [&](const View::FileExtent& piece) {
      const bool adjacent = !pieces.empty() && pieces.back().end == piece.begin;
      if (!adjacent || pieces.back().extent.ends_at_cut) pieces.clear();
      if (piece.extent.kind == ExtentKind::kBlock) pieces.push_back(piece);
      if (piece.extent.kind != ExtentKind::kBlock) pieces.clear();
      return true;
    }));
    if (pieces.empty() || pieces.back().end != end || pieces.back().extent.ends_at_cut) return {};
    if (end - pieces.front().begin >= options_.size_max) return {};
    return pieces;
  }

  // Binary counter: older pieces are merged with the new bytes while they are not larger; leaves in
  // `tail` the pieces that go into the new block.
  static void narrow_to_merged(std::vector<View::FileExtent>& tail, std::uint64_t size) {
    std::size_t keep = tail.size();
    while (keep > 0) {
      const std::uint64_t piece = tail[keep - 1].end - tail[keep - 1].begin;
      if (piece > std::max(size, kPieceSizeMin)) break;
      size += piece;
      --keep;
    }
    tail.erase(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(keep));
  }

  // One block from the bytes of `tail` and `bytes` (at file offset `begin`); `tail`'s extents go.
  Status put_chunk(std::uint64_t begin, ByteView bytes, const std::vector<View::FileExtent>& tail,
                   bool ends_at_cut) {
    Bytes joined;
    if (!tail.empty()) {
      TRY_ASSIGN(joined, bytes_before(tail, tail.back().end - tail.front().begin));
      joined.append(bytes);
      begin = tail.front().begin;
      bytes = joined;
      for (const auto& piece : tail) changes_[extent_key(ino_, piece.end)].reset();
    }
    Extent extent;
    extent.kind = ExtentKind::kBlock;
    extent.length = static_cast<std::uint32_t>(bytes.size());
    extent.ends_at_cut = ends_at_cut;
    TRY_ASSIGN(extent.block, blocks_.put(bytes, BlockKind::kData));
    changes_[extent_key(ino_, begin + bytes.size())] = encode(extent);
    return ok();
  }

  // The last `size` bytes (or all, when there are fewer) of adjacent pieces.
  Result<Bytes> bytes_before(const std::vector<View::FileExtent>& pieces, std::uint64_t size) {
    std::uint64_t skip = pieces.back().end - pieces.front().begin;
    skip -= std::min(skip, size);
    Bytes bytes;
    for (const auto& piece : pieces) {
      const std::uint64_t length = piece.end - piece.begin;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const std::size_t old_size = bytes.size();
      bytes.resize(old_size + (length - skip));
      TRY(reader_.read_extent(piece.extent, static_cast<std::uint32_t>(skip),
                              bytes.data() + old_size, length - skip));
      skip = 0;
    }
    return bytes;
  }

  static constexpr std::size_t kReadSize = 1 * kMiB;

  const Ino ino_;
  const View& view_;
  BlockStore& blocks_;
  const DataReader& reader_;
  const ChunkerOptions& options_;
  ExtentChanges changes_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t data_bytes_ = 0;
};

}  // namespace

Result<Sealed> seal(const Frozen& frozen, BlockStore& blocks, Journal& journal,
                    const ChunkerOptions& options) {
  Sealed sealed;
  const View view({frozen.overlay}, frozen.tree);
  const DataReader reader(blocks, &journal);
  std::vector<Change> changes = frozen.overlay->changes();
  for (std::size_t i = 0; i < changes.size();) {
    TRY_ASSIGN(ParsedKey first, parse_key(changes[i].key));
    if (first.tag != Tag::kExtent) {
      sealed.changes.push_back(std::move(changes[i++]));
      continue;
    }
    const Bytes range_stop = range_end(first.ino, Tag::kExtent);
    ExtentChanges extents;
    for (; i < changes.size() && changes[i].key < range_stop; ++i) {
      extents.emplace_hint(extents.end(), std::move(changes[i].key), std::move(changes[i].value));
    }
    InodeSealer sealer(first.ino, view, blocks, reader, options);
    TRY_ASSIGN(extents, sealer.seal(std::move(extents)));
    sealed.data_bytes += sealer.data_bytes();
    while (!extents.empty()) {
      auto node = extents.extract(extents.begin());
      sealed.changes.push_back({std::move(node.key()), std::move(node.mapped())});
    }
  }
  return sealed;
}

}  // namespace amberfs
