// SPDX-License-Identifier: Apache-2.0
#include "blockstore/index_pages.h"

#include "blockstore/base/coding.h"
#include "blockstore/base/mutex.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>
#include <vector>

namespace amberfs {
namespace {

constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr std::size_t kPageSizeMin = 512;
constexpr std::size_t kPageSizeMax = 1U << 16;
constexpr unsigned kDepthMax = 32;  // of LMDB's cursors
// The last pages may be free without ever having been written: as many as one transaction holds.
constexpr std::uint64_t kUnwrittenPagesMax = 1U << 17;
constexpr IndexPageNumber kMetaPages = 2;

// Header of a page: number, unused u16, kind u16, then lower and upper u16, or the u32 of a run.
constexpr std::size_t kKindAt = 10;
constexpr std::size_t kLowerAt = 12;
constexpr std::size_t kUpperAt = 14;
constexpr std::size_t kPageHeaderSize = 16;
constexpr std::uint16_t kBranch = 1;
constexpr std::uint16_t kLeaf = 2;
constexpr std::uint16_t kRun = 4;
constexpr std::uint16_t kMeta = 8;

// Of a node: u16 low and high of size or page, flags (of a branch: the top of page), size of key.
constexpr std::size_t kNodeHeaderSize = 8;
constexpr std::uint16_t kLargeNode = 1;
constexpr std::uint16_t kTableNode = 2;

constexpr std::size_t kMetaAt = kPageHeaderSize;
constexpr std::size_t kMetaSize = 136;
constexpr std::size_t kTreeSize = 48;
constexpr std::uint16_t kByNumber = 8;

constexpr std::size_t kCachedPagesMax = 2048;

struct Meta {
  std::size_t page_size = 0;
  IndexRoots roots;
};

// The flags that make LMDB keep a table in another way: the low byte.
std::optional<IndexTree> decode_tree(Decoder& in, bool by_number) {
  (void)in.u32();  // of the free list: size of a page
  const std::uint16_t flags = in.u16();
  IndexTree tree{.depth = in.u16(), .by_number = by_number};
  for (int count = 0; count < 4; ++count) (void)in.u64();  // of pages and entries: LMDB's own
  tree.root = in.u64();
  const bool empty = tree.root == IndexTree::kEmpty;
  const bool right = (flags & 0xFF) == (by_number ? kByNumber : 0) && tree.depth <= kDepthMax &&
                     empty == (tree.depth == 0);
  return right && in.ok() ? std::optional(tree) : std::nullopt;
}

std::optional<Meta> decode_meta(ByteView page) {
  if (page.size() < kMetaAt + kMetaSize) return std::nullopt;
  if ((load_le<std::uint16_t>(page.data() + kKindAt) & kMeta) == 0) return std::nullopt;
  Decoder in(page.substr(kMetaAt, kMetaSize));
  const bool ours = in.u32() == kMagic && in.u32() == kDataVersion;
  (void)in.u64();  // address
  (void)in.u64();  // size of the map
  Meta meta;
  meta.page_size = load_le<std::uint32_t>(page.data() + kMetaAt + 24);  // begins the first tree
  const auto free_list = decode_tree(in, true);
  const auto tables = decode_tree(in, false);
  meta.roots.last_page = in.u64();
  meta.roots.transaction = in.u64();
  const bool right = ours && free_list && tables && in.ok() &&
                     std::has_single_bit(meta.page_size) && meta.page_size >= kPageSizeMin &&
                     meta.page_size <= kPageSizeMax && meta.roots.last_page >= kMetaPages - 1;
  if (!right) return std::nullopt;
  meta.roots.free_list = *free_list;
  meta.roots.tables = *tables;
  return meta;
}

}  // namespace

// A page that is in its place and of the right kind. What layout_problem() found to be right may be
// read by node().
class IndexPages::Page {
 public:
  explicit Page(std::size_t size)
      : bytes_(std::make_unique_for_overwrite<char[]>(size)), size_(size) {}

  // Views of the page.
  struct Node {
    ByteView key;
    ByteView data;            // of a leaf: the value, or where a large one is
    std::uint16_t flags = 0;  // of a leaf
    std::uint32_t size = 0;   // of the value
    IndexPageNumber child = 0;
  };

