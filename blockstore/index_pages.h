// SPDX-License-Identifier: Apache-2.0
// IndexPages: reads the pages of LMDB's file and believes none of them. LMDB trusts its file: one
// flipped bit of a page number sends it behind the end of its map. So lookups and listings walk the
// trees here, and before LMDB changes anything, every page that it is going to look at is checked.
// Layout:  that of LMDB 0.9 (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta; data version 1), whose
//          page numbers are 64 bits wide. docs/format/index.md says what is checked.
// Sizes:   a page is a power of two from 512 bytes to 64 KiB, mostly 4 KiB; one page of each level
//          is held while a tree is walked, and up to 2048 that find() has checked.
// Threads: any, also while LMDB commits: the caller's read transaction keeps the pages it reads.
// Errors:  kIndexDamaged, with the page; as of the disk.
#pragma once

#include "blockstore/base/io.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace amberfs {

using IndexPageNumber = std::uint64_t;

// One table: a B+tree. Keys are in order of their bytes, of the free list in order of number.
struct IndexTree {
  static constexpr IndexPageNumber kEmpty = ~IndexPageNumber{0};
  IndexPageNumber root = kEmpty;
  unsigned depth = 0;  // levels, 0 when it is empty
  bool by_number = false;
};

// What one meta page says.
struct IndexRoots {
  std::uint64_t transaction = 0;
  IndexPageNumber last_page = 0;
  IndexTree free_list;  // transaction → pages that it freed
  IndexTree tables;     // name → tree
};

class IndexPages {
 public:
  // A key and its value, which live until it returns; false: enough.
  using NodeVisitor = std::function<bool(ByteView key, ByteView value)>;
  // Of each page of a tree, and each run of pages with a large value.
  using PageVisitor = std::function<Status(IndexPageNumber first, std::uint64_t count)>;

  // The file must be there. Checks both meta pages; LMDB may open the file when this succeeds.
  [[nodiscard]] static Result<std::unique_ptr<IndexPages>> open(Io& io, const std::string& path);

  ~IndexPages();
  IndexPages(const IndexPages&) = delete;
  IndexPages& operator=(const IndexPages&) = delete;

  // Those of a transaction that is open, and so keeps its pages.
  [[nodiscard]] Result<IndexRoots> roots(std::uint64_t transaction) const;
  // Of the three. A table that is not there is damage.
  [[nodiscard]] Result<IndexTree> table(const IndexRoots& roots, ByteView name) const;

  // What find() has checked is looked at anew. LMDB looks at the file, not at what is known of it.
  void forget() const;
  // LMDB looks at both meta pages when a transaction begins: they must be there.
  [[nodiscard]] Status require_meta_pages() const;

  // The value of a key; nullopt: there is none. Pages that were checked are looked at again until
  // the next transaction commits.
  [[nodiscard]] Result<std::optional<Bytes>> find(const IndexRoots& roots, const IndexTree& tree,
                                                  ByteView key) const;

  // In order, from the first key that is not below `from` on. Every page on the way is checked; the
  // values of large nodes are not read when `on_node` is null.
  [[nodiscard]] Status visit(const IndexRoots& roots, const IndexTree& tree, ByteView from,
                             const NodeVisitor& on_node, const PageVisitor& on_page = {}) const;

  // Checks the pages from the root to the leaves that the keys are in, or belong in. In order.
  [[nodiscard]] Status check_ways(const IndexRoots& roots, const IndexTree& tree,
                                  std::span<const ByteView> keys, const PageVisitor& on_page) const;
  [[nodiscard]] std::unexpected<Error> damaged(IndexPageNumber page, std::string_view what) const;

 private:
  struct Walk;
  struct Bounds;
  class Page;
  class Cache;
  IndexPages(std::unique_ptr<File> file, std::size_t page_size);

  [[nodiscard]] Status read_page(const IndexRoots& roots, IndexPageNumber page, char* target) const;
  // Reads a page of a tree, and checks all that does not need another page.
  [[nodiscard]] Result<Page> load(const Walk& walk, IndexPageNumber number, unsigned level,
                                  const Bounds& bounds) const;
  [[nodiscard]] Status visit_page(Walk& walk, IndexPageNumber number, unsigned level,
                                  const Bounds& bounds) const;
  [[nodiscard]] Result<std::shared_ptr<const Page>> cached(const Walk& walk, IndexPageNumber number,
                                                           unsigned level,
                                                           const Bounds& bounds) const;
  [[nodiscard]] Status visit_large(Walk& walk, ByteView key, ByteView reference,
                                   std::uint32_t size) const;

  const std::unique_ptr<File> file_;
  const std::size_t page_size_;
  const std::unique_ptr<Cache> cache_;
};

}  // namespace amberfs
