// SPDX-License-Identifier: Apache-2.0
// What the kernel takes over when a file gets another content behind its back, on a real mount,
// while programs read it and append to it.
#include "tests/fs/mounted_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace amberfs {
namespace {

using testing::MountedServer;

#define NEEDS_MOUNT() \
  if (!testing::can_mount()) GTEST_SKIP() << "needs root and /dev/fuse"

constexpr std::size_t kLineSize = 12;
std::string line_of(unsigned number) {
  return fmt::format("line{:07}\n", number);
}

std::string lines(unsigned begin, unsigned end) {
  std::string text;
  for (unsigned i = begin; i < end; ++i) text += line_of(i);
  return text;
}

std::string read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  if (fd < 0) return "errno " + std::to_string(errno);
  std::string all;
  char buffer[65536];
  ssize_t size = 0;
  while ((size = ::read(fd, buffer, sizeof buffer)) > 0) {
    all.append(buffer, static_cast<std::size_t>(size));
  }
  ::close(fd);
  return size < 0 ? "errno " + std::to_string(errno) : all;
}

off_t size_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_size : -errno;
}

void write_file(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::close(fd), 0);
}

// "restore N PATH…": each file gets `N` bytes: cut, or grown by lines "restored".
// "cut N PATH…": each loses its last `N` bytes. The answer is the size that the last one had.
std::string answer(Engine& engine, const std::vector<std::string>& words) {
  if (words[0] != "restore" && words[0] != "cut") return {};
  FileSystem& fs = engine.filesystem();
  std::vector<Ino> inos;
  for (std::size_t i = 2; i < words.size(); ++i) {
    const auto ino = engine.live_view()->resolve_path(words[i]);
    if (!ino) return ino.error().to_string();
    inos.push_back(*ino);
  }
  std::uint64_t size_before = 0;
  const auto change = [&]() -> Status {
    for (const Ino ino : inos) {
      TRY_ASSIGN(const Attr attr, fs.getattr(ino));
      size_before = attr.record.size_bytes;
      SetAttr set;
      set.size_bytes = std::stoull(words[1]);
      if (words[0] == "cut") set.size_bytes = attr.record.size_bytes - *set.size_bytes;
      TRY(fs.setattr({}, ino, set));
      std::string more;
      while (attr.record.size_bytes + more.size() < *set.size_bytes) more += "restored  \n";
      TRY(fs.write({}, ino, attr.record.size_bytes,
                   ByteView(more).substr(
                       0, *set.size_bytes - std::min(*set.size_bytes, attr.record.size_bytes)),
                   {}));
    }
    return ok();
  };
  const Status changed = engine.hooks()->change_files(inos, change);
  return changed ? std::to_string(size_before) : changed.error().to_string();
}

std::uint64_t restore(MountedServer& server, const std::string& command) {
  const std::string answered = server.ask(command);
  EXPECT_FALSE(answered.empty() || answered.find_first_not_of("0123456789") != std::string::npos)
      << answered;
  return std::strtoull(answered.c_str(), nullptr, 10);
}

TEST(ChangeFiles, ReadersSeeTheNewBytes) {
  NEEDS_MOUNT();
  MountedServer server({}, {}, answer);
  write_file(server / "f", lines(0, 1000));
  const int fd = ::open((server / "f").c_str(), O_RDONLY);
  char text[13] = {};
  ASSERT_EQ(::pread(fd, text, 12, 900 * 12), 12);
  for (const unsigned count : {500U, 1500U, 3U, 0U, 2000U}) {
    restore(server, "restore " + std::to_string(count * kLineSize) + " f");
    struct stat status {};
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_size, static_cast<off_t>(count * kLineSize));
    EXPECT_EQ(size_of(server / "f"), status.st_size);
    EXPECT_EQ(read_file(server / "f").size(), count * kLineSize);
    if (count < 900) {
      EXPECT_EQ(::pread(fd, text, 12, 900 * 12), 0);
    }
  }
  EXPECT_EQ(read_file(server / "f").substr(0, 11), "restored  \n");
  ::close(fd);
}

TEST(ChangeFiles, FilesNotInUseAndWatchedOnesGetTheirSize) {
  NEEDS_MOUNT();
  MountedServer server({}, {}, answer);
  write_file(server / "idle", lines(0, 1000));
  write_file(server / "watched", lines(0, 1000));
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, (server / "watched").c_str(), IN_MODIFY), 0);
  restore(server, "restore 1200 idle watched");
  EXPECT_EQ(size_of(server / "idle"), 1200);
  EXPECT_EQ(size_of(server / "watched"), 1200);
  EXPECT_EQ(read_file(server / "watched"), lines(0, 100));
  ::close(watch);
}

TEST(ChangeFiles, RollbackGivesFilesTheirSizeBack) {
  NEEDS_MOUNT();
  MountedServer server({}, {}, answer);
  write_file(server / "small", lines(0, 10));
  write_file(server / "watched", lines(0, 10));
  ::mkdir((server / "d").c_str(), 0755);
  write_file(server / "d/gone", "x");
  server.ask("snapshot one");
  write_file(server / "small", lines(0, 5000));
  write_file(server / "watched", lines(0, 5000));
  ::unlink((server / "d/gone").c_str());
  ASSERT_EQ(size_of(server / "d/gone"), -ENOENT);
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, (server / "watched").c_str(), IN_MODIFY), 0);
  ASSERT_EQ(server.ask("rollback one"), "ok");
  EXPECT_EQ(read_file(server / "small"), lines(0, 10));
  EXPECT_EQ(read_file(server / "watched"), lines(0, 10));
  EXPECT_EQ(read_file(server / "d/gone"), "x");
  ::close(watch);
}