  [[nodiscard]] char* bytes() { return bytes_.get(); }
  [[nodiscard]] std::uint16_t kind() const { return u16(kKindAt); }
  [[nodiscard]] bool leaf() const { return kind() == kLeaf; }
  [[nodiscard]] std::size_t count() const { return (u16(kLowerAt) - kPageHeaderSize) / 2; }
  [[nodiscard]] Node node(std::size_t number) const {
    return node_at(u16(kPageHeaderSize + 2 * number));
  }
  // Null when it is as it has to be.
  [[nodiscard]] const char* layout_problem() const;
  // Of a leaf: no node has a flag that is not one of these.
  [[nodiscard]] bool has_only(std::uint16_t flags) const;

 private:
  [[nodiscard]] std::uint16_t u16(std::size_t at) const {
    return load_le<std::uint16_t>(bytes_.get() + at);
  }
  // A node takes an even number of bytes.
  [[nodiscard]] std::size_t node_size(std::size_t at) const;
  [[nodiscard]] Node node_at(std::size_t at) const;

  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

std::size_t IndexPages::Page::node_size(std::size_t at) const {
  std::size_t size = kNodeHeaderSize + u16(at + 6);
  if (leaf()) {
    const bool large = (u16(at + 4) & kLargeNode) != 0;
    size += large ? sizeof(IndexPageNumber) : load_le<std::uint32_t>(bytes_.get() + at);
  }
  return (size + 1) & ~std::size_t{1};
}

IndexPages::Page::Node IndexPages::Page::node_at(std::size_t at) const {
  const std::size_t key_size = u16(at + 6);
  Node node;
  node.key = {bytes_.get() + at + kNodeHeaderSize, key_size};
  if (leaf()) {
    node.flags = u16(at + 4);
    node.size = load_le<std::uint32_t>(bytes_.get() + at);
    const bool large = (node.flags & kLargeNode) != 0;
    node.data = {node.key.data() + key_size, large ? sizeof(IndexPageNumber) : node.size};
  } else {
    node.child = load_le<std::uint32_t>(bytes_.get() + at) | IndexPageNumber{u16(at + 4)} << 32;
  }
  return node;
}

const char* IndexPages::Page::layout_problem() const {
  const std::size_t lower = u16(kLowerAt);
  const std::size_t upper = u16(kUpperAt);
  if (lower < kPageHeaderSize || lower % 2 != 0 || lower > upper || upper > size_) {
    return "its free space is not in it";
  }
  // LMDB moves nodes as if none lay over another: each byte pair has one owner.
  std::array<std::uint64_t, kPageSizeMax / 2 / 64> taken;
  std::fill_n(taken.begin(), size_ / 2 / 64 + 1, 0);
  for (std::size_t i = 0; i < count(); ++i) {
    const std::size_t at = u16(kPageHeaderSize + 2 * i);
    if (at % 2 != 0 || at < upper || at + kNodeHeaderSize > size_) return "a node is not in it";
    const std::size_t size = node_size(at);
    if (size > size_ - at) return "a node is not in it";
    for (std::size_t pair = at / 2; pair < (at + size) / 2;) {
      const std::size_t bits = std::min<std::size_t>(64 - pair % 64, (at + size) / 2 - pair);
      const std::uint64_t mask = (bits == 64 ? ~0ULL : (1ULL << bits) - 1) << pair % 64;
      if ((taken[pair / 64] & mask) != 0) return "two nodes lie over each other";
      taken[pair / 64] |= mask;
      pair += bits;
    }
  }
  return nullptr;
}

bool IndexPages::Page::has_only(std::uint16_t flags) const {
  for (std::size_t i = 0; i < count(); ++i) {
    if ((node(i).flags & ~flags) != 0) return false;
  }
  return true;
}

// The keys of a page: not below the one, below the other. Views of the pages above it.
struct IndexPages::Bounds {
  std::optional<ByteView> low;
  std::optional<ByteView> high;

  // Of the child of one node of `page`, whose own bounds these are.
  [[nodiscard]] Bounds of_child(const Page& page, std::size_t number) const {
    Bounds child = *this;
    if (number > 0) child.low = page.node(number).key;
    if (number + 1 < page.count()) child.high = page.node(number + 1).key;
    return child;
  }
};

struct IndexPages::Walk {
  const IndexRoots& roots;
  const IndexTree& tree;
  ByteView from;
  const NodeVisitor& on_node;
  const PageVisitor& on_page;
  bool enough = false;

