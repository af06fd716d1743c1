// SPDX-License-Identifier: Apache-2.0
// Commands: stat, readdir, readlink, xattrs, read, next_data, match: files of any view, for `cat`
// and `restore --to`.
#include "fs/extent_read.h"
#include "fs/path_text.h"
#include "fs/restore_plan.h"
#include "fs/service_call.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

namespace amberfs {
namespace {

constexpr std::uint64_t kReadSizeMax = 1 * kMiB;
constexpr std::size_t kEntriesMax = 4096;

Json to_json(const Timestamp& time) {
  return Json{{"seconds", time.seconds}, {"nanoseconds", time.nanoseconds}};
}

struct Place {
  std::shared_ptr<const View> view;
  Ino ino = kNoIno;
  std::string path;
};

Result<Place> find_place(const Call& call) {
  Place place;
  TRY_ASSIGN(place.view, call.view("view"));
  TRY_ASSIGN(place.path, call.path("path"));
  auto ino = place.view->resolve_path(place.path);
  if (!ino) {
    if (ino.error().code != Errc::kPosix) return fail(std::move(ino).error());
    TRY_ASSIGN(std::string snap, call.text("view"));
    return fail(Errc::kNoSuchPath, 0, "find in " + snap, "/" + encode_path(place.path));
  }
  place.ino = *ino;
  return place;
}

Result<Reply> run_stat(const Call& call) {
  TRY_ASSIGN(Place place, find_place(call));
  TRY_ASSIGN(InodeRecord inode, place.view->inode(place.ino));
  return make_reply({{"ino", place.ino},
                     {"mode", inode.mode},
                     {"uid", inode.uid},
                     {"gid", inode.gid},
                     {"nlink", inode.nlink},
                     {"size", inode.size_bytes},
                     {"rdev", inode.rdev},
                     {"atime", to_json(inode.atime)},
                     {"mtime", to_json(inode.mtime)},
                     {"ctime", to_json(inode.ctime)},
                     {"btime", to_json(inode.btime)}});
}

// A page of names; "next" is the cookie to go on after, absent at the end.
Result<Reply> run_readdir(const Call& call) {
  TRY_ASSIGN(Place place, find_place(call));
  TRY_ASSIGN(std::uint64_t after, call.number("after"));
  Json entries = Json::array();
  std::uint64_t last = after;
  bool more = false;
  TRY(place.view->list_directory(place.ino, after, [&](const View::DirectoryEntry& entry) {
    // Not between two names with one cookie: the second would be skipped.
    if (entries.size() >= kEntriesMax && entry.cookie != last) {
      more = true;
      return false;
    }
    entries.push_back({{"name", encode_path(entry.name)}, {"type", entry.dirent.type}});
    last = entry.cookie;
    return true;
  }));
  Json reply{{"entries", std::move(entries)}};
  if (more) reply["next"] = last;
  return make_reply(reply);
}

Result<Reply> run_readlink(const Call& call) {
  TRY_ASSIGN(Place place, find_place(call));
  TRY_ASSIGN(Bytes target, place.view->target(place.ino));
  return make_reply({{"target", encode_path(target)}});
}

Result<Reply> run_xattrs(const Call& call) {
  TRY_ASSIGN(Place place, find_place(call));
  TRY_ASSIGN(auto names, place.view->xattr_names(place.ino));
  Json xattrs = Json::array();
  for (const Bytes& name : names) {
    TRY_ASSIGN(auto value, place.view->xattr(place.ino, name));
    if (value) xattrs.push_back({{"name", encode_path(name)}, {"value_hex", to_hex(*value)}});
  }
  return make_reply({{"xattrs", std::move(xattrs)}});
}

Result<Reply> run_read(const Call& call) {
  TRY_ASSIGN(Place place, find_place(call));
  TRY_ASSIGN(std::uint64_t offset, call.number("offset"));
  TRY_ASSIGN(std::uint64_t size, call.number("size", kReadSizeMax));
  if (size > kReadSizeMax) {
    return fail(Errc::kBadRequest, 0, "read: more than 1 MiB at once", place.path);
  }
  TRY_ASSIGN(InodeRecord inode, place.view->inode(place.ino));
  if ((inode.mode & S_IFMT) != S_IFREG) {
    return fail(Errc::kBadRequest, 0, "read: not a regular file", "/" + encode_path(place.path));
  }
  Bytes payload;
  Result<std::size_t> got = 0;
  payload.resize_and_overwrite(size, [&](char* target, std::size_t wanted) {
    got = call.engine().data().read(*place.view, place.ino, offset, target, wanted);
    return got ? *got : 0;
  });
  if (!got) return fail(std::move(got).error());
  return make_reply({{"size", *got}, {"file_size", inode.size_bytes}}, std::move(payload));
}

Result<Reply> run_match(const Call& call) {
  TRY_ASSIGN(const auto view, call.view("view"));
  TRY_ASSIGN(const auto wanted, call.paths("paths"));
  TRY_ASSIGN(const std::vector<Bytes> matches, match_paths(*view, wanted));
  Json paths = Json::array();
  for (const Bytes& path : matches) paths.push_back(encode_path(path));
  return make_reply({{"paths", std::move(paths)}});
}

// So that who copies a file need not be sent the zeros of its holes.
Result<Reply> run_next_data(const Call& call) {
  TRY_ASSIGN(Place place, find_place(call));
  TRY_ASSIGN(std::uint64_t offset, call.number("offset"));
  TRY_ASSIGN(InodeRecord inode, place.view->inode(place.ino));
  const Result<std::string> view = call.text("view");
  const bool may_change = !view || *view == "live";
  std::uint64_t at = std::min(offset, inode.size_bytes);
  if (!may_change && at < inode.size_bytes) {
    TRY_ASSIGN(const auto data, find_data(*place.view, place.ino, inode.size_bytes, at));
    at = data.value_or(inode.size_bytes);
  }
  return make_reply({{"offset", at}, {"file_size", inode.size_bytes}});
}

constexpr std::array kCommands{
    Command{"stat", run_stat},         Command{"readdir", run_readdir},
    Command{"readlink", run_readlink}, Command{"xattrs", run_xattrs},
    Command{"read", run_read},         Command{"next_data", run_next_data},
    Command{"match", run_match}};

}  // namespace

std::span<const Command> file_commands() {
  return kCommands;
}

}  // namespace amberfs
