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

// Ranges of one file, each with what it holds now. A range that is set takes over from those that
// were set before.
class RangeMap {
 public:
  void set(const FileExtent& put) {
    auto it = ranges_.upper_bound(put.begin);
    std::vector<FileExtent> remains;
    while (it != ranges_.end() && it->second.begin < put.end) {
      const FileExtent old = it->second;
      if (old.begin < put.begin) {
        remains.push_back({old.begin, put.begin, slice(old, old.begin, put.begin)});
      }
      if (old.end > put.end) remains.push_back({put.end, old.end, slice(old, put.end, old.end)});
      it = ranges_.erase(it);
    }
    for (const FileExtent& remain : remains) ranges_[remain.end] = remain;
    ranges_[put.end] = put;
  }
  // The parts of [begin, end) that no range covers.
  [[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps(std::uint64_t begin,
                                                                          std::uint64_t end) const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> result;
    for (auto it = ranges_.upper_bound(begin); begin < end; ++it) {
      const std::uint64_t stop = it == ranges_.end() ? end : std::min(end, it->second.begin);
      if (begin < stop) result.emplace_back(begin, stop);
      if (it == ranges_.end()) break;
      begin = it->second.end;
    }
    return result;
  }
  [[nodiscard]] const std::map<std::uint64_t, FileExtent>& ranges() const { return ranges_; }

 private:
  std::map<std::uint64_t, FileExtent> ranges_;  // by end
};

class InodeSealer {
 public:
  struct Source {
    const View& view;  // frozen overlay above the tree
    const View& tree;
    BlockStore& blocks;
    const DataReader& reader;
    const ChunkerOptions& options;
  };
  InodeSealer(Ino ino, const Source& source) : ino_(ino), source_(source) {}

  // `changes` are the EXTENT changes of the inode in the frozen overlay. Returns what they make of
  // the tree's entries, with every journal extent replaced by blocks.
  Result<ExtentChanges> seal(const std::vector<Change>& changes) {
    TRY_ASSIGN(auto inode, source_.view.find_inode(ino_));
    size_bytes_ = inode ? inode->size_bytes : 0;
    TRY_ASSIGN(auto runs, collect_runs(changes));
    for (Run& run : runs) TRY(seal_run(std::move(run)));
    return edit_tree();
  }
  [[nodiscard]] std::uint64_t data_bytes() const { return data_bytes_; }

 private:
  Result<std::vector<Run>> collect_runs(const std::vector<Change>& changes) {
    std::vector<Run> runs;
    for (const Change& change : changes) {
      if (!change.value) continue;
      TRY_ASSIGN(ParsedKey key, parse_key(change.key));
      TRY_ASSIGN(FileExtent found, file_extent(key, *change.value));
      ranges_.set(found);
      if (!found.extent.in_journal()) continue;
      if (runs.empty() || runs.back().end != found.begin) {
        runs.push_back({found.begin, found.begin, {}});
      }
      runs.back().end = found.end;
      runs.back().extents.push_back(found.extent);
      data_bytes_ += found.extent.length;
    }
    return runs;
  }

