// SPDX-License-Identifier: Apache-2.0
// No two draws are the same: of one thread, of several, of a process and its forked child.
#include "blockstore/base/random.h"

#include "blockstore/base/hash.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>
#include <vector>

namespace amberfs {
namespace {

constexpr std::size_t kDrawSize = 24;
constexpr std::size_t kDraws = 2000;

void draw_into(std::vector<Bytes>& draws) {
  for (std::size_t i = 0; i < kDraws; ++i) draws.push_back(random_bytes(kDrawSize));
}

// How many of them there are, each counted once.
std::size_t different(const std::vector<Bytes>& draws) {
  return std::set<Bytes>(draws.begin(), draws.end()).size();
}

TEST(Random, NeverGivesTheSameTwice) {
  std::vector<std::vector<Bytes>> by_thread(4);
  std::vector<std::thread> threads;
  for (auto& draws : by_thread) threads.emplace_back([&draws] { draw_into(draws); });
  for (std::thread& thread : threads) thread.join();
  std::vector<Bytes> all;
  draw_into(all);
  for (const auto& draws : by_thread) all.insert(all.end(), draws.begin(), draws.end());
  EXPECT_EQ(different(all), all.size());
}

TEST(Random, IsAnotherInAForkedChild) {
  std::vector<Bytes> draws;
  draw_into(draws);  // so that there is a state that could be inherited
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (std::size_t i = 0; i < kDraws; ++i) {
      char bytes[kDrawSize];
      fill_random(bytes, sizeof bytes);
      if (::write(pipe[1], bytes, sizeof bytes) != static_cast<ssize_t>(sizeof bytes)) ::_exit(1);
    }
    ::_exit(0);
  }
  ::close(pipe[1]);
  draw_into(draws);
  Bytes bytes(kDrawSize, '\0');
  while (::read(pipe[0], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
    draws.push_back(bytes);
  }
  ::close(pipe[0]);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(draws.size(), 3 * kDraws);
  EXPECT_EQ(different(draws), draws.size());
}

TEST(Random, FillsAllOfIt) {
  for (const std::size_t size : {0, 1, 24, 255, 257, 5000, 100'000}) {
    Bytes bytes(size + 1, '\0');
    std::array<bool, 256> seen{};
    for (int round = 0; round < 64; ++round) {
      fill_random(bytes.data(), size);
      if (size > 0) seen[static_cast<unsigned char>(bytes[size - 1])] = true;
    }
    EXPECT_EQ(bytes[size], '\0');
    // 64 draws of the last byte: that they are of ten values has a probability below 2^-230.
    if (size == 0) continue;
    EXPECT_GT(std::ranges::count(seen, true), 10) << size;
  }
}

}  // namespace
}  // namespace amberfs
