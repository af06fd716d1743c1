// SPDX-License-Identifier: Apache-2.0
// ModelFs: what a file system means, in the plainest way: a map of inodes with strings and maps in
// them. Answers errno numbers. The truth that FileSystem is compared with.
#pragma once

#include "fs/filesystem.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <string>
#include <vector>

namespace amberfs::testing {

class ModelFs {
 public:
  struct Node {
    std::uint32_t mode = 0;
    std::uint32_t nlink = 0;  // of files; a directory's follows from its children
    Bytes data;               // or the symlink's target
    std::map<Bytes, Bytes> xattrs;
    std::map<Bytes, Ino> children;
    Ino parent = kNoIno;  // of directories
  };

  ModelFs() { nodes_[kRootIno].mode = S_IFDIR | 0755; }

  [[nodiscard]] Node& node(Ino ino) { return nodes_.at(ino); }

  [[nodiscard]] Ino any_directory(std::uint64_t random) const {
    return any(random, [](const Node& node) { return S_ISDIR(node.mode); });
  }
  // A regular file with a name, or kNoIno.
  [[nodiscard]] Ino any_file(std::uint64_t random) const {
    return any(random, [](const Node& node) { return S_ISREG(node.mode) && node.nlink > 0; });
  }

  int make(Ino parent, const Bytes& name, Ino ino, std::uint32_t mode) {
    if (node(parent).children.contains(name)) return EEXIST;
    node(parent).children[name] = ino;
    nodes_[ino] = {.mode = mode,
                   .nlink = 1,
                   .data = {},
                   .xattrs = {},
                   .children = {},
                   .parent = S_ISDIR(mode) ? parent : kNoIno};
    return 0;
  }
  int symlink(Ino parent, const Bytes& name, Ino ino, const Bytes& target) {
    const int made = make(parent, name, ino, S_IFLNK | 0777);
    if (made == 0) node(ino).data = target;
    return made;
  }
  int link(Ino ino, Ino parent, const Bytes& name) {
    if (node(parent).children.contains(name)) return EEXIST;
    node(parent).children[name] = ino;
    ++node(ino).nlink;
    return 0;
  }
  int unlink(Ino parent, const Bytes& name) {
    const Ino ino = find(parent, name);
    if (ino == kNoIno) return ENOENT;
    if (is_directory(ino)) return EISDIR;
    take_name(parent, name);
    return 0;
  }
  int rmdir(Ino parent, const Bytes& name) {
    const Ino ino = find(parent, name);
    if (ino == kNoIno) return ENOENT;
    if (!is_directory(ino)) return ENOTDIR;
    if (!node(ino).children.empty()) return ENOTEMPTY;
    take_name(parent, name);
    return 0;
  }
  int rename(Ino from, const Bytes& old_name, Ino to, const Bytes& new_name, RenameFlags flags) {
    const Ino moved = find(from, old_name);
    const Ino other = find(to, new_name);
    if (moved == kNoIno) return ENOENT;
    if (flags == RenameFlags::kNoReplace && other != kNoIno) return EEXIST;
    if (flags == RenameFlags::kExchange && other == kNoIno) return ENOENT;
    if (moved == other) return 0;
    if (is_directory(moved) && is_within(to, moved)) return EINVAL;
    if (flags == RenameFlags::kExchange) {
      if (is_directory(other) && is_within(from, other)) return EINVAL;
      put(from, old_name, other);
      put(to, new_name, moved);
      return 0;
    }
    if (other != kNoIno) {
      if (is_directory(moved) && !is_directory(other)) return ENOTDIR;
      if (!is_directory(moved) && is_directory(other)) return EISDIR;
      if (is_directory(other) && !node(other).children.empty()) return ENOTEMPTY;
      take_name(to, new_name);
    }
    node(from).children.erase(old_name);
    put(to, new_name, moved);
    return 0;
  }
  // Nameless inodes live as long as they are open.
  void forget_unheld(const std::map<Ino, int>& open) {
    std::erase_if(nodes_, [&open](const auto& entry) {
      return entry.second.nlink == 0 && entry.first != kRootIno && !open.contains(entry.first);
    });
  }

  [[nodiscard]] static std::string describe_directory(std::uint64_t nlink) {
    return "directory, " + std::to_string(nlink) + " links";
  }
  [[nodiscard]] static std::string describe(Ino ino, const Node& node) {
    std::string text = "inode " + std::to_string(ino) + ", mode " + std::to_string(node.mode) +
                       ", links " + std::to_string(node.nlink) + ", xattrs";
    for (const auto& [key, value] : node.xattrs) text += " " + key + "=" + value;
    return text + ", data " + node.data;
  }
  [[nodiscard]] std::map<std::string, std::string> dump() const {
    std::map<std::string, std::string> out;
    dump_directory(kRootIno, "", out);
    return out;
  }

 private:
  template <class Predicate>
  [[nodiscard]] Ino any(std::uint64_t random, Predicate&& wanted) const {
    std::vector<Ino> all;
    for (const auto& [ino, node] : nodes_) {
      if (wanted(node)) all.push_back(ino);
    }
    return all.empty() ? kNoIno : all[random % all.size()];
  }
  [[nodiscard]] Ino find(Ino parent, const Bytes& name) const {
    const auto& children = nodes_.at(parent).children;
    auto it = children.find(name);
    return it == children.end() ? kNoIno : it->second;
  }
  [[nodiscard]] bool is_directory(Ino ino) const { return S_ISDIR(nodes_.at(ino).mode); }
  [[nodiscard]] bool is_within(Ino directory, Ino above) const {
    for (; directory != kNoIno; directory = nodes_.at(directory).parent) {
      if (directory == above) return true;
    }
    return false;
  }
  void put(Ino parent, const Bytes& name, Ino ino) {
    node(parent).children[name] = ino;
    if (is_directory(ino)) node(ino).parent = parent;
  }
  void take_name(Ino parent, const Bytes& name) {
    --node(find(parent, name)).nlink;
    node(parent).children.erase(name);
  }
  void dump_directory(Ino ino, const std::string& path,
                      std::map<std::string, std::string>& out) const {
    std::uint64_t nlink = 2;
    for (const auto& [name, child] : nodes_.at(ino).children) {
      const std::string child_path = path + "/" + name;
      if (is_directory(child)) {
        ++nlink;
        dump_directory(child, child_path, out);
      } else {
        out[child_path] = describe(child, nodes_.at(child));
      }
    }
    out[path + "/"] = describe_directory(nlink);
  }

  std::map<Ino, Node> nodes_;
};

}  // namespace amberfs::testing