  [[nodiscard]] bool below(ByteView a, ByteView b) const {
    if (!tree.by_number) return a < b;
    return load_le<std::uint64_t>(a.data()) < load_le<std::uint64_t>(b.data());
  }
  [[nodiscard]] const char* keys_problem(const Page& page, const Bounds& bounds) const;
  // The node of a branch whose child holds a key, or would; of a leaf, the last one whose key is
  // not above it, if there is one. No key: the first.
  [[nodiscard]] std::size_t child_of(const Page& page, ByteView key) const;
};

std::size_t IndexPages::Walk::child_of(const Page& page, ByteView key) const {
  std::size_t low = 0;
  std::size_t high = key.empty() ? 0 : page.count() - 1;
  while (low < high) {
    const std::size_t middle = low + (high - low + 1) / 2;
    if (below(key, page.node(middle).key)) {
      high = middle - 1;
    } else {
      low = middle;
    }
  }
  return low;
}

// The first key of a branch says nothing, and is mostly empty.
const char* IndexPages::Walk::keys_problem(const Page& page, const Bounds& bounds) const {
  const std::size_t first = page.leaf() ? 0 : 1;
  std::optional<ByteView> before;
  for (std::size_t i = first; i < page.count(); ++i) {
    const ByteView key = page.node(i).key;
    if (tree.by_number && key.size() != sizeof(std::uint64_t)) return "a key has a wrong size";
    if (before && !below(*before, key)) return "its keys are not in order";
    before = key;
  }
  if (!before) return nullptr;
  if (bounds.low && below(page.node(first).key, *bounds.low)) return "its keys belong elsewhere";
  if (bounds.high && !below(*before, *bounds.high)) return "its keys belong elsewhere";
  return nullptr;
}

// What one transaction sees, as far as it was looked at. A transaction that commits leaves the
// pages of those before as they are, but gives their numbers away again later: then all is
// forgotten.
class IndexPages::Cache {
 public:
  std::optional<IndexRoots> roots(std::uint64_t transaction) {
    MutexLock lock(mu_);
    return roots_.transaction == transaction ? std::optional(roots_) : std::nullopt;
  }
  void put_roots(const IndexRoots& roots) {
    MutexLock lock(mu_);
    if (roots.transaction <= roots_.transaction) return;
    roots_ = roots;
    pages_.clear();
  }
  void forget() {
    MutexLock lock(mu_);
    roots_ = {};
    pages_.clear();
  }
  std::shared_ptr<const Page> page(std::uint64_t transaction, IndexPageNumber number) {
    MutexLock lock(mu_);
    if (roots_.transaction != transaction) return nullptr;
    const auto it = pages_.find(number);
    return it == pages_.end() ? nullptr : it->second;
  }
  void put_page(std::uint64_t transaction, IndexPageNumber number,
                std::shared_ptr<const Page> page) {
    MutexLock lock(mu_);
    if (roots_.transaction != transaction) return;
    if (pages_.size() >= kCachedPagesMax) pages_.clear();
    pages_[number] = std::move(page);
  }

