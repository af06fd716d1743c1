// SPDX-License-Identifier: Apache-2.0
#include "tools/copy_out.h"

#include "fs/path_text.h"
#include "tools/copied_file.h"
#include "tools/copy_workers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>

namespace amberfs::tools {
namespace {

constexpr int kOpenAny = O_PATH | O_NOFOLLOW | O_CLOEXEC;
constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool is_safe_name(ByteView name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == ByteView::npos &&
         name.find('\0') == ByteView::npos;
}

class Copier {
 public:
  Copier(Session& session, const CopyOutRequest& request) : session_(session), request_(request) {}

  Result<CopyOutReport> run() {
    std::error_code error;
    std::filesystem::create_directories(request_.directory, error);
    if (error) {
      errno = error.value();
      return copy_failed("make the target directory", request_.directory);
    }
    root_ = Descriptor(::open(request_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (root_.get() < 0) return copy_failed("open the target directory", request_.directory);
    TRY(note_device(root_.get(), request_.directory));
    TRY_ASSIGN(workers_, CopyWorkers::start(session_, request_.view));
    TRY_ASSIGN(const std::vector<Bytes> paths, matching_paths());
    several_ = paths.size() > 1;
    for (const Bytes& path : paths) TRY(copy_path(path));
    TRY_ASSIGN(report_.failed, workers_->finish());
    TRY(finish_parents());
    TRY(sync());
    return report_;
  }

 private:
  Result<Json> stat_of(const Bytes& path) {
    TRY_ASSIGN(
        auto answer,
        session_.call({{"command", "stat"}, {"view", request_.view}, {"path", encode_path(path)}}));
    return std::move(answer.json);
  }

  // What the paths and globs that were asked for name.
  Result<std::vector<Bytes>> matching_paths() {
    TRY_ASSIGN(
        const auto answer,
        session_.call({{"command", "match"}, {"view", request_.view}, {"paths", request_.paths}}));
    std::vector<Bytes> paths;
    for (const Json& path : answer.json.at("paths")) {
      auto decoded = decode_path(path.get<std::string>());
      if (!decoded) return fail(Errc::kControl, 0, "read the server's answer");
      paths.push_back(normal_path(*decoded));
    }
    return paths;
  }

  // `path` with the directories above it, as they were.
  Status copy_path(const Bytes& path) {
    TRY_ASSIGN(Json top, stat_of(path));
    int parent = root_.get();
    Descriptor held;
    std::size_t at = 0;
    for (auto slash = path.find('/'); slash != Bytes::npos; slash = path.find('/', slash + 1)) {
      const Bytes above = path.substr(0, slash);
      TRY_ASSIGN(Directory next, enter_directory(parent, path.substr(at, slash - at), above));
      if (next.made) {
        TRY_ASSIGN(Json stat, stat_of(above));
        TRY_ASSIGN(const Made made, look_at(next.fd.get(), above));
        parents_[above] = {std::move(stat), made};
      }
      held = std::move(next.fd);
      parent = held.get();
      at = slash + 1;
    }
    if (path.empty()) return copy_children(parent, path);
    return copy_entry(parent, path.substr(at), path, top);
  }

  // What was made, so that it is known again: the target may be a place where others rename.
  struct Made {
    dev_t device = 0;
    ino_t inode = 0;
    friend bool operator==(const Made&, const Made&) = default;
  };
  static Result<Made> look_at(int fd, const Bytes& path) {
    struct stat st {};
    if (::fstat(fd, &st) != 0) return copy_failed("stat", path);
    return Made{st.st_dev, st.st_ino};
  }
  static std::unexpected<Error> replaced(const Bytes& path) {
    return fail(Errc::kIo, 0,
                "restore elsewhere: something else was put in its place meanwhile; restore to a "
                "directory that nobody else can change",
                path);
  }
  // A directory below the target, "" for the target itself; never through a symlink.
  Result<Descriptor> walk_to(const Bytes& path, int flags) {
    Descriptor directory(::openat(root_.get(), ".", flags));
    for (std::size_t at = 0; directory.get() >= 0 && at < path.size();) {
      const std::size_t slash = std::min(path.find('/', at), path.size());
      const Bytes name = path.substr(at, slash - at);
      directory = Descriptor(::openat(directory.get(), name.c_str(), flags));
      at = slash + 1;
    }
    if (directory.get() < 0) return copy_failed("open", path);
    return directory;
  }

  struct Directory {
    Descriptor fd;
    bool made = false;
  };
  Result<Directory> enter_directory(int parent, const Bytes& name, const Bytes& path) {
    if (!is_safe_name(name)) return fail(Errc::kBadRequest, 0, "restore elsewhere: name", path);
    const bool made = ::mkdirat(parent, name.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return copy_failed("make directory", path);
    Directory directory{Descriptor(::openat(parent, name.c_str(), kOpenDirectory)), made};
    if (directory.fd.get() < 0) return copy_failed("open", path);
    if (!made) TRY(note_device(directory.fd.get(), path));  // something may be mounted there
    return directory;
  }

  // Directories that were made above what was asked for. Not before all is there: what is made in a
  // directory changes its times, and its mode may forbid it. The deepest come first.
  Status finish_parents() {
    for (auto it = parents_.rbegin(); it != parents_.rend(); ++it) {
      const auto& [path, parent] = *it;
      TRY_ASSIGN(const Descriptor directory, walk_to(path, kOpenDirectory));
      TRY_ASSIGN(const Made there, look_at(directory.get(), path));
      if (there != parent.made) return replaced(path);
      TRY(copy_attributes(session_, request_.view, path, parent.stat, directory.get()));
    }
    return ok();
  }

  // One descriptor of each file system that is written to, opened before the first write: the
  // kernel reports what could not be written since then.
  Status note_device(int directory, const Bytes& path) {
    struct stat st {};
    if (::fstat(directory, &st) != 0) return copy_failed("stat", path);
    if (devices_.contains(st.st_dev)) return ok();
    Descriptor own(::openat(directory, ".", kOpenDirectory));
    if (own.get() < 0) return copy_failed("open", path);
    devices_.emplace(st.st_dev, std::move(own));
    return ok();
  }

  // What is reported as written is on the disk. Of FUSE file systems it is fsync that is heard.
  Status sync() {
    for (const auto& [device, directory] : devices_) {
      if (::syncfs(directory.get()) != 0 ||
          (::fsync(directory.get()) != 0 && errno != EINVAL && errno != ENOSYS)) {
        return copy_failed("sync", request_.directory);
      }
    }
    return ok();
  }

  Status copy_entry(int parent, const Bytes& name, const Bytes& path, const Json& stat) {
    if (!is_safe_name(name)) return fail(Errc::kBadRequest, 0, "restore elsewhere: name", path);
    const auto mode = stat.value("mode", 0U);
    const auto ino = stat.value("ino", std::uint64_t{0});
    if (S_ISDIR(mode)) {
      TRY_ASSIGN(const Directory directory, enter_directory(parent, name, path));
      TRY(copy_children(directory.fd.get(), path));
      // The files below may still be written to: that changes nothing about the directory.
      return copy_attributes(session_, request_.view, path, stat, directory.fd.get());
    }
    // Asked for twice: by itself and by a directory above it, say.
    if (several_ && !made_.insert(path).second) return ok();
    if (request_.overwrite && ::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
      return copy_failed("replace", path);
    }
    ++report_.files;
    const auto linked = links_.find(ino);
    if (linked != links_.end()) return link_again(linked->second, parent, name, path);
    TRY_ASSIGN(const Made made, S_ISREG(mode) ? copy_file(parent, name, path, stat)
                                              : copy_special(parent, name, path, stat));
    if (stat.value("nlink", 1U) > 1) links_[ino] = {path, made};
    return ok();
  }

  struct Link {
    Bytes path;
    Made made;
  };
  // Of the very file that was made: a path could lead to another one by now.
  Status link_again(const Link& first, int parent, const Bytes& name, const Bytes& path) {
    const auto slash = first.path.find_last_of('/');
    const bool at_top = slash == Bytes::npos;
    TRY_ASSIGN(const Descriptor directory,
               walk_to(at_top ? Bytes() : first.path.substr(0, slash), kOpenAny | O_DIRECTORY));
    const Bytes own_name = at_top ? first.path : first.path.substr(slash + 1);
    const Descriptor file(::openat(directory.get(), own_name.c_str(), kOpenAny));
    if (file.get() < 0) return copy_failed("open", first.path);
    TRY_ASSIGN(const Made there, look_at(file.get(), first.path));
    if (there != first.made) return replaced(first.path);
    const std::string by_descriptor = "/proc/self/fd/" + std::to_string(file.get());
    if (::linkat(AT_FDCWD, by_descriptor.c_str(), parent, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return copy_failed("link", path);
    }
    return ok();
  }

  Status copy_children(int directory, const Bytes& path) {
    std::uint64_t after = 0;
    while (true) {
      TRY_ASSIGN(auto answer, session_.call({{"command", "readdir"},
                                             {"view", request_.view},
                                             {"path", encode_path(path)},
                                             {"after", after}}));
      for (const Json& entry : answer.json["entries"]) {
        const auto name = decode_path(entry.value("name", ""));
        if (!name) return fail(Errc::kControl, 0, "read the server's answer");
        const Bytes child = path.empty() ? *name : path + "/" + *name;
        TRY_ASSIGN(Json stat, stat_of(child));
        TRY(copy_entry(directory, *name, child, stat));
      }
      if (!answer.json.contains("next")) return ok();
      after = answer.json["next"].get<std::uint64_t>();
    }
  }

  // Makes the file, so that links to it can be made at once; the workers write it.
  Result<Made> copy_file(int parent, const Bytes& name, const Bytes& path, const Json& stat) {
    TRY_ASSIGN(const auto file, CopiedFile::create(parent, name, path, stat));
    TRY_ASSIGN(const Made made, look_at(file->fd(), path));
    report_.bytes += file->size();
    TRY(workers_->add(file));
    return made;
  }

  Result<Made> copy_special(int parent, const Bytes& name, const Bytes& path, const Json& stat) {
    const auto mode = stat.value("mode", 0U);
    if (S_ISLNK(mode)) {
      TRY_ASSIGN(auto answer, session_.call({{"command", "readlink"},
                                             {"view", request_.view},
                                             {"path", encode_path(path)}}));
      const auto target = decode_path(answer.json.value("target", ""));
      if (!target || ::symlinkat(target->c_str(), parent, name.c_str()) != 0) {
        return copy_failed("make symlink", path);
      }
    } else if (::mknodat(parent, name.c_str(), mode & (S_IFMT | 0600),
                         stat.value("rdev", dev_t{0})) != 0) {
      return copy_failed("make", path);
    }
    const Descriptor made(::openat(parent, name.c_str(), kOpenAny));
    struct stat st {};
    if (made.get() < 0 || ::fstat(made.get(), &st) != 0) return copy_failed("open", path);
    // A file that has another name as well was not made here: it was linked here by somebody.
    if ((st.st_mode & S_IFMT) != (mode & S_IFMT) || st.st_nlink != 1) return replaced(path);
    TRY(copy_special_attributes(session_, request_.view, path, stat, made.get()));
    return Made{st.st_dev, st.st_ino};
  }

  Session& session_;
  const CopyOutRequest& request_;
  Descriptor root_;
  std::map<dev_t, Descriptor> devices_;
  struct Parent {
    Json stat;  // the reply to "stat"
    Made made;
  };
  std::map<Bytes, Parent> parents_;      // made above what was asked for
  std::map<std::uint64_t, Link> links_;  // inode → where it was written first
  bool several_ = false;                 // paths were asked for: then it is noted what is made
  std::set<Bytes> made_;
  CopyOutReport report_;
  std::unique_ptr<CopyWorkers> workers_;
};

}  // namespace

Result<CopyOutReport> copy_out(Session& session, const CopyOutRequest& request) {
  return Copier(session, request).run();
}

}  // namespace amberfs::tools
