// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/disk_model.h"

#include "blockstore/base/hash.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace amberfs::testing {
namespace {

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

std::string plain(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::unexpected<Error> error_of(int sys_errno, const char* tried, const std::string& path) {
  return fail(errc_for(sys_errno), sys_errno, tried, path);
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return (a ^ (b + 0x9E3779B97F4A7C15 + (a << 6) + (a >> 2))) * 0xFF51AFD7ED558CCD;
}

// The sectors of a torn write that got there; each lies on the disk by itself.
void write_kept(FileBytes& file, const Event& event, std::uint64_t kept) {
  const ByteView bytes(*event.bytes);
  if (kept == EventLog::kAll || (kept & EventLog::kSectorsBit) == 0) {
    file.write(event.offset, bytes.substr(0, kept));
    return;
  }
  for (std::uint64_t at = 0; at < bytes.size();) {
    const std::uint64_t sector = (event.offset + at) / kSector;
    const std::uint64_t size =
        std::min<std::uint64_t>(bytes.size() - at, (sector + 1) * kSector - event.offset - at);
    if ((mix(kept, sector) >> 20 & 1) != 0) file.write(event.offset + at, bytes.substr(at, size));
    at += size;
  }
}

}  // namespace

// ---- bytes

void FileBytes::write(std::uint64_t offset, ByteView bytes) {
  extend(offset + bytes.size());
  while (!bytes.empty()) {
    const std::uint64_t number = offset / kPage;
    const std::size_t at = offset % kPage;
    const std::size_t count = std::min(bytes.size(), kPage - at);
    std::shared_ptr<Page>& page = pages_[number];
    page = page ? std::make_shared<Page>(*page) : std::make_shared<Page>();
    std::memcpy(page->data() + at, bytes.data(), count);
    offset += count;
    bytes.remove_prefix(count);
  }
}

void FileBytes::resize(std::uint64_t size) {
  if (size < size_) {
    pages_.erase(pages_.lower_bound((size + kPage - 1) / kPage), pages_.end());
    if (size % kPage != 0 && pages_.contains(size / kPage)) {
      auto& page = pages_[size / kPage];
      page = std::make_shared<Page>(*page);
      std::fill(page->begin() + static_cast<std::ptrdiff_t>(size % kPage), page->end(), '\0');
    }
  }
  size_ = size;
}

std::size_t FileBytes::read(std::uint64_t offset, char* target, std::size_t size) const {
  if (offset >= size_) return 0;
  size = static_cast<std::size_t>(std::min<std::uint64_t>(size, size_ - offset));
  for (std::size_t done = 0; done < size;) {
    const std::size_t at = (offset + done) % kPage;
    const std::size_t count = std::min(size - done, kPage - at);
    const auto page = pages_.find((offset + done) / kPage);
    if (page == pages_.end()) {
      std::memset(target + done, 0, count);
    } else {
      std::memcpy(target + done, page->second->data() + at, count);
    }
    done += count;
  }
  return size;
}

std::uint64_t FileBytes::hash() const {
  std::uint64_t sum = size_;
  for (const auto& [number, page] : pages_) {
    sum = mix(sum, mix(number, xxh3(ByteView(page->data(), page->size()))));
  }
  return sum;
}

std::uint64_t DiskImage::hash() const {
  std::uint64_t sum = 0;
  for (const auto& [name, id] : names) {
    sum = mix(sum, mix(xxh3(name), files.at(id).hash()));
  }
  return sum;
}

// ---- events

bool is_sync(const Event& event) {
  return event.kind == Event::Kind::kSyncFile || event.kind == Event::Kind::kSyncDirectory;
}

std::vector<std::size_t> EventLog::unsynced(std::size_t count) const {
  std::set<FileId> synced_files;
  std::set<std::string> synced_directories;
  std::vector<std::size_t> found;
  for (std::size_t i = count; i-- > 0;) {
    const Event& event = events_[i];
    switch (event.kind) {
      case Event::Kind::kSyncFile:
        synced_files.insert(event.file);
        break;
      case Event::Kind::kSyncDirectory:
        synced_directories.insert(event.path);
        break;
      case Event::Kind::kWrite:
      case Event::Kind::kTruncate:
      case Event::Kind::kExtend:
        if (!synced_files.contains(event.file)) found.push_back(i);
        break;
      case Event::Kind::kCreate:
      case Event::Kind::kRename:
      case Event::Kind::kUnlink:
        if (!synced_directories.contains(directory_of(event.path))) found.push_back(i);
        break;
      case Event::Kind::kIndexCommit:
        break;
    }
  }
  std::ranges::reverse(found);
  return found;
}

std::string EventLog::describe(std::size_t count) const {
  constexpr std::array kNames{"write",  "truncate", "extend",         "sync",        "create",
                              "rename", "unlink",   "sync directory", "index commit"};
  const std::vector<std::size_t> open = unsynced(count);
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    const Event& event = events_[i];
    text += fmt::format("  {}{} {} {}{}{} at {} size {}\n", i,
                        std::ranges::binary_search(open, i) ? "?" : " ",
                        kNames.at(static_cast<std::size_t>(event.kind)), event.source,
                        event.source.empty() ? "" : " to ", event.path, event.offset, event.size);
  }
  return text;
}