 private:
  Mutex mu_;
  IndexRoots roots_ GUARDED_BY(mu_);  // of transaction 0: none yet
  std::unordered_map<IndexPageNumber, std::shared_ptr<const Page>> pages_ GUARDED_BY(mu_);
};

IndexPages::IndexPages(std::unique_ptr<File> file, std::size_t page_size)
    : file_(std::move(file)), page_size_(page_size), cache_(std::make_unique<Cache>()) {}

IndexPages::~IndexPages() = default;

std::unexpected<Error> IndexPages::damaged(IndexPageNumber page, std::string_view what) const {
  return fail(Errc::kIndexDamaged, 0,
              "read page " + std::to_string(page) + " of the index: " + std::string(what),
              file_->path());
}

Result<std::unique_ptr<IndexPages>> IndexPages::open(Io& io, const std::string& path) {
  TRY_ASSIGN(auto file, io.open(path, OpenMode::kRead));
  TRY_ASSIGN(const std::uint64_t file_size, file->size());
  std::uint64_t at = 0;
  for (IndexPageNumber number = 0; number < kMetaPages; ++number) {
    std::array<char, kMetaAt + kMetaSize> raw{};
    TRY_ASSIGN(const std::size_t got, file->pread_some(raw.data(), raw.size(), at));
    const auto meta = decode_meta(ByteView(raw.data(), got));
    const bool fits = meta && (number == 0 || meta->page_size == at) &&
                      meta->roots.last_page <= file_size / meta->page_size + kUnwrittenPagesMax;
    if (!fits) {
      return fail(Errc::kIndexDamaged, 0,
                  "open index: page " + std::to_string(number) + " is not one that begins an index",
                  path);
    }
    at = meta->page_size;
  }
  return std::unique_ptr<IndexPages>(new IndexPages(std::move(file), at));
}

void IndexPages::forget() const {
  cache_->forget();
}

Status IndexPages::require_meta_pages() const {
  TRY_ASSIGN(const std::uint64_t size, file_->size());
  return size >= kMetaPages * page_size_ ? ok() : damaged(0, "the file is cut short");
}

Result<IndexRoots> IndexPages::roots(std::uint64_t transaction) const {
  if (const auto known = cache_->roots(transaction)) return *known;
  const IndexPageNumber page = transaction % kMetaPages;
  std::array<char, kMetaAt + kMetaSize> raw{};
  TRY_ASSIGN(const std::size_t got, file_->pread_some(raw.data(), raw.size(), page * page_size_));
  const auto meta = decode_meta(ByteView(raw.data(), got));
  if (!meta || meta->page_size != page_size_) return damaged(page, "it is no meta page");
  if (meta->roots.transaction != transaction) return damaged(page, "it is of another transaction");
  cache_->put_roots(meta->roots);
  return meta->roots;
}

Result<IndexTree> IndexPages::table(const IndexRoots& roots, ByteView name) const {
  TRY_ASSIGN(const std::optional<Bytes> value, find(roots, roots.tables, name));
  if (value && value->size() == kTreeSize) {
    Decoder in(*value);
    if (const auto tree = decode_tree(in, false)) return *tree;
  }
  return fail(Errc::kIndexDamaged, 0, "open index: there is no table " + Bytes(name),
              file_->path());
}

Status IndexPages::read_page(const IndexRoots& roots, IndexPageNumber page, char* target) const {
  if (page < kMetaPages || page > roots.last_page) return damaged(page, "there is none");
  TRY_ASSIGN(const std::size_t got, file_->pread_some(target, page_size_, page * page_size_));
  if (got != page_size_) return damaged(page, "the file is cut short");
  if (load_le<IndexPageNumber>(target) != page) return damaged(page, "it bears another number");
  return ok();
}

Status IndexPages::visit(const IndexRoots& roots, const IndexTree& tree, ByteView from,
                         const NodeVisitor& on_node, const PageVisitor& on_page) const {
  if (tree.depth == 0) return ok();
  Walk walk{roots, tree, from, on_node, on_page};
  return visit_page(walk, tree.root, 1, {});
}

Result<IndexPages::Page> IndexPages::load(const Walk& walk, IndexPageNumber number, unsigned level,
                                          const Bounds& bounds) const {
  Page page(page_size_);
  TRY(read_page(walk.roots, number, page.bytes()));
  const bool leaf = level == walk.tree.depth;
  if (page.kind() != (leaf ? kLeaf : kBranch)) return damaged(number, "it is of another kind");
  if (const char* problem = page.layout_problem()) return damaged(number, problem);
  if (page.count() < (leaf ? 1 : 2)) return damaged(number, "nodes are missing");
  const std::uint16_t flags = walk.tree.root == walk.roots.tables.root ? kTableNode : kLargeNode;
  if (leaf && !page.has_only(flags)) return damaged(number, "a node is of another kind");
  if (const char* problem = walk.keys_problem(page, bounds)) return damaged(number, problem);
  if (walk.on_page) TRY(walk.on_page(number, 1));
  return page;
}

Status IndexPages::visit_page(Walk& walk, IndexPageNumber number, unsigned level,
                              const Bounds& bounds) const {
  TRY_ASSIGN(const Page page, load(walk, number, level, bounds));
  if (!page.leaf()) {
    for (std::size_t i = walk.child_of(page, walk.from); i < page.count() && !walk.enough; ++i) {
      TRY(visit_page(walk, page.node(i).child, level + 1, bounds.of_child(page, i)));
    }
    return ok();
  }
  for (std::size_t i = 0; i < page.count() && !walk.enough; ++i) {
    const Page::Node node = page.node(i);
    if (!walk.from.empty() && walk.below(node.key, walk.from)) continue;
    if ((node.flags & kLargeNode) != 0) {
      TRY(visit_large(walk, node.key, node.data, node.size));
    } else if (walk.on_node) {
      walk.enough = !walk.on_node(node.key, node.data);
    }
  }
  return ok();
}

Status IndexPages::check_ways(const IndexRoots& roots, const IndexTree& tree,
                              std::span<const ByteView> keys, const PageVisitor& on_page) const {
  if (tree.depth == 0) return ok();
  struct Branch {
    Page page;
    Bounds bounds;  // views of the pages above
  };
  std::vector<Branch> above;  // of the leaf that was checked last
  std::optional<Bounds> leaf;
  const auto is_behind = [](ByteView key, const Bounds& bounds) {
    return bounds.high && key >= *bounds.high;
  };
  for (const ByteView key : keys) {
    if (leaf && !is_behind(key, *leaf)) continue;
    while (!above.empty() && is_behind(key, above.back().bounds)) above.pop_back();
    const Walk walk{roots, tree, key, {}, on_page};
    while (true) {
      IndexPageNumber number = tree.root;
      Bounds bounds;
      if (!above.empty()) {
        const Branch& parent = above.back();
        const std::size_t i = walk.child_of(parent.page, key);
        number = parent.page.node(i).child;
        bounds = parent.bounds.of_child(parent.page, i);
      }
      TRY_ASSIGN(Page page, load(walk, number, static_cast<unsigned>(above.size()) + 1, bounds));
      if (page.leaf()) {
        leaf = bounds;
        break;
      }
      above.push_back({std::move(page), bounds});
    }
  }
  return ok();
}

Result<std::shared_ptr<const IndexPages::Page>> IndexPages::cached(const Walk& walk,
                                                                   IndexPageNumber number,
                                                                   unsigned level,
                                                                   const Bounds& bounds) const {
  const std::uint64_t transaction = walk.roots.transaction;
  auto page = cache_->page(transaction, number);
  if (page && page->leaf() != (level == walk.tree.depth)) {
    return damaged(number, "it is in two places");
  }
  if (page) return page;
  TRY_ASSIGN(Page loaded, load(walk, number, level, bounds));
  page = std::make_shared<const Page>(std::move(loaded));
  cache_->put_page(transaction, number, page);
  return page;
}

Result<std::optional<Bytes>> IndexPages::find(const IndexRoots& roots, const IndexTree& tree,
                                              ByteView key) const {
  if (tree.depth == 0) return std::optional<Bytes>{};
  std::optional<Bytes> found;
  const NodeVisitor take = [&](ByteView, ByteView value) {
    found = value;
    return false;
  };
  Walk walk{roots, tree, key, take, {}};
  std::vector<std::shared_ptr<const Page>> above;  // the bounds are views of them
  Bounds bounds;
  IndexPageNumber number = tree.root;
  for (unsigned level = 1; level < tree.depth; ++level) {
    TRY_ASSIGN(auto page, cached(walk, number, level, bounds));
    const std::size_t i = walk.child_of(*page, key);
    number = page->node(i).child;
    bounds = bounds.of_child(*page, i);
    above.push_back(std::move(page));
  }
  TRY_ASSIGN(const auto leaf, cached(walk, number, tree.depth, bounds));
  const Page::Node node = leaf->node(walk.child_of(*leaf, key));
  if (node.key != key) return std::optional<Bytes>{};
  if ((node.flags & kLargeNode) == 0) return std::optional<Bytes>(node.data);
  TRY(visit_large(walk, node.key, node.data, node.size));
  return found;
}

// A value that fills pages of its own, one behind the other; the first begins as any page.
Status IndexPages::visit_large(Walk& walk, ByteView key, ByteView reference,
                               std::uint32_t size) const {
  const auto first = load_le<IndexPageNumber>(reference.data());
  const std::uint64_t count = (kPageHeaderSize + size + page_size_ - 1) / page_size_;
  Bytes page(page_size_, '\0');
  TRY(read_page(walk.roots, first, page.data()));
  const auto run = load_le<std::uint32_t>(page.data() + kLowerAt);
  if (load_le<std::uint16_t>(page.data() + kKindAt) != kRun || run < count ||
      run - 1 > walk.roots.last_page - first) {
    return damaged(first, "it does not begin a large value");
  }
  if (walk.on_page) TRY(walk.on_page(first, run));
  if (!walk.on_node) return ok();
  const std::uint64_t at = first * page_size_ + kPageHeaderSize;
  TRY_ASSIGN(const std::uint64_t file_size, file_->size());
  if (at + size > file_size) return damaged(first, "the file is cut short");
  Bytes value(size, '\0');
  TRY_ASSIGN(const std::size_t got, file_->pread_some(value.data(), value.size(), at));
  if (got != size) return damaged(first, "the file is cut short");
  walk.enough = !walk.on_node(key, value);
  return ok();
}

}  // namespace amberfs
