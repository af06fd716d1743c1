// SPDX-License-Identifier: Apache-2.0
#include "blockstore/block_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

namespace amberfs {
namespace {

BlockId id_of(std::uint64_t number) {
  return BlockId{sha256({reinterpret_cast<const char*>(&number), sizeof number})};
}

BlockData data_of(std::size_t size) {
  return std::make_shared<const Bytes>(size, 'x');
}

TEST(BlockCache, StaysBelowItsLimit) {
  BlockCache cache(100'000);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    cache.insert(id_of(i), data_of(i * 37 % 9000));
    ASSERT_LE(cache.size_bytes(), 100'000U);
  }
  EXPECT_GT(cache.size_bytes(), 70'000U) << "evicts more than it must";
}

TEST(BlockCache, DropsTheLeastRecentlyUsed) {
  BlockCache cache(500'000);
  cache.insert(id_of(0), data_of(10'000));
  for (std::uint64_t i = 1; i < 500; ++i) {
    ASSERT_TRUE(cache.find(id_of(0))) << "after " << i;
    cache.insert(id_of(i), data_of(10'000));
  }
  EXPECT_FALSE(cache.find(id_of(1)));
  EXPECT_TRUE(cache.find(id_of(499)));
}

TEST(BlockCache, KeepsABlockAboutAsLargeAsTheLimit) {
  BlockCache cache(100'000);
  for (std::uint64_t i = 0; i < 20; ++i) cache.insert(id_of(i), data_of(1000));
  cache.insert(id_of(99), data_of(99'000));
  EXPECT_TRUE(cache.find(id_of(99)));
  EXPECT_LE(cache.size_bytes(), 100'000U);
}

TEST(BlockCache, RefusesWhatIsLargerThanTheLimit) {
  BlockCache cache(1000);
  cache.insert(id_of(1), data_of(2000));
  EXPECT_FALSE(cache.find(id_of(1)));
  BlockCache none(0);
  none.insert(id_of(1), data_of(0));
  EXPECT_EQ(none.size_bytes(), 0U);
}

TEST(BlockCache, ForgetsWhatIsErased) {
  BlockCache cache(10'000);
  cache.insert(id_of(1), data_of(100));
  cache.erase(id_of(1));
  cache.erase(id_of(2));
  EXPECT_FALSE(cache.find(id_of(1)));
  EXPECT_EQ(cache.size_bytes(), 0U);
}

TEST(BlockCache, CountsRightUnderThreads) {
  BlockCache cache(50'000);
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 5000; ++i) {
        const std::uint64_t number = random() % 200;
        if (random() % 4 == 0) cache.erase(id_of(number));
        if (BlockData data = cache.find(id_of(number))) {
          EXPECT_EQ(data->size(), number * 10);
        } else {
          cache.insert(id_of(number), data_of(number * 10));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(cache.size_bytes(), 50'000U);
  for (std::uint64_t i = 0; i < 200; ++i) cache.erase(id_of(i));
  EXPECT_EQ(cache.size_bytes(), 0U);
}

}  // namespace
}  // namespace amberfs
