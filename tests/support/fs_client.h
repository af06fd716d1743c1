// SPDX-License-Identifier: Apache-2.0
// FsClient: a TestStore used in the words of a program, by paths and file contents. What fails
// unexpectedly is a test failure; what should fail is asked for with errno_of().
#pragma once

#include "tests/support/test_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

namespace amberfs::testing {

template <class T>
int errno_of(const Result<T>& result) {
  return result ? 0 : result.error().to_errno();
}

class FsClient {
 public:
  Origin who{.request_id = 0, .uid = 1000, .gid = 100, .pid = 7, .command = "test"};

  TestStore store;
  [[nodiscard]] FileSystem& fs() { return store.fs(); }

  Ino make(Ino directory, ByteView name, std::uint32_t mode) {
    Result<Attr> made = fs().make(who, directory, name, {.mode = mode, .umask = 022});
    EXPECT_TRUE(made) << name << ": " << errno_of(made);
    return made ? made->ino : kNoIno;
  }
  Ino file(ByteView name, Ino directory = kRootIno) {
    return make(directory, name, S_IFREG | 0666);
  }
  Ino dir(ByteView name, Ino directory = kRootIno) { return make(directory, name, S_IFDIR | 0777); }

  InodeRecord stat(Ino ino) {
    Result<Attr> attr = fs().getattr(ino);
    EXPECT_TRUE(attr) << "inode " << ino;
    return attr ? attr->record : InodeRecord{};
  }
  Ino at(std::string_view path) {
    Result<Ino> ino = fs().view()->resolve_path(path);
    return ino ? *ino : kNoIno;
  }
  void write(Ino ino, std::uint64_t offset, ByteView data) {
    Status written = fs().write(who, ino, offset, data, {});
    EXPECT_TRUE(written) << errno_of(written);
  }
  void resize(Ino ino, std::uint64_t size_bytes) {
    SetAttr set;
    set.size_bytes = size_bytes;
    Result<Attr> done = fs().setattr(who, ino, set);
    EXPECT_TRUE(done) << errno_of(done);
  }
  void chmod(Ino ino, std::uint32_t mode) {
    SetAttr set;
    set.mode = mode;
    EXPECT_TRUE(fs().setattr(who, ino, set));
  }
  Bytes read(Ino ino, std::uint64_t offset = 0, std::size_t size = 1 << 20) {
    Bytes bytes(size, '?');
    Result<std::size_t> got = fs().read(ino, offset, bytes.data(), size);
    EXPECT_TRUE(got) << errno_of(got);
    bytes.resize(got ? *got : 0);
    return bytes;
  }
  int rename(Ino from_directory, ByteView from, Ino to_directory, ByteView to,
             RenameFlags flags = RenameFlags::kNone) {
    return errno_of(fs().rename(who, {from_directory, from}, {to_directory, to}, flags));
  }
  std::size_t extent_count(Ino ino) {
    std::size_t count = 0;
    EXPECT_TRUE(fs().view()->extents(ino, 0, kFileSizeMax, [&count](const View::FileExtent&) {
      ++count;
      return true;
    }));
    return count;
  }
};

}  // namespace amberfs::testing
