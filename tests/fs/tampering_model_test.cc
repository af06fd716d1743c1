// SPDX-License-Identifier: Apache-2.0
// Random operations on logs beside a plain model: every byte that a file had and lost must be in an
// event of that file, at its offset, through commits and restarts; and the live files must be what
// the model says.
#include "fs/audit.h"
#include "tests/support/fs_client.h"
#include "tests/support/seed.h"

#include <random>
#include <set>

namespace amberfs {
namespace {

using testing::FsClient;

class TamperingModel : public ::testing::Test, public FsClient {
 protected:
  struct File {
    std::string name;
    Bytes content;
    int changes = 0;
  };
  // A file that has had more events than this in an hour has some put together (docs/AUDIT.md).
  static constexpr int kChangesMax = 60;
  using Lost = std::tuple<Ino, std::uint64_t, char>;

  TamperingModel() {
    who = {.request_id = 1, .uid = 1, .gid = 1, .pid = 1, .command = "model"};
    store.watch({});
  }

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  // Never a zero: holes are told from bytes.
  Bytes text(std::size_t size) {
    Bytes bytes;
    while (bytes.size() < size) bytes += static_cast<char>('a' + below(26));
    return bytes;
  }
  void lose(Ino ino, std::uint64_t begin, const Bytes& old, const Bytes& now) {
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (old[i] != '\0' && (i >= now.size() || now[i] != old[i]))
        lost_.emplace(ino, begin + i, old[i]);
    }
  }

  void change(Ino ino, File& file) {
    const std::uint64_t size = file.content.size();
    const std::uint64_t offset = size == 0 ? 0 : below(size + 20);
    switch (below(6)) {
      case 0:
      case 1: {
        const Bytes data = text(1 + below(400));
        write(ino, offset, data);
        if (offset < size) lose(ino, offset, file.content.substr(offset, data.size()), data);
        if (size < offset + data.size()) file.content.resize(offset + data.size(), '\0');
        file.content.replace(offset, data.size(), data);
        break;
      }
      case 2: {
        const Bytes data = text(1 + below(300));
        write(ino, size, data);
        file.content += data;
        break;
      }
      case 3:
        resize(ino, offset);
        if (offset < size) lose(ino, offset, file.content.substr(offset), {});
        file.content.resize(offset, '\0');
        break;
      case 4: {
        const std::uint64_t length = 1 + below(200);
        ASSERT_TRUE(fs().preallocate(who, ino, Preallocate::kPunchHole, offset, length));
        if (offset >= size) break;
        const Bytes old = file.content.substr(offset, length);
        lose(ino, offset, old, Bytes(old.size(), '\0'));
        file.content.replace(offset, old.size(), old.size(), '\0');
        break;
      }
      default:
        if (size > 0) write(ino, 0, file.content);  // the same again
        break;
    }
  }

  void remove(Ino ino) {
    File& file = files_.at(ino);
    ASSERT_TRUE(fs().unlink(who, kRootIno, file.name));
    lose(ino, 0, file.content, {});
    files_.erase(ino);
  }

  void check() {
    std::set<Lost> kept;
    const auto view = fs().view();
    const auto list = list_evidence(*view);
    ASSERT_TRUE(list);
    for (const EvidenceEntry& entry : *list) {
      const Evidence& evidence = entry.evidence;
      const Bytes bytes = read(entry.number, evidence.begin, evidence.end - evidence.begin);
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        kept.emplace(evidence.file, evidence.begin + i, bytes[i]);
      }
      EXPECT_EQ(evidence.missed_bytes, 0U);
    }
    for (const Lost& lost : lost_) {
      ASSERT_TRUE(kept.contains(lost)) << "inode " << std::get<0>(lost) << " at "
                                       << std::get<1>(lost) << ": " << std::get<2>(lost);
    }
    for (const auto& [ino, file] : files_) ASSERT_EQ(read(ino), file.content) << file.name;
    ASSERT_EQ(store.problems(), "");
  }

  std::mt19937_64 random_{testing::test_seed()};
  std::map<Ino, File> files_;
  std::set<Lost> lost_;
};

TEST_F(TamperingModel, NoByteThatWasTakenAwayIsLost) {
  for (int step = 0; step < 3000; ++step) {
    if (files_.size() < 5) {
      const std::string name = "log" + std::to_string(step);
      files_[file(name)] = {.name = name, .content = {}};
    }
    auto it = files_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(below(files_.size())));
    const Ino ino = it->first;
    if (below(40) == 0 || ++it->second.changes > kChangesMax) {
      remove(ino);
    } else {
      change(ino, it->second);
    }
    if (HasFatalFailure()) return;
    if (below(50) == 0) store.commit();
    if (below(200) == 0) store.reopen();
    if (step % 300 == 0) check();
    if (HasFatalFailure()) return;
  }
  store.commit();
  check();
  EXPECT_GT(lost_.size(), 1000U);
}

}  // namespace
}  // namespace amberfs
