// SPDX-License-Identifier: Apache-2.0
// A server that is killed right after it wrote a change to its journal, before it could answer: its
// successor must answer the program with success, and must not apply the change again. The test
// process is the keeper; each server and each program is a child. (It opens nothing in the mount
// itself: its servers would inherit that, and wait for themselves.)
#include "fs/fuse/fuse_device.h"
#include "fs/fuse/mount_helper.h"
#include "fs/fuse/mount_point.h"
#include "fs/fuse/mount_state.h"
#include "fs/fuse/open_files.h"
#include "tests/fs/mounted_server.h"
#include "tests/support/both_forms.h"
#include "tests/support/dying_io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include <cerrno>
#include <fstream>

namespace amberfs {
namespace {

using testing::can_mount;
using testing::DyingIo;
using testing::TempDir;

class Takeover : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "needs root and /dev/fuse";
    store_ = directory_ / "store";
    point_ = directory_ / "mount";
    ASSERT_EQ(::mkdir(point_.c_str(), 0755), 0);
    const auto io = make_posix_io();
    std::string config = testing::test_config_text(std::string(32, 'a'));
    const std::string none = "exact = []";
    const std::size_t at = config.find(none);
    ASSERT_NE(at, std::string::npos);
    config.replace(at, none.size(), "exact = [\"exact*\"]");
    ASSERT_TRUE(testing::create_store(*io, store_, config));
    auto device = FuseDevice::mount(store_, point_, {.mount_point = point_});
    ASSERT_TRUE(device) << device.error().to_string();
    auto state = MountState::create(device->init_request());
    ASSERT_TRUE(state);
    device_.emplace(*std::move(device));
    state_ = *std::move(state);
    start_server();
  }

  void TearDown() override {
    if (!device_) return;
    ::umount2(point_.c_str(), MNT_FORCE | MNT_DETACH);
    if (server_ <= 0) return;
    EXPECT_EQ(wait_for(server_), 0) << "the last server ended with an error";
  }