  Status seal_run(Run run) {
    std::vector<FileExtent> tail;
    if (run.end >= size_bytes_ && run.begin > 0) {
      TRY_ASSIGN(tail, open_tail_before(run.begin));
    }
    std::uint64_t tail_bytes = 0;
    for (const auto& piece : tail) tail_bytes += piece.end - piece.begin;

    Chunker chunker(source_.options);
    if (tail_bytes > 0) {
      TRY_ASSIGN(Bytes context, bytes_before(tail, Chunker::kWindow));
      chunker.resume(tail_bytes, context);
    }
    ExtentStream stream(source_.reader, std::move(run.extents));
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
  Result<std::vector<FileExtent>> open_tail_before(std::uint64_t end) {
    std::vector<FileExtent> pieces;
    const std::uint64_t size_max = source_.options.size_max;
    const std::uint64_t from = end > size_max ? end - size_max : 0;
    TRY(source_.view.extents(ino_, from, end, [&](const FileExtent& piece) {
      const bool adjacent = !pieces.empty() && pieces.back().end == piece.begin;
      if (!adjacent || pieces.back().extent.ends_at_cut) pieces.clear();
      if (piece.extent.kind == ExtentKind::kBlock) pieces.push_back(piece);
      if (piece.extent.kind != ExtentKind::kBlock) pieces.clear();
      return true;
    }));
    if (pieces.empty() || pieces.back().end != end || pieces.back().extent.ends_at_cut) {
      return std::vector<FileExtent>();
    }
    if (end - pieces.front().begin >= size_max) return std::vector<FileExtent>();
    return pieces;
  }

  // Binary counter: older pieces are merged with the new bytes while they are not larger; leaves in
  // `tail` the pieces that go into the new block.
  static void narrow_to_merged(std::vector<FileExtent>& tail, std::uint64_t size) {
    std::size_t keep = tail.size();
    while (keep > 0) {
      const std::uint64_t piece = tail[keep - 1].end - tail[keep - 1].begin;
      if (piece > std::max(size, kPieceSizeMin)) break;
      size += piece;
      --keep;
    }
    tail.erase(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(keep));
  }

  // One block from the bytes of `tail` and `bytes` (at file offset `begin`).
  Status put_chunk(std::uint64_t begin, ByteView bytes, const std::vector<FileExtent>& tail,
                   bool ends_at_cut) {
    Bytes joined;
    if (!tail.empty()) {
      TRY_ASSIGN(joined, bytes_before(tail, tail.back().end - tail.front().begin));
      joined.append(bytes);
      begin = tail.front().begin;
      bytes = joined;
    }
    Extent extent;
    extent.kind = ExtentKind::kBlock;
    extent.length = static_cast<std::uint32_t>(bytes.size());
    extent.ends_at_cut = ends_at_cut;
    TRY_ASSIGN(extent.block, source_.blocks.put(bytes, BlockKind::kData));
    ranges_.set({begin, begin + bytes.size(), extent});
    return ok();
  }

  // The last `size` bytes (or all, when there are fewer) of adjacent pieces.
  Result<Bytes> bytes_before(const std::vector<FileExtent>& pieces, std::uint64_t size) {
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
      TRY(source_.reader.read_extent(piece.extent, static_cast<std::uint32_t>(skip),
                                     bytes.data() + old_size, length - skip));
      skip = 0;
    }
    return bytes;
  }

  // What the tree has under the ranges goes, but for the parts beside them; then the ranges come.
  Result<ExtentChanges> edit_tree() {
    std::map<std::uint64_t, FileExtent> hit;
    const auto& ranges = ranges_.ranges();
    for (auto it = ranges.begin(); it != ranges.end();) {
      const std::uint64_t begin = it->second.begin;
      std::uint64_t end = it->second.end;
      for (++it; it != ranges.end() && it->second.begin == end; ++it) end = it->second.end;
      TRY(source_.tree.extents(ino_, begin, end, [&](const FileExtent& old) {
        hit.emplace(old.end, old);
        return true;
      }));
    }
    ExtentChanges changes;
    for (const auto& [end, old] : hit) changes[extent_key(ino_, end)] = std::nullopt;
    for (const auto& [end, old] : hit) {
      for (const auto& [from, to] : ranges_.gaps(old.begin, old.end)) {
        changes[extent_key(ino_, to)] = encode(slice(old, from, to));
      }
    }
    for (const auto& [end, range] : ranges) {
      if (range.extent.kind != ExtentKind::kHole) {
        changes[extent_key(ino_, end)] = encode(range.extent);
      }
    }
    return changes;
  }

  static constexpr std::size_t kReadSize = 1 * kMiB;

  const Ino ino_;
  const Source& source_;
  RangeMap ranges_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t data_bytes_ = 0;
};

}  // namespace

Result<Sealed> seal(const Frozen& frozen, BlockStore& blocks, Journal& journal,
                    const ChunkerOptions& options) {
  Sealed sealed;
  const View view({frozen.overlay}, frozen.tree);
  const View tree({}, frozen.tree);
  const DataReader reader(blocks, &journal);
  const InodeSealer::Source source{view, tree, blocks, reader, options};
  std::vector<Change> changes = frozen.overlay->changes();
  for (std::size_t i = 0; i < changes.size();) {
    TRY_ASSIGN(ParsedKey first, parse_key(changes[i].key));
    if (first.tag != Tag::kExtent) {
      sealed.changes.push_back(std::move(changes[i++]));
      continue;
    }
    const Bytes range_stop = range_end(first.ino, Tag::kExtent);
    std::vector<Change> of_inode;
    for (; i < changes.size() && changes[i].key < range_stop; ++i) {
      of_inode.push_back(std::move(changes[i]));
    }
    InodeSealer sealer(first.ino, source);
    TRY_ASSIGN(ExtentChanges extents, sealer.seal(of_inode));
    sealed.data_bytes += sealer.data_bytes();
    while (!extents.empty()) {
      auto node = extents.extract(extents.begin());
      sealed.changes.push_back({std::move(node.key()), std::move(node.mapped())});
    }
  }
  return sealed;
}

}  // namespace amberfs
