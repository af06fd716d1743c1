// SPDX-License-Identifier: Apache-2.0
// Performer: does the steps of a scenario, to the store and to the model of its tree.
// Threads: one.
// Owns:    the model; borrows the engine.
#pragma once

#include "blockstore/base/hash.h"
#include "tests/crash/scenario.h"
#include "tests/support/both_forms.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

namespace amberfs::testing {

constexpr std::size_t kFileSize = 1500;  // of the first file
// A program's, so that what it takes away is kept as evidence.
inline const Origin kProgram{.request_id = 1, .uid = 0, .gid = 0, .pid = 1, .command = "crash"};

// Text that tells which step wrote it, and where.
inline std::string pattern(std::size_t step, std::size_t size) {
  std::string text;
  while (text.size() < size) text += fmt::format("step {} byte {}\n", step, text.size());
  text.resize(size);
  return text;
}

// Performs steps on the store and on the model.
class Performer {
 public:
  Performer(Engine& engine, TreeModel tree) : engine_(engine), tree_(std::move(tree)) {
    // What is appended is packed in the journal, what is overwritten is not.
    engine_.filesystem().set_packing({.zstd_level = 1, .size_min = 650, .cipher = test_cipher()});
  }
  [[nodiscard]] const TreeModel& tree() const { return tree_; }

  [[nodiscard]] Status create(std::size_t number) {
    const std::string name = fmt::format("new{}", number);
    TRY(fs().make(kProgram, kRootIno, name, {.mode = S_IFREG | 0644U}));
    const int id = next_++;
    tree_.names[name] = id;
    tree_.contents[id] = "";
    return ok();
  }
  [[nodiscard]] Status write(std::size_t number, bool append) {
    TRY_ASSIGN(const Ino ino, first());
    std::string& bytes = content();
    const std::size_t offset = append ? bytes.size() : std::min<std::size_t>(bytes.size(), 200);
    const std::string data = pattern(number, append ? 700 : 600);
    TRY(fs().write(kProgram, ino, offset, data, {}));
    if (bytes.size() < offset + data.size()) bytes.resize(offset + data.size());
    bytes.replace(offset, data.size(), data);
    return ok();
  }
  [[nodiscard]] Status truncate() {
    TRY_ASSIGN(const Ino ino, first());
    SetAttr set;
    set.size_bytes = content().size() / 3;
    TRY(fs().setattr(kProgram, ino, set));
    content().resize(*set.size_bytes);
    return ok();
  }
  [[nodiscard]] Status rename(std::size_t number) {
    const std::string target = fmt::format("b{}", number);
    const std::string source = tree_.names.begin()->first;
    TRY(fs().rename(kProgram, {kRootIno, source}, {kRootIno, target}, RenameFlags::kNone));
    tree_.names[target] = tree_.names.at(source);
    tree_.names.erase(source);
    return ok();
  }
  [[nodiscard]] Status link(std::size_t number) {
    TRY_ASSIGN(const Ino ino, first());
    const std::string target = fmt::format("hard{}", number);
    TRY(fs().link(kProgram, ino, kRootIno, target));
    tree_.names[target] = tree_.names.begin()->second;
    return ok();
  }
  [[nodiscard]] Status unlink() {
    const std::string name = tree_.names.begin()->first;
    TRY(fs().unlink(kProgram, kRootIno, name));
    tree_.names.erase(name);
    return ok();
  }
  [[nodiscard]] Status make_large() {
    tree_.names["z"] = kLarge;
    tree_.contents[kLarge] = "";
    TRY(fs().make(kProgram, kRootIno, "z", {.mode = S_IFREG | 0644U}));
    return ok();
  }
  // More than a pack holds.
  [[nodiscard]] Status fill_large() {
    TRY_ASSIGN(const Attr large, fs().lookup(kRootIno, "z"));
    tree_.contents[kLarge] = random_bytes(kMiB + 4096);
    return fs().write(kProgram, large.ino, 0, tree_.contents[kLarge], {});
  }
  // Something to work on: a file, made anew when there is none.
  [[nodiscard]] bool empty() const { return tree_.names.empty(); }
  void set_tree(TreeModel tree) { tree_ = std::move(tree); }

 private:
  [[nodiscard]] FileSystem& fs() { return engine_.filesystem(); }
  [[nodiscard]] std::string& content() { return tree_.contents.at(tree_.names.begin()->second); }
  [[nodiscard]] Result<Ino> first() {
    TRY_ASSIGN(const Attr attr, fs().lookup(kRootIno, tree_.names.begin()->first));
    return attr.ino;
  }

  Engine& engine_;
  TreeModel tree_;
  static constexpr int kLarge = 99;
  int next_ = 100;
};

}  // namespace amberfs::testing
