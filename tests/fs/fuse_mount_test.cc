// SPDX-License-Identifier: Apache-2.0
// Files through a real mount, as programs see them. Needs root and /dev/fuse; skipped without.
#include "tests/fs/mounted_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

namespace amberfs {
namespace {

using testing::MountedServer;

#define NEEDS_MOUNT() \
  if (!testing::can_mount()) GTEST_SKIP() << "needs root and /dev/fuse"

std::string read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  if (fd < 0) return std::string("errno ") + std::to_string(errno);
  std::string all;
  char buffer[65536];
  ssize_t size = 0;
  while ((size = ::read(fd, buffer, sizeof buffer)) > 0) {
    all.append(buffer, static_cast<std::size_t>(size));
  }
  if (size < 0) all = "errno " + std::to_string(errno);
  ::close(fd);
  return all;
}

void write_file(const std::string& path, const std::string& text, int flags = O_TRUNC) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | flags, 0644);
  ASSERT_GE(fd, 0) << path << ": " << std::strerror(errno);
  ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::close(fd), 0);
}

std::set<std::string> names_in(const std::string& path) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    names.insert(entry.path().filename());
  }
  return names;
}

off_t size_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_size : -errno;
}

// Runs `child` in another process, as user and group `id` when it is not 0.
int run_as(uid_t id, const std::function<bool()>& child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (id != 0 && (::setgid(id) != 0 || ::setuid(id) != 0)) ::_exit(2);
    ::_exit(child() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(FuseMount, ServesNamesAndData) {
  NEEDS_MOUNT();
  MountedServer server;
  write_file(server / "a", "hello\n");
  write_file(server / "a", "world\n", O_APPEND);
  EXPECT_EQ(read_file(server / "a"), "hello\nworld\n");
  ASSERT_EQ(::mkdir((server / "d").c_str(), 0750), 0);
  ASSERT_EQ(::rename((server / "a").c_str(), (server / "d/b").c_str()), 0);
  EXPECT_EQ(size_of(server / "a"), -ENOENT);
  ASSERT_EQ(::link((server / "d/b").c_str(), (server / "c").c_str()), 0);
  ASSERT_EQ(::symlink("d/b", (server / "s").c_str()), 0);
  EXPECT_EQ(read_file(server / "s"), "hello\nworld\n");
  struct stat status {};
  ASSERT_EQ(::stat((server / "c").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 2U);
  EXPECT_EQ(status.st_size, 12);
  EXPECT_EQ(::rmdir((server / "d").c_str()), -1);
  EXPECT_EQ(errno, ENOTEMPTY);
  EXPECT_EQ(names_in(server.mount_point()), (std::set<std::string>{"c", "d", "s"}));
  struct statvfs space {};
  ASSERT_EQ(::statvfs(server.mount_point().c_str(), &space), 0);
  EXPECT_GT(space.f_blocks, 0U);
  ASSERT_EQ(::mknod((server / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  EXPECT_EQ(read_file(server / "null"), "");  // a device works: mounted by root
}

TEST(FuseMount, TruncatesAtOpenAndByCall) {
  NEEDS_MOUNT();
  MountedServer server;
  write_file(server / "f", std::string(100'000, 'x'));
  write_file(server / "f", "short");
  EXPECT_EQ(read_file(server / "f"), "short");
  ASSERT_EQ(::truncate((server / "f").c_str(), 8), 0);
  EXPECT_EQ(read_file(server / "f"), std::string("short\0\0\0", 8));
}

TEST(FuseMount, KeepsAnUnlinkedFileWhileItIsOpen) {
  NEEDS_MOUNT();
  MountedServer server;
  const int fd = ::open((server / "f").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::unlink((server / "f").c_str()), 0);
  ASSERT_EQ(::pwrite(fd, "abc", 3, 0), 3);
  ASSERT_EQ(::fsync(fd), 0);
  char text[4] = {};
  EXPECT_EQ(::pread(fd, text, 3, 0), 3);
  EXPECT_STREQ(text, "abc");
  EXPECT_EQ(server.ask("flush"), "ok");
  ::close(fd);
}

TEST(FuseMount, ListsLargeDirectoriesOnce) {
  NEEDS_MOUNT();
  MountedServer server;
  std::set<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string name = "file-with-a-long-name-" + std::to_string(i);
    write_file(server / name, "");
    expected.insert(name);
  }
  std::multiset<std::string> seen;
  DIR* stream = ::opendir(server.mount_point().c_str());
  ASSERT_NE(stream, nullptr);
  while (const dirent* entry = ::readdir(stream)) seen.insert(entry->d_name);
  ::closedir(stream);
  expected.insert({".", ".."});
  EXPECT_EQ(seen.size(), expected.size());
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()), expected);
}

TEST(FuseMount, KeepsExtendedAttributesAndAcls) {
  NEEDS_MOUNT();
  MountedServer server;
  const std::string path = server / "f";
  write_file(path, "x");
  ASSERT_EQ(::setxattr(path.c_str(), "user.a", "value", 5, 0), 0);
  char value[16] = {};
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", nullptr, 0), 5);
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", value, 2), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", value, sizeof value), 5);
  EXPECT_EQ(::getxattr(path.c_str(), "user.b", value, sizeof value), -1);
  EXPECT_EQ(errno, ENODATA);
  if (!std::filesystem::exists("/sys/fs/selinux/enforce")) {
    // What tells `ls -l` not to ask for each file; a label that is there is still given.
    EXPECT_EQ(::getxattr(path.c_str(), "security.selinux", value, sizeof value), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    EXPECT_EQ(::setxattr(path.c_str(), "security.selinux", "l", 1, 0), 0);
    EXPECT_EQ(::getxattr(path.c_str(), "security.selinux", value, sizeof value), 1);
    EXPECT_EQ(::removexattr(path.c_str(), "security.selinux"), 0);
  }
  EXPECT_EQ(::listxattr(path.c_str(), value, sizeof value), 7);
  EXPECT_EQ(::removexattr(path.c_str(), "user.a"), 0);

  // user::rw-, user:4242:rw-, group::---, mask::rw-, other::---
  const unsigned char acl[] = {2,    0,    0,    0,    1,    0,    6,    0,    0xff, 0xff, 0xff,
                               0xff, 2,    0,    6,    0,    0x92, 0x10, 0,    0,    4,    0,
                               0,    0,    0xff, 0xff, 0xff, 0xff, 16,   0,    6,    0,    0xff,
                               0xff, 0xff, 0xff, 32,   0,    0,    0,    0xff, 0xff, 0xff, 0xff};
  ASSERT_EQ(::setxattr(path.c_str(), "system.posix_acl_access", acl, sizeof acl, 0), 0);
  EXPECT_EQ(run_as(4242, [&] { return ::open(path.c_str(), O_RDWR) >= 0; }), 0);
  EXPECT_EQ(run_as(4243, [&] { return ::open(path.c_str(), O_RDONLY) >= 0; }), 1);
}

TEST(FuseMount, ServesSharedMappings) {
  NEEDS_MOUNT();
  MountedServer server;
  const int fd = ::open((server / "m").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::ftruncate(fd, 8192), 0);
  void* map = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(map, MAP_FAILED);
  std::memcpy(static_cast<char*>(map) + 5000, "mapped", 6);
  ASSERT_EQ(::msync(map, 8192, MS_SYNC), 0);
  ::munmap(map, 8192);
  char text[7] = {};
  EXPECT_EQ(::pread(fd, text, 6, 5000), 6);
  EXPECT_STREQ(text, "mapped");
  ::close(fd);
}

TEST(FuseMount, AllocatesAndPunches) {
  NEEDS_MOUNT();
  MountedServer server;
  const int fd = ::open((server / "f").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::fallocate(fd, 0, 0, 20000), 0);
  EXPECT_EQ(size_of(server / "f"), 20000);
  ASSERT_EQ(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40000), 0);
  EXPECT_EQ(size_of(server / "f"), 20000);
  const std::string data(20000, 'd');
  ASSERT_EQ(::pwrite(fd, data.data(), data.size(), 0), 20000);
  ASSERT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192), 0);
  std::string expected = data;
  std::fill_n(expected.begin() + 4096, 8192, '\0');
  EXPECT_EQ(read_file(server / "f"), expected);
  EXPECT_EQ(::fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  ::close(fd);
}

TEST(FuseMount, SeeksInWhatOnlyTheKernelHolds) {
  NEEDS_MOUNT();
  MountedServer server;
  const int fd = ::open((server / "f").c_str(), O_RDWR | O_CREAT, 0644);
  const std::string data(10000, 'd');
  ASSERT_EQ(::pwrite(fd, data.data(), data.size(), 1'000'000), 10000);
  EXPECT_EQ(::lseek(fd, 0, SEEK_HOLE), 0);
  const off_t found = ::lseek(fd, 0, SEEK_DATA);
  EXPECT_GT(found, 1'000'000 - 4097);
  EXPECT_LE(found, 1'000'000);
  EXPECT_EQ(::lseek(fd, 1'005'000, SEEK_DATA), 1'005'000);
  EXPECT_EQ(::lseek(fd, 1'005'000, SEEK_HOLE), 1'010'000);
  EXPECT_EQ(::lseek(fd, 1'010'000, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
  ::close(fd);
  const int reader = ::open((server / "f").c_str(), O_RDONLY);
  EXPECT_GT(::lseek(reader, 0, SEEK_DATA), 1'000'000 - 4097);
  ::close(reader);
}

TEST(FuseMount, CopiesRanges) {
  NEEDS_MOUNT();
  MountedServer server;
  std::string data;
  for (int i = 0; i < 20000; ++i) data += "line " + std::to_string(i) + "\n";
  write_file(server / "a", data);
  server.ask("snapshot before");
  const auto copy = [&](const std::string& source, const std::string& target) {
    const int in = ::open(source.c_str(), O_RDONLY);
    const int out = ::open(target.c_str(), O_WRONLY | O_CREAT, 0644);
    ssize_t copied = 0;
    while ((copied = ::copy_file_range(in, nullptr, out, nullptr, 1 << 30, 0)) > 0) {
    }
    EXPECT_EQ(copied, 0) << std::strerror(errno);
    ::close(in);
    ::close(out);
  };
  copy(server / "a", server / "b");
  EXPECT_EQ(read_file(server / "b"), data);
  copy(server / ".snapshots/latest/a", server / "c");
  EXPECT_EQ(read_file(server / "c"), data);
}

TEST(FuseMount, ClearsSetUserIdBitsOnWritesOfOthers) {
  NEEDS_MOUNT();
  MountedServer server;
  ASSERT_EQ(::chmod(server.mount_point().c_str(), 0777), 0);
  const auto make = [&](const std::string& name) {
    write_file(server / name, "x");
    EXPECT_EQ(::chmod((server / name).c_str(), 06777), 0);
    return server / name;
  };
  const auto bits = [](const std::string& path) {
    struct stat status {};
    ::stat(path.c_str(), &status);
    return status.st_mode & 06000U;
  };
  const std::string written = make("written");
  EXPECT_EQ(run_as(4242, [&] { return write_file(written, "y", O_APPEND), true; }), 0);
  EXPECT_EQ(bits(written), 0U);
  const std::string cut = make("cut");
  EXPECT_EQ(run_as(4242, [&] { return ::truncate(cut.c_str(), 0) == 0; }), 0);
  EXPECT_EQ(bits(cut), 0U);
  const std::string opened = make("opened");
  EXPECT_EQ(run_as(4242, [&] { return ::open(opened.c_str(), O_WRONLY | O_TRUNC) >= 0; }), 0);
  EXPECT_EQ(bits(opened), 0U);
  const std::string owned = make("owned");
  ASSERT_EQ(::chown(owned.c_str(), 4242, 4242), 0);
  EXPECT_EQ(bits(owned), 0U);
  const std::string by_root = make("by-root");
  write_file(by_root, "y", O_APPEND);
  EXPECT_EQ(bits(by_root), 06000U);
}

TEST(FuseMount, ShowsSnapshotsAsDirectories) {
  NEEDS_MOUNT();
  MountedServer server;
  ASSERT_EQ(::mkdir((server / "logs").c_str(), 0755), 0);
  write_file(server / "logs/app.log", "first\n");
  const std::string time = server.ask("snapshot one");
  write_file(server / "logs/app.log", "second\n", O_APPEND);
  const std::string past = server / ".snapshots";
  EXPECT_EQ(read_file(past + "/" + time + "/logs/app.log"), "first\n");
  EXPECT_EQ(read_file(past + "/latest/logs/app.log"), "first\n");
  EXPECT_EQ(read_file(past + "/by-name/one/logs/app.log"), "first\n");
  EXPECT_EQ(read_file(past + "/at/2200-01-01/logs/app.log"), "first\n");
  EXPECT_EQ(size_of(past + "/at/2001-01-01"), -ENOENT);
  EXPECT_EQ(size_of(past + "/at/nonsense"), -ENOENT);
  EXPECT_EQ(names_in(past), (std::set<std::string>{time, "by-name", "latest", "at"}));
  EXPECT_EQ(names_in(past + "/by-name"), std::set<std::string>{"one"});
  EXPECT_EQ(names_in(past + "/" + time), std::set<std::string>{"logs"});
  EXPECT_EQ(names_in(server.mount_point()), std::set<std::string>{"logs"});
  const std::string later = server.ask("snapshot two");
  EXPECT_EQ(read_file(past + "/latest/logs/app.log"), "first\nsecond\n");

  const auto fails_with = [](int result, int error) { return result == -1 && errno == error; };
  const std::string old_file = past + "/" + time + "/logs/app.log";
  EXPECT_TRUE(fails_with(::open(old_file.c_str(), O_WRONLY), EROFS));
  EXPECT_TRUE(fails_with(::unlink(old_file.c_str()), EROFS));
  EXPECT_TRUE(fails_with(::chmod(old_file.c_str(), 0600), EROFS));
  EXPECT_TRUE(fails_with(::mkdir((past + "/x").c_str(), 0700), EROFS));
  EXPECT_TRUE(fails_with(::rename(past.c_str(), (server / "x").c_str()), EPERM));
  EXPECT_TRUE(fails_with(::rename((server / "logs").c_str(), past.c_str()), EPERM) ||
              errno == ENOTEMPTY);
  EXPECT_TRUE(fails_with(::mkdir(past.c_str(), 0700), EEXIST));
  struct stat old_status {
  }, live_status{};
  ASSERT_EQ(::stat(old_file.c_str(), &old_status), 0);
  ASSERT_EQ(::stat((server / "logs/app.log").c_str(), &live_status), 0);
  EXPECT_NE(old_status.st_ino, live_status.st_ino);
}

TEST(FuseMount, BringsTheKernelsPagesToTheServer) {
  NEEDS_MOUNT();
  MountedServer server;
  std::vector<int> files;
  std::string data(3'000'000, 'q');
  for (int i = 0; i < 5; ++i) {
    const std::string name = "f" + std::to_string(i);
    files.push_back(::open((server / name).c_str(), O_WRONLY | O_CREAT, 0644));
    ASSERT_EQ(::write(files.back(), data.data(), data.size()), 3'000'000);
  }
  ASSERT_EQ(server.ask("flush"), "ok");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(server.ask("size f" + std::to_string(i)), "3000000");
  for (const int fd : files) ::close(fd);
}

TEST(FuseMount, HandsOverPagesWithinSecondsUnasked) {
  NEEDS_MOUNT();
  MountedServer server;
  const int fd = ::open((server / "f").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "line\n", 5), 5);
  std::string size;
  for (int i = 0; i < 50 && size != "5"; ++i) {
    ::usleep(100'000);
    size = server.ask("size f");
  }
  EXPECT_EQ(size, "5");
  ::close(fd);
}

TEST(FuseMount, JournalsEveryWriteOfExactFiles) {
  NEEDS_MOUNT();
  MountedServer server("exact = []|exact = [\"*.audit\"]");
  const int fd = ::open((server / "x.audit").c_str(), O_RDWR | O_CREAT | O_APPEND, 0644);
  for (int i = 1; i <= 20; ++i) {
    ASSERT_EQ(::write(fd, "0123456789", 10), 10);
    EXPECT_EQ(server.ask("size x.audit"), std::to_string(10 * i));
  }
  EXPECT_EQ(size_of(server / "x.audit"), 200);
  const int other = ::open((server / "x.audit").c_str(), O_WRONLY);
  ASSERT_EQ(::pwrite(other, "abc", 3, 5), 3);
  EXPECT_EQ(read_file(server / "x.audit").substr(0, 10), "01234abc89");
  void* map = ::mmap(nullptr, 200, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(map, MAP_FAILED) << std::strerror(errno);
  static_cast<char*>(map)[0] = 'M';
  EXPECT_EQ(::msync(map, 200, MS_SYNC), 0);
  ::munmap(map, 200);
  EXPECT_EQ(read_file(server / "x.audit").substr(0, 3), "M12");
  ::close(fd);
  ::close(other);
}

TEST(FuseMount, AppendsAtMemorySpeed) {
  NEEDS_MOUNT();
  MountedServer server;
  const int fd = ::open((server / "f").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const std::string line(99, 'l');
  constexpr int kLines = 100'000;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kLines; ++i) {
    ASSERT_EQ(::write(fd, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  RecordProperty("append_ns", static_cast<int>((took / kLines).count()));
  printf("append of %zu bytes: %ld ns\n", line.size(), static_cast<long>((took / kLines).count()));
  ::close(fd);
}

TEST(FuseMount, EndsWhileProgramsUseIt) {
  NEEDS_MOUNT();
  int fd = -1;
  {
    MountedServer server;
    fd = ::open((server / "f").c_str(), O_WRONLY | O_CREAT, 0644);
    ASSERT_EQ(::write(fd, "x", 1), 1);
    const auto begin = std::chrono::steady_clock::now();
    server.ask("flush");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  }
  EXPECT_EQ(::write(fd, "x", 1) == 1 && ::fsync(fd) == 0, false);
  ::close(fd);
}

}  // namespace
}  // namespace amberfs
