// SPDX-License-Identifier: Apache-2.0
// Several programs at once while commits run beneath: no answer that no order of the operations
// could give, and a consistent tree at the end. Made for -fsanitize=thread.
#include "tests/support/fs_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;

// Runs `programs` to their end with commits in a loop beside them.
void run_with_commits(testing::TestStore& store, std::vector<std::function<void()>> programs) {
  std::atomic<bool> done{false};
  std::thread committer([&] {
    while (!done) {
      store.commit();
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (auto& program : programs) threads.emplace_back(std::move(program));
  for (std::thread& thread : threads) thread.join();
  done = true;
  committer.join();
}

TEST(FileSystemThreads, KeepEveryAppendedByteInOrder) {
  FsClient client;
  std::vector<std::function<void()>> programs;
  std::vector<Ino> files;
  constexpr int kAppends = 400;
  for (int i = 0; i < 4; ++i) {
    files.push_back(client.file("f" + std::to_string(i)));
    programs.push_back([&client, ino = files.back()] {
      std::uint64_t size = 0;
      for (int line = 0; line < kAppends; ++line) {
        const Bytes text = "line " + std::to_string(line) + "\n";
        client.write(ino, size, text);
        size += text.size();
        ASSERT_EQ(client.read(ino, size - text.size(), text.size()), text);
      }
    });
  }
  run_with_commits(client.store, std::move(programs));
  Bytes expected;
  for (int line = 0; line < kAppends; ++line) expected += "line " + std::to_string(line) + "\n";
  client.store.reopen();
  for (Ino ino : files) EXPECT_EQ(client.read(ino), expected);
  EXPECT_EQ(client.store.problems(), "");
}

// A reader beside a writer that replaces whole runs of small extents sees old or new bytes, never
// the zeros of a hole that was never there.
TEST(FileSystemThreads, NeverShowAHoleWhereBytesAlwaysWere) {
  FsClient client;
  const Ino f = client.file("f");
  client.write(f, 0, Bytes(4096, 'x'));
  std::atomic<bool> done{false};
  run_with_commits(client.store, {[&] {
                                    std::mt19937_64 random(1);
                                    for (int i = 0; i < 1500; ++i) {
                                      const std::uint64_t at = random() % 4000;
                                      const std::size_t size = i % 10 == 0 ? 4096 - at : 50;
                                      client.write(f, at, Bytes(size, 'y'));
                                    }
                                    done = true;
                                  },
                                  [&] {
                                    while (!done) {
                                      const Bytes bytes = client.read(f);
                                      ASSERT_EQ(bytes.size(), 4096U);
                                      ASSERT_EQ(bytes.find('\0'), Bytes::npos);
                                    }
                                  }});
  EXPECT_EQ(client.store.problems(), "");
}

TEST(FileSystemThreads, MoveNamesAboutWithoutLosingOne) {
  FsClient client;
  const std::vector<Ino> dirs{client.dir("a"), client.dir("b"), client.dir("c")};
  std::vector<std::function<void()>> programs;
  for (int i = 0; i < 4; ++i) {
    programs.push_back([&client, &dirs, i] {
      std::mt19937_64 random(static_cast<std::uint64_t>(i));
      FileSystem& fs = client.fs();
      auto name = [&random] { return Bytes(1, static_cast<char>('a' + random() % 5)); };
      auto dir = [&] { return dirs[random() % dirs.size()]; };
      for (int step = 0; step < 500; ++step) {
        const Bytes source = name();
        const Bytes target = name();
        const auto flags = static_cast<RenameFlags>(random() % 3);
        switch (random() % 6) {
          case 0:
          case 1:
            static_cast<void>(
                fs.make(client.who, dir(), source,
                        {.mode = random() % 2 == 0 ? S_IFREG | 0644U : S_IFDIR | 0755U}));
            break;
          case 2: {
            const Ino ino = dir();
            Result<Attr> found = fs.lookup(ino, source);
            if (!found || !fs.open(found->ino, false, client.who)) break;
            EXPECT_TRUE(fs.getattr(found->ino));  // what is open stays
            static_cast<void>(fs.unlink(client.who, ino, source));
            EXPECT_TRUE(fs.getattr(found->ino));
            EXPECT_TRUE(fs.release(found->ino));
            break;
          }
          case 3:
            static_cast<void>(fs.rmdir(client.who, dir(), source));
            break;
          default:
            static_cast<void>(fs.rename(client.who, {dir(), source}, {dir(), target}, flags));
        }
      }
    });
  }
  run_with_commits(client.store, std::move(programs));
  EXPECT_EQ(client.store.problems(), "");
  EXPECT_EQ(client.fs().open_file_count(), 0U);
  client.store.reopen();
  EXPECT_EQ(client.store.problems(), "");
  Result<CheckReport> report = check_view(*client.store.live().view());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->orphan_count, 0U);
}

}  // namespace
}  // namespace amberfs
