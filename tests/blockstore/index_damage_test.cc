// SPDX-License-Identifier: Apache-2.0
// A damaged index is refused, or answers right where it is whole; nothing dies of it.
#include "blockstore/base/coding.h"
#include "blockstore/index_pages.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/used_index.h"

#include <random>

namespace amberfs {
namespace {

using testing::must;

constexpr std::size_t kPageSize = 4096;
constexpr std::uint64_t kFileSizeMax = 16 * kMiB;

class DamagedIndex : public ::testing::Test {
 protected:
  void make(std::uint64_t count) {
    count_ = count;
    must(testing::make_used_index(path, count));
    file = must(io->read_file(path, kFileSizeMax));
    ASSERT_EQ(file.size() % kPageSize, 0U);
  }
  Status use(const Bytes& bytes) {
    const auto target = must(io->open(path, OpenMode::kCreateOrOpen));
    must(target->truncate(0));
    must(target->pwrite(bytes, 0));
    return testing::use_index(path, count_);
  }
  // The roots that the newer of the two meta pages names.
  IndexRoots roots() {
    const auto pages = must(IndexPages::open(*io, path));
    const auto transaction = std::max(load_le<std::uint64_t>(file.data() + 144),
                                      load_le<std::uint64_t>(file.data() + kPageSize + 144));
    return must(pages->roots(transaction));
  }
  IndexTree blocks() { return must(must(IndexPages::open(*io, path))->table(roots(), "blocks")); }
  char* page(IndexPageNumber number) { return file.data() + number * kPageSize; }
  // Where a node of a page begins.
  static char* node(char* bytes, std::size_t number) {
    return bytes + load_le<std::uint16_t>(bytes + 16 + 2 * number);
  }
  static IndexPageNumber child(char* bytes, std::size_t number) {
    return load_le<std::uint32_t>(node(bytes, number));
  }
  void expect_refused(std::string_view why) {
    const Status used = use(file);
    ASSERT_FALSE(used);
    EXPECT_EQ(used.error().code, Errc::kIndexDamaged);
    EXPECT_NE(used.error().to_string().find(why), std::string::npos) << used.error().to_string();
  }

  testing::TempDir dir;
  std::string path = dir / "data.mdb";
  std::unique_ptr<Io> io = make_posix_io();
  Bytes file;

 private:
  std::uint64_t count_ = 0;
};

TEST_F(DamagedIndex, IsUsedWhenItIsWhole) {
  make(8000);
  EXPECT_EQ(blocks().depth, 3U);
  must(use(file));
  must(testing::use_index(path, 8000));
}

TEST_F(DamagedIndex, SurvivesAnyFlippedBit) {
  make(800);
  std::mt19937_64 random(testing::test_seed());
  int refused = 0;
  for (int i = 0; i < 1500; ++i) {
    Bytes bytes = file;
    // Half of them where a page says what it is, and where its nodes are.
    const std::size_t in_page = random() % (i % 2 == 0 ? kPageSize : 200);
    const std::size_t at = random() % (bytes.size() / kPageSize) * kPageSize + in_page;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    const Status used = use(bytes);
    if (used) continue;
    ++refused;
    // The number of the version has no checksum.
    const bool of_version = used.error().to_string().find("open index") != std::string::npos;
    EXPECT_TRUE(used.error().code == Errc::kIndexDamaged || of_version) << used.error().to_string();
  }
  EXPECT_GT(refused, 30);  // most pages are free, or of the transaction before
}

TEST_F(DamagedIndex, SurvivesBeingCutAnywhere) {
  make(800);
  for (std::size_t size = 0; size < file.size(); size += 1000) {
    const Status used = use(file.substr(0, size));
    if (used) {
      EXPECT_GT(size, file.size() - 10 * kPageSize) << "the last pages are free";
      continue;
    }
    EXPECT_EQ(used.error().code, Errc::kIndexDamaged) << used.error().to_string();
  }
}

TEST_F(DamagedIndex, RefusesATreeThatLeadsInACircle) {
  make(8000);
  char* root = page(blocks().root);
  store_le<std::uint32_t>(node(root, 1), static_cast<std::uint32_t>(blocks().root));
  expect_refused("its keys belong elsewhere");
}

TEST_F(DamagedIndex, RefusesAPageInTwoPlaces) {
  make(800);
  char* root = page(blocks().root);
  store_le<std::uint32_t>(node(root, 2), static_cast<std::uint32_t>(child(root, 1)));
  expect_refused("its keys belong elsewhere");
}

TEST_F(DamagedIndex, RefusesToLookBehindItsEnd) {
  make(800);
  store_le<std::uint32_t>(node(page(blocks().root), 1), 0x7FFFFFFF);
  expect_refused("there is none");
}

TEST_F(DamagedIndex, RefusesNodesThatOverlap) {
  make(800);
  char* leaf = page(child(page(blocks().root), 0));
  store_le<std::uint16_t>(leaf + 16, load_le<std::uint16_t>(leaf + 18));
  expect_refused("two nodes lie over each other");
}

TEST_F(DamagedIndex, RefusesAValueThatReachesOutOfItsPage) {
  make(800);
  char* leaf = page(child(page(blocks().root), 0));
  store_le<std::uint32_t>(node(leaf, 0), 5000);
  expect_refused("a node is not in it");
}

TEST_F(DamagedIndex, RefusesAUsedPageAmongTheFreeOnes) {
  make(800);
  ASSERT_EQ(roots().free_list.depth, 1U);
  char* freed = node(page(roots().free_list.root), 0);  // header, transaction, count, pages
  const auto count = load_le<std::uint64_t>(freed + 16);
  ASSERT_GT(count, 0U);
  store_le<std::uint64_t>(freed + 16 + 8, blocks().root);
  expect_refused("index");
}

TEST_F(DamagedIndex, RefusesAListOfFreePagesThatIsLongerThanItsPlace) {
  make(800);
  char* freed = node(page(roots().free_list.root), 0);
  store_le<std::uint64_t>(freed + 16, 1ULL << 60);
  expect_refused("a list of free pages is cut short");
}

TEST_F(DamagedIndex, RefusesAPageSizeThatIsNone) {
  make(800);
  for (const std::size_t meta : {std::size_t{0}, std::size_t{1}}) {
    store_le<std::uint32_t>(page(meta) + 40, 0);
  }
  expect_refused("is not one that begins an index");
}

}  // namespace
}  // namespace amberfs
