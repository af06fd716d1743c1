// SPDX-License-Identifier: Apache-2.0
// Random operations on a FileSystem and on a model that is a few maps and strings, with commits,
// failed commits and reopens in between; after every stretch the whole tree is compared and
// checked. AMBERFS_SEED and AMBERFS_STEPS repeat or lengthen a run.
#include "tests/support/fs_client.h"
#include "tests/support/model_fs.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

namespace amberfs {
namespace {

using testing::errno_of;
using testing::FsClient;
using testing::ModelFs;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Driver : public FsClient {
 public:
  explicit Driver(std::uint64_t seed) : random_(seed) {}

  void step() {
    switch (pick(24)) {
      case 0:
      case 1:
        return make_file();
      case 2:
        return make_directory();
      case 3:
        return make_symlink();
      case 4:
        return link_file();
      case 5:
      case 6:
        return remove_name();
      case 7:
      case 8:
      case 9:
        return rename_name();
      case 10:
      case 11:
        return truncate();
      case 12:
        return punch();
      case 13:
      case 14:
        return copy();
      case 15:
        return set_xattr();
      case 16:
        return open_or_release();
      case 17:
        return change_mode();
      default:
        return write_some();
    }
  }

  // Now and then something happens underneath; it must not be seen.
  void disturb() {
    switch (pick(40)) {
      case 0:
        return frozen_ ? void() : store.commit();
      case 1:
        if (!frozen_) frozen_.emplace(store.begin_commit());
        return;
      case 2:
      case 3:
        return end_commit(true);
      case 4:
        return end_commit(false);
      case 5:
        frozen_.reset();
        return reopen();
      default:
        return;
    }
  }

  void compare() {
    ASSERT_EQ(store.problems(), "");
    const std::map<std::string, std::string> expected = model_.dump();
    const std::map<std::string, std::string> actual = dump();
    for (const auto& [path, text] : expected) {
      auto it = actual.find(path);
      ASSERT_TRUE(it != actual.end()) << "lost: " << path;
      ASSERT_EQ(it->second, text) << path;
    }
    for (const auto& [path, text] : actual) ASSERT_TRUE(expected.contains(path)) << path;
    for (const auto& [ino, count] : open_) {
      ASSERT_EQ(read(ino), model_.node(ino).data) << "open inode " << ino;
    }
  }

  void finish() {
    end_commit(true);
    while (!open_.empty()) release(open_.begin()->first);
    compare();
    store.commit();
    reopen();
    compare();
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  Bytes name() { return {static_cast<char>('a' + pick(6))}; }
  Ino directory() { return model_.any_directory(random_()); }
  Ino any_file() { return model_.any_file(random_()); }
  std::uint64_t offset() { return pick(4) == 0 ? pick(200'000) : pick(5'000); }
  std::uint64_t length() { return pick(3) == 0 ? 1 + pick(40'000) : 1 + pick(300); }

  void same(int expected, int actual, const char* what) {
    ASSERT_EQ(actual, expected) << what << ": the model and the file system answer differently";
  }

  void make_file() { make_any("make file", S_IFREG | 0640); }
  void make_directory() { make_any("make directory", S_IFDIR | 0750); }
  void make_any(const char* what, std::uint32_t mode) {
    const Ino parent = directory();
    const Bytes name_made = name();
    Result<Attr> made = fs().make(who, parent, name_made, {.mode = mode});
    same(model_.make(parent, name_made, made ? made->ino : kNoIno, mode), errno_of(made), what);
  }
  void make_symlink() {
    const Ino parent = directory();
    const Bytes name_made = name();
    const Bytes target(1 + pick(50), 't');
    Result<Attr> made = fs().symlink(who, parent, name_made, target);
    same(model_.symlink(parent, name_made, made ? made->ino : kNoIno, target), errno_of(made),
         "symlink");
  }
  void link_file() {
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    const Ino parent = directory();
    const Bytes name_made = name();
    same(model_.link(ino, parent, name_made), errno_of(fs().link(who, ino, parent, name_made)),
         "link");
  }
  void remove_name() {
    const Ino parent = directory();
    const Bytes gone = name();
    if (pick(2) == 0) {
      same(model_.unlink(parent, gone), errno_of(fs().unlink(who, parent, gone)), "unlink");
    } else {
      same(model_.rmdir(parent, gone), errno_of(fs().rmdir(who, parent, gone)), "rmdir");
    }
    model_.forget_unheld(open_);
  }
  void rename_name() {
    const Ino from = directory();
    const Ino to = directory();
    const Bytes old_name = name();
    const Bytes new_name = name();
    const auto flags = static_cast<RenameFlags>(pick(3));
    same(model_.rename(from, old_name, to, new_name, flags),
         rename(from, old_name, to, new_name, flags), "rename");
    model_.forget_unheld(open_);
  }
  void write_some() {
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    Bytes& data = model_.node(ino).data;
    const std::uint64_t begin = pick(3) == 0 ? data.size() : offset();
    Bytes bytes(length(), '\0');
    // No two places alike: bytes from the wrong place must show.
    std::uint64_t counter = pick(1'000'000);
    for (char& byte : bytes) byte = static_cast<char>('!' + counter++ * 7919 % 89);
    write(ino, begin, bytes);
    if (data.size() < begin + bytes.size()) data.resize(begin + bytes.size());
    data.replace(begin, bytes.size(), bytes);
  }
  void truncate() {
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    const std::uint64_t size = offset();
    resize(ino, size);
    model_.node(ino).data.resize(size);
  }
  void punch() {
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    const std::uint64_t begin = offset();
    const std::uint64_t size = length();
    EXPECT_TRUE(fs().preallocate(who, ino, Preallocate::kPunchHole, begin, size));
    Bytes& data = model_.node(ino).data;
    for (std::uint64_t i = begin; i < std::min<std::uint64_t>(begin + size, data.size()); ++i) {
      data[i] = '\0';
    }
  }
  void copy() {
    const Ino source = any_file();
    const Ino target = any_file();
    if (source == kNoIno) return;
    const std::uint64_t from = offset();
    const std::uint64_t to = offset();
    std::uint64_t size = length();
    const Bytes before = model_.node(source).data;
    size = from < before.size() ? std::min<std::uint64_t>(size, before.size() - from) : 0;
    const bool overlap = source == target && (from < to ? to - from : from - to) < size;
    Result<std::uint64_t> copied = fs().copy_range(who, {source, from, target, to, size});
    same(overlap ? EINVAL : 0, errno_of(copied), "copy");
    if (overlap || size == 0) return;
    ASSERT_EQ(*copied, size);
    Bytes& data = model_.node(target).data;
    if (data.size() < to + size) data.resize(to + size);
    data.replace(to, size, before, from, size);
  }
  void set_xattr() {
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    const Bytes key = "user." + name();
    auto& xattrs = model_.node(ino).xattrs;
    if (pick(3) == 0) {
      same(xattrs.erase(key) > 0 ? 0 : ENODATA, errno_of(fs().remove_xattr(who, ino, key)),
           "remove xattr");
      return;
    }
    const Bytes value(pick(40), 'v');
    EXPECT_TRUE(fs().set_xattr(who, ino, key, value, FileSystem::XattrMode::kAny));
    xattrs[key] = value;
  }
  void change_mode() {
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    const auto mode = static_cast<std::uint32_t>(pick(01000));
    chmod(ino, mode);
    model_.node(ino).mode = S_IFREG | mode;
  }
  void open_or_release() {
    if (!open_.empty() && pick(2) == 0) {
      auto it = open_.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(pick(open_.size())));
      return release(it->first);
    }
    const Ino ino = any_file();
    if (ino == kNoIno) return;
    ASSERT_TRUE(fs().open(ino, false, who));
    ++open_[ino];
  }
  void release(Ino ino) {
    ASSERT_TRUE(fs().release(ino));
    if (--open_[ino] == 0) open_.erase(ino);
    model_.forget_unheld(open_);
  }

  void end_commit(bool good) {
    if (!frozen_) return;
    if (good) {
      store.finish_commit(*std::move(frozen_));
    } else {
      frozen_.reset();
      store.abandon_commit();
    }
    frozen_.reset();
  }
  void reopen() {
    store.reopen();
    ASSERT_TRUE(fs().drop_orphans());
    open_.clear();
    model_.forget_unheld(open_);
  }

  std::map<std::string, std::string> dump() {
    std::map<std::string, std::string> out;
    dump_directory(kRootIno, "", out);
    return out;
  }
  void dump_directory(Ino ino, const std::string& path, std::map<std::string, std::string>& out) {
    const InodeRecord record = stat(ino);
    out[path + "/"] = ModelFs::describe_directory(record.nlink);
    std::vector<View::DirectoryEntry> entries;
    EXPECT_TRUE(fs().view()->list_directory(ino, 0, [&](const View::DirectoryEntry& entry) {
      entries.push_back(entry);
      return true;
    }));
    for (const View::DirectoryEntry& entry : entries) {
      const std::string child = path + "/" + entry.name;
      EXPECT_EQ(fs().lookup(ino, entry.name)->ino, entry.dirent.ino);
      if (entry.dirent.type == DT_DIR) {
        dump_directory(entry.dirent.ino, child, out);
      } else {
        out[child] = ModelFs::describe(entry.dirent.ino, read_node(entry.dirent.ino));
      }
    }
  }
  ModelFs::Node read_node(Ino ino) {
    const InodeRecord record = stat(ino);
    ModelFs::Node node;
    node.mode = record.mode;
    node.nlink = record.nlink;
    if (S_ISLNK(record.mode)) {
      node.data = *fs().readlink(ino);
    } else {
      node.data = read(ino);
      EXPECT_EQ(node.data.size(), record.size_bytes);
    }
    const Result<std::vector<Bytes>> keys = fs().list_xattrs(ino);
    for (const Bytes& key : *keys) node.xattrs[key] = *fs().get_xattr(ino, key);
    return node;
  }

  std::mt19937_64 random_;
  ModelFs model_;
  std::map<Ino, int> open_;
  std::optional<Frozen> frozen_;
};

TEST(FileSystemModel, AgreesAfterEveryStretchOfRandomOperations) {
  const std::uint64_t seed = from_environment("AMBERFS_SEED", std::random_device{}());
  const std::uint64_t steps = from_environment("AMBERFS_STEPS", 3'000);
  std::printf("AMBERFS_SEED=%llu\n", static_cast<unsigned long long>(seed));
  Driver driver(seed);
  for (std::uint64_t i = 1; i <= steps; ++i) {
    driver.step();
    driver.disturb();
    if (i % 200 == 0) driver.compare();
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << ", step " << i;
  }
  driver.finish();
}

}  // namespace
}  // namespace amberfs