// A program that appends lines as fast as it can until it is told to stop.
class Appender {
 public:
  Appender(const std::string& path, unsigned first, bool sync) {
    shared_ = static_cast<Shared*>(
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_ = ::fork();
    if (pid_ == 0) ::_exit(run(path, first, sync));
    while (shared_->next.load() < first + 100) ::usleep(100);
  }
  ~Appender() { ::munmap(shared_, sizeof(Shared)); }
  unsigned stop() {
    shared_->stop = true;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    EXPECT_EQ(status, 0);
    return shared_->next.load();
  }

 private:
  struct Shared {
    std::atomic<unsigned> next{0};
    std::atomic<bool> stop{false};
  };
  int run(const std::string& path, unsigned first, bool sync) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND);
    for (unsigned i = first; !shared_->stop; ++i) {
      const std::string line = line_of(i);
      if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return 1;
      shared_->next = i + 1;
      if (sync && i % 7 == 0 && ::fsync(fd) != 0) return 2;
    }
    return ::close(fd) == 0 ? 0 : 3;
  }
  Shared* shared_ = nullptr;
  pid_t pid_ = -1;
};

void restore_under_appender(const std::string& config, bool sync) {
  MountedServer server(config, {}, answer);
  const std::string path = server / "app.log";
  const auto begin = std::chrono::steady_clock::now();
  int rounds = 0;
  for (; std::chrono::steady_clock::now() - begin < std::chrono::seconds(2); ++rounds) {
    // Around page borders, too.
    const unsigned kept = std::array{100U, 341U, 342U, 1024U, 5U, 0U, 90U}[rounds % 7];
    write_file(path, lines(0, kept + 20));
    Appender appender(path, kept + 20, sync);
    const std::uint64_t before =
        restore(server, "restore " + std::to_string(kept * kLineSize) + " app.log");
    ::usleep(2000);
    const unsigned end = appender.stop();
    const std::string text = read_file(path);
    const auto first = static_cast<unsigned>(before / kLineSize);
    EXPECT_TRUE(text == lines(0, kept) + lines(first, end))
        << "kept " << kept << ", then " << first << " to " << end << "; size " << text.size();
    EXPECT_EQ(server.ask("size app.log"), std::to_string(text.size()));
    if (::testing::Test::HasFailure()) break;
  }
  printf("%d rounds\n", rounds);
}

TEST(ChangeFiles, LosesNoLineOfAnAppender) {
  NEEDS_MOUNT();
  restore_under_appender({}, false);
}

TEST(ChangeFiles, LosesNoLineOfAnAppenderThatSyncs) {
  NEEDS_MOUNT();
  restore_under_appender({}, true);
}

TEST(ChangeFiles, LosesNoLineOfAnExactAppender) {
  NEEDS_MOUNT();
  restore_under_appender("exact = []|exact = [\"*.log\"]", false);
}

// A cut by so little that the kernel's dirty page holds both old and new bytes.
TEST(ChangeFiles, LosesNoLineWhenItCutsOffLittle) {
  NEEDS_MOUNT();
  MountedServer server({}, {}, answer);
  const std::string path = server / "app.log";
  for (unsigned round = 0; round < 100 && !::testing::Test::HasFailure(); ++round) {
    write_file(path, lines(0, 50));
    Appender appender(path, 50, round % 2 == 0);
    const unsigned cut = 1 + round % 8;
    restore(server, "cut " + std::to_string(cut * kLineSize) + " app.log");
    ::usleep(1000);
    const unsigned end = appender.stop();
    const std::string text = read_file(path);
    ASSERT_EQ(text.size(), std::size_t{end - cut} * kLineSize);
    unsigned kept = 0;
    while (kept < end - cut && text.compare(kept * kLineSize, kLineSize, line_of(kept)) == 0) {
      ++kept;
    }
    EXPECT_TRUE(text.substr(kept * kLineSize) == lines(kept + cut, end)) << "cut at " << kept;
  }
}

TEST(ChangeFiles, LosesNoLineWhenTheFileGrows) {
  NEEDS_MOUNT();
  MountedServer server({}, {}, answer);
  const std::string path = server / "app.log";
  for (int round = 0; round < 20 && !::testing::Test::HasFailure(); ++round) {
    write_file(path, lines(0, 50));
    Appender appender(path, 50, false);
    const unsigned grown = static_cast<unsigned>(size_of(path)) + 4'000'000;
    restore(server, "restore " + std::to_string(grown) + " app.log");
    ::usleep(1000);
    const unsigned end = appender.stop();
    const std::string text = read_file(path);
    const std::size_t before = text.find('r');
    ASSERT_NE(before, std::string::npos);
    ASSERT_EQ(before % kLineSize, 0U);
    const auto count = static_cast<unsigned>(before / kLineSize);
    EXPECT_EQ(text.substr(0, before), lines(0, count));
    EXPECT_EQ(text.find('\0'), std::string::npos);
    EXPECT_TRUE(text.substr(grown) == lines(count, end));
  }
}

}  // namespace
}  // namespace amberfs
