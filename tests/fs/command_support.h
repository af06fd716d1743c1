// SPDX-License-Identifier: Apache-2.0
// CommandFixture: an open store without a mount, and requests to it.
// Threads: one test thread.
#pragma once

#include "fs/check.h"
#include "fs/engine.h"
#include "fs/path_text.h"
#include "fs/service.h"
#include "tests/support/both_forms.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <filesystem>
#include <random>

namespace amberfs::testing {

class CommandFixture : public ::testing::Test {
 protected:
  using Json = nlohmann::json;

  void SetUp() override {
    ASSERT_TRUE(testing::create_store(*io_, dir_ / "store",
                                      testing::test_config_text(std::string(32, '0'))));
    open(dir_ / "store");
  }
  void open(const std::string& store) {
    engine_.reset();
    auto opened = testing::open_engine(*io_, store);
    ASSERT_TRUE(opened) << opened.error().to_string();
    engine_ = *std::move(opened);
  }
  // What a kill -9 leaves: the files as they are, without a clean close.
  void kill_and_open() {
    const std::string copy = dir_ / ("copy" + std::to_string(++copies_));
    std::filesystem::copy(engine_->store(), copy, std::filesystem::copy_options::recursive);
    open(copy);
  }

  FileSystem& fs() { return engine_->filesystem(); }
  Ino ino(const std::string& path) {
    const auto found = engine_->live_view()->resolve_path(path);
    return found ? *found : kNoIno;
  }
  Ino make(const std::string& path, std::uint32_t mode = S_IFREG | 0644) {
    const auto slash = path.find_last_of('/');
    const Ino parent = slash == std::string::npos ? kRootIno : ino(path.substr(0, slash));
    auto made = fs().make({}, parent, path.substr(slash + 1), {.mode = mode});
    EXPECT_TRUE(made) << path << ": " << made.error().to_string();
    return made ? made->ino : kNoIno;
  }
  Ino write(const std::string& path, ByteView data, std::uint64_t offset = 0) {
    const Ino file = ino(path) == kNoIno ? make(path) : ino(path);
    EXPECT_TRUE(fs().write({}, file, offset, data, {}));
    return file;
  }
  void link(const std::string& old_name, const std::string& new_name) {
    ASSERT_TRUE(fs().link({}, ino(old_name), kRootIno, new_name));
  }
  void unlink(const std::string& name) { ASSERT_TRUE(fs().unlink({}, kRootIno, name)); }
  void cut(const std::string& path, std::uint64_t size) {
    SetAttr set;
    set.size_bytes = size;
    ASSERT_TRUE(fs().setattr({}, ino(path), set));
  }

  Json ask(const Json& request) {
    auto reply = Service(*engine_).call(request.dump(), {});
    EXPECT_TRUE(reply) << request.dump() << ": " << reply.error().to_string();
    payload_ = reply ? reply->payload : Bytes();
    return reply ? Json::parse(reply->json) : Json::object();
  }
  Errc refused(const Json& request) {
    auto reply = Service(*engine_).call(request.dump(), {});
    EXPECT_FALSE(reply) << request.dump();
    return reply ? Errc::kIo : reply.error().code;
  }
  std::string snapshot() { return ask({{"command", "snapshot"}})["snapshot"]["id"]; }
  std::size_t snapshot_count() { return engine_->catalog().count(); }
  Json restore(const std::string& snap, const std::vector<std::string>& paths,
               Json more = Json::object()) {
    more.update({{"command", "restore"}, {"snap", snap}, {"paths", paths}});
    return ask(more);
  }
  Bytes content(const std::string& path, const std::string& view = "live") {
    ask({{"command", "read"}, {"view", view}, {"path", path}});
    return payload_;
  }
  // "path change" of each entry.
  std::vector<std::string> diff(Json request) {
    request["command"] = "diff";
    std::vector<std::string> list;
    const Json reply = ask(request);
    for (const Json& change : reply["changes"]) {
      list.push_back(change.value("path", "") + " " + change.value("change", ""));
    }
    return list;
  }
  // "" when the live tree is consistent and the totals are right.
  std::string problems() {
    const auto report = check_view(*engine_->live_view());
    if (!report) return report.error().to_string();
    std::string text;
    for (const auto& finding : report->findings) text += finding.what + "\n";
    if (!(report->totals == engine_->live().totals())) text += "the totals are wrong\n";
    return text;
  }

  TempDir dir_;
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Engine> engine_;
  Bytes payload_;
  int copies_ = 0;
};

}  // namespace amberfs::testing