DiskImage EventLog::image(const DiskImage& base, std::size_t count, const Keep& keep) const {
  DiskImage image = base;
  const std::vector<std::size_t> open = unsynced(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Event& event = events_[i];
    const std::uint64_t kept = std::ranges::binary_search(open, i) ? keep(i) : kAll;
    if (kept == kNothing && event.kind != Event::Kind::kCreate) continue;
    switch (event.kind) {
      case Event::Kind::kWrite:
        write_kept(image.files[event.file], event, kept);
        break;
      case Event::Kind::kTruncate:
        image.files[event.file].resize(event.size);
        break;
      case Event::Kind::kExtend:
        image.files[event.file].extend(event.size);
        break;
      case Event::Kind::kCreate:
        image.files.try_emplace(event.file);  // a later rename may be kept without this name
        if (kept != kNothing) image.names[event.path] = event.file;
        break;
      case Event::Kind::kRename:
        if (const auto old = image.names.find(event.source);
            old != image.names.end() && old->second == event.file) {
          image.names.erase(old);
        }
        image.names[event.path] = event.file;
        break;
      case Event::Kind::kUnlink:
        if (const auto old = image.names.find(event.path);
            old != image.names.end() && old->second == event.file) {
          image.names.erase(old);
        }
        break;
      case Event::Kind::kSyncFile:
      case Event::Kind::kSyncDirectory:
      case Event::Kind::kIndexCommit:
        break;
    }
  }
  for (const auto& [id, bytes] : image.files) image.next_id = std::max(image.next_id, id + 1);
  return image;
}

// ---- Io

class RecordingIo::MemoryFile final : public File {
 public:
  MemoryFile(RecordingIo& io, FileId id, std::string path)
      : io_(io), id_(id), path_(std::move(path)) {}

  Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t offset) override {
    MutexLock lock(io_.mu_);
    return io_.image_.files[id_].read(offset, target, size);
  }
  Status pwritev(std::span<const ByteView> parts, std::uint64_t offset) override {
    auto bytes = std::make_shared<Bytes>();
    for (const ByteView part : parts) bytes->append(part);
    MutexLock lock(io_.mu_);
    io_.image_.files[id_].write(offset, *bytes);
    io_.note({.kind = Event::Kind::kWrite,
              .file = id_,
              .path = path_,
              .offset = offset,
              .size = bytes->size(),
              .bytes = std::move(bytes)});
    return ok();
  }
  Status sync_data() override {
    MutexLock lock(io_.mu_);
    io_.note({.kind = Event::Kind::kSyncFile, .file = id_, .path = path_});
    return ok();
  }
  Status truncate(std::uint64_t size) override {
    MutexLock lock(io_.mu_);
    io_.image_.files[id_].resize(size);
    io_.note({.kind = Event::Kind::kTruncate, .file = id_, .path = path_, .size = size});
    return ok();
  }
  Status allocate(std::uint64_t offset, std::uint64_t size) override {
    MutexLock lock(io_.mu_);
    io_.image_.files[id_].extend(offset + size);
    io_.note({.kind = Event::Kind::kExtend, .file = id_, .path = path_, .size = offset + size});
    return ok();
  }
  Result<std::uint64_t> size() override {
    MutexLock lock(io_.mu_);
    return io_.image_.files[id_].size();
  }
  Status close() override { return ok(); }
  const std::string& path() const override { return path_; }

 private:
  RecordingIo& io_;
  const FileId id_;
  const std::string path_;
};