  // Exit code of a child; 128 + signal; -1 when it does not end in time.
  static int wait_for(pid_t child) {
    int status = 0;
    for (int i = 0; i < 3000; ++i) {
      if (::waitpid(child, &status, WNOHANG) == child) {
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      }
      ::usleep(10'000);
    }
    ::kill(child, SIGKILL);
    return -1;
  }

  void start_server() {
    server_ = ::fork();
    if (server_ != 0) return;
    ::alarm(100);
    ::_exit(serve());
  }

  int serve() {
    auto helper = MountHelper::start();
    DyingIo io(*posix_, switch_);
    auto engine = testing::open_engine(io, store_);
    if (!helper || !engine) return 10;
    auto mount = FuseMount::serve_mounted(**engine, {.mount_point = point_},
                                          {.device_fd = ::dup(device_->fd()),
                                           .state_fd = ::dup(state_->fd()),
                                           .real_mount_point = point_,
                                           .helper = *std::move(helper),
                                           .supervision = {}});
    if (!mount) return 11;
    ::close(device_->release());  // the parent's copy in this process
    const Status served = (*mount)->serve([] {});
    const Status closed = (*engine)->close();
    return served && closed ? 0 : 12;
  }

  // Runs `call` in a program while the server dies after its next journal write; returns the errno
  // the program saw.
  int through_a_death(const std::function<bool()>& call) {
    switch_.arm();
    const pid_t program = ::fork();
    if (program == 0) {
      ::alarm(60);
      errno = 0;
      ::_exit(call() ? 0 : (errno != 0 ? errno : 255));
    }
    EXPECT_EQ(wait_for(server_), 128 + SIGKILL) << "the server did not reach its journal";
    start_server();
    return wait_for(program);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return point_ + "/" + name; }
  void make_file(const std::string& name, const std::string& text = {}) {
    std::ofstream(path(name)) << text;
  }
  [[nodiscard]] struct stat status_of(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(::lstat(path(name).c_str(), &status), 0) << name;
    return status;
  }
  [[nodiscard]] bool exists(const std::string& name) const {
    return ::faccessat(AT_FDCWD, path(name).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  }

  TempDir directory_;
  std::string store_;
  std::string point_;
  const std::unique_ptr<Io> posix_ = make_posix_io();
  testing::DeathSwitch switch_;
  std::optional<FuseDevice> device_;
  std::unique_ptr<MountState> state_;
  pid_t server_ = 0;
};

TEST_F(Takeover, MakesEachNameOnce) {
  EXPECT_EQ(through_a_death([&] { return ::mkdir(path("d").c_str(), 0750) == 0; }), 0);
  EXPECT_TRUE(S_ISDIR(status_of("d").st_mode));
  EXPECT_EQ(status_of(".").st_nlink, 3U);
  EXPECT_EQ(through_a_death([&] { return ::mkfifo(path("p").c_str(), 0600) == 0; }), 0);
  EXPECT_TRUE(S_ISFIFO(status_of("p").st_mode));
  EXPECT_EQ(through_a_death([&] { return ::symlink("target", path("s").c_str()) == 0; }), 0);
  EXPECT_TRUE(S_ISLNK(status_of("s").st_mode));
}

TEST_F(Takeover, CreatesExclusivelyOnceAndOpens) {
  const int error = through_a_death([&] {
    const int fd = ::open(path("f").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0640);
    return fd >= 0 && ::write(fd, "abc", 3) == 3 && ::close(fd) == 0;
  });
  EXPECT_EQ(error, 0);
  EXPECT_EQ(status_of("f").st_size, 3);
  EXPECT_EQ(status_of("f").st_mode, static_cast<mode_t>(S_IFREG | 0640));
}

TEST_F(Takeover, LinksAndUnlinksOnce) {
  make_file("f", "text");
  EXPECT_EQ(through_a_death([&] { return ::link(path("f").c_str(), path("g").c_str()) == 0; }), 0);
  EXPECT_EQ(status_of("f").st_nlink, 2U);
  EXPECT_EQ(through_a_death([&] { return ::unlink(path("f").c_str()) == 0; }), 0);
  EXPECT_FALSE(exists("f"));
  EXPECT_EQ(status_of("g").st_nlink, 1U);
  ASSERT_EQ(::mkdir(path("d").c_str(), 0755), 0);
  EXPECT_EQ(through_a_death([&] { return ::rmdir(path("d").c_str()) == 0; }), 0);
  EXPECT_FALSE(exists("d"));
}

TEST_F(Takeover, RenamesOnce) {
  make_file("old", "a");
  EXPECT_EQ(
      through_a_death([&] { return ::rename(path("old").c_str(), path("new").c_str()) == 0; }), 0);
  EXPECT_FALSE(exists("old"));
  EXPECT_TRUE(exists("new"));
  make_file("other", "longer");
  const auto exchange = [&] {
    return ::renameat2(AT_FDCWD, path("new").c_str(), AT_FDCWD, path("other").c_str(),
                       RENAME_EXCHANGE) == 0;
  };
  EXPECT_EQ(through_a_death(exchange), 0);
  EXPECT_EQ(status_of("new").st_size, 6);
  EXPECT_EQ(status_of("other").st_size, 1);
}

TEST_F(Takeover, SetsAndRemovesAttributesOnce) {
  make_file("f");
  const std::string f = path("f");
  EXPECT_EQ(
      through_a_death([&] { return ::setxattr(f.c_str(), "user.a", "1", 1, XATTR_CREATE) == 0; }),
      0);
  EXPECT_EQ(through_a_death([&] { return ::removexattr(f.c_str(), "user.a") == 0; }), 0);
  EXPECT_EQ(::getxattr(f.c_str(), "user.a", nullptr, 0), -1);
}

TEST_F(Takeover, AppendsOnceToExactFiles) {
  const auto append = [&] {
    const int fd = ::open(path("exact").c_str(), O_WRONLY | O_APPEND);
    return fd >= 0 && ::write(fd, "line\n", 5) == 5 && ::close(fd) == 0;
  };
  make_file("exact", "line\n");
  EXPECT_EQ(through_a_death(append), 0);
  EXPECT_EQ(status_of("exact").st_size, 10);
}

TEST_F(Takeover, KeepsFilesThatAreOpenWithoutAName) {
  make_file("f", "text");
  const auto unlink_and_use = [&] {
    const int fd = ::open(path("f").c_str(), O_RDWR);
    char text[4] = {};
    return fd >= 0 && ::unlink(path("f").c_str()) == 0 &&
           ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 &&
           ::pread(fd, text, sizeof text, 0) == 4 && std::string(text, 4) == "text" &&
           ::pwrite(fd, "T", 1, 0) == 1 && ::fsync(fd) == 0 && ::close(fd) == 0;
  };
  EXPECT_EQ(through_a_death(unlink_and_use), 0);
  EXPECT_FALSE(exists("f"));
}

// ---- the state by itself

TEST(MountState, RemembersWhatWasAppliedAndReadOverTwoDeaths) {
  auto first = MountState::create("INIT");
  ASSERT_TRUE(first);
  const int fd = ::dup((*first)->fd());
  (*first)->applied(42);
  (*first)->set_begun();
  first->reset();
  auto second = MountState::take_over(::dup(fd));
  ASSERT_TRUE(second);
  EXPECT_TRUE((*second)->begun());
  EXPECT_EQ((*second)->init_request(), "INIT");
  EXPECT_TRUE((*second)->applied_before().contains(42));
  (*second)->applied(77);
  second->reset();
  auto third = MountState::take_over(::dup(fd));
  ASSERT_TRUE(third);
  EXPECT_TRUE((*third)->applied_before().contains(42));  // perhaps still not answered
  EXPECT_TRUE((*third)->applied_before().contains(77));
  EXPECT_FALSE((*third)->applied_before().contains(1));
  ::close(fd);
}

TEST(MountState, IsRefusedWhenItIsNone) {
  const int fd = ::memfd_create("other", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_FALSE(MountState::take_over(fd));
}

TEST(OpenFiles, AreKnownToTheSuccessorAndClosedOnce) {
  auto state = MountState::create("INIT");
  ASSERT_TRUE(state);
  const int fd = ::dup((*state)->fd());
  OpenFiles before(**state);
  const auto a = before.add({5, kHandleWrites}, 100);
  const auto b = before.add({5, 0}, 101);
  const auto c = before.add({9, 0}, 102);
  ASSERT_TRUE(a && b && c);
  EXPECT_TRUE(before.remove(*c, 9));
  EXPECT_FALSE(before.remove(*c, 9)) << "a release that comes twice";

  auto taken = MountState::take_over(fd);
  ASSERT_TRUE(taken);
  OpenFiles after(**taken);
  std::vector<Ino> inherited;
  after.for_each_inherited([&](const OpenFiles::File& file) { inherited.push_back(file.ino); });
  EXPECT_EQ(inherited, (std::vector<Ino>{5, 5}));
  EXPECT_TRUE(after.has_writer(5));
  EXPECT_EQ(after.find(100, 5), *a) << "the same request comes again";
  EXPECT_FALSE(after.find(100, 6));
  EXPECT_FALSE(after.find(999, 5));
  const auto d = after.add({9, 0}, 103);  // takes the entry of c
  ASSERT_TRUE(d);
  EXPECT_FALSE(after.remove(*c, 9)) << "an old handle closes nothing new";
  EXPECT_TRUE(after.remove(*a, 5));
  EXPECT_FALSE(after.has_writer(5));
  EXPECT_TRUE(after.remove(*b, 5));
  EXPECT_TRUE(after.remove(*d, 9));
}

}  // namespace
}  // namespace amberfs