void RecordingIo::record(EventLog& log, std::function<void()> before, Mutation mutation) {
  MutexLock lock(mu_);
  log_ = &log;
  before_ = std::move(before);
  mutation_ = std::move(mutation);
}

void RecordingIo::stop_recording() {
  MutexLock lock(mu_);
  log_ = nullptr;
}

DiskImage RecordingIo::image() {
  MutexLock lock(mu_);
  return image_;
}

void RecordingIo::note(Event event) {
  if (log_ == nullptr) return;
  if (before_) before_();
  if (!mutation_ || mutation_(event)) log_->add(std::move(event));
}

Result<std::unique_ptr<File>> RecordingIo::open(const std::string& path, OpenMode mode) {
  MutexLock lock(mu_);
  const auto name = image_.names.find(path);
  const bool there = name != image_.names.end();
  if (there && mode == OpenMode::kCreateNew) return error_of(EEXIST, "create", path);
  if (there) return std::make_unique<MemoryFile>(*this, name->second, path);
  if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) {
    return error_of(ENOENT, "open", path);
  }
  const FileId id = image_.next_id++;
  image_.names[path] = id;
  image_.files.try_emplace(id);
  note({.kind = Event::Kind::kCreate, .file = id, .path = path});
  return std::make_unique<MemoryFile>(*this, id, path);
}

Status RecordingIo::make_directory(const std::string& path) {
  MutexLock lock(mu_);
  image_.directories.insert(plain(path));
  return ok();
}

Result<std::vector<DirEntry>> RecordingIo::list(const std::string& given) {
  const std::string path = plain(given);
  MutexLock lock(mu_);
  std::vector<DirEntry> entries;
  for (const auto& [name, id] : image_.names) {
    if (directory_of(name) == path) entries.push_back({name.substr(path.size() + 1), false});
  }
  for (const std::string& directory : image_.directories) {
    if (directory_of(directory) == path)
      entries.push_back({directory.substr(path.size() + 1), true});
  }
  std::ranges::sort(entries, {}, &DirEntry::name);
  return entries;
}

Status RecordingIo::rename(const std::string& source, const std::string& target) {
  MutexLock lock(mu_);
  const auto name = image_.names.find(source);
  if (name == image_.names.end()) return error_of(ENOENT, "rename", source);
  const FileId id = name->second;
  image_.names.erase(name);
  image_.names[target] = id;
  note({.kind = Event::Kind::kRename, .file = id, .path = target, .source = source});
  return ok();
}

Status RecordingIo::unlink(const std::string& path) {
  MutexLock lock(mu_);
  const auto name = image_.names.find(path);
  if (name == image_.names.end()) return error_of(ENOENT, "unlink", path);
  const FileId id = name->second;
  image_.names.erase(name);
  note({.kind = Event::Kind::kUnlink, .file = id, .path = path});
  return ok();
}

Status RecordingIo::sync_directory(const std::string& path) {
  MutexLock lock(mu_);
  note({.kind = Event::Kind::kSyncDirectory, .path = plain(path)});
  return ok();
}

Result<bool> RecordingIo::exists(const std::string& path) {
  MutexLock lock(mu_);
  return image_.names.contains(path) || image_.directories.contains(path) ||
         ::access(path.c_str(), F_OK) == 0;
}

Result<DiskSpace> RecordingIo::disk_space(const std::string&) {
  return DiskSpace{
      .total_bytes = disk_bytes_, .available_bytes = disk_bytes_, .free_bytes = disk_bytes_};
}

}  // namespace amberfs::testing
