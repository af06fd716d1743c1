// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fault_io.h"

#include <algorithm>

namespace amberfs::testing {
namespace {

bool contains(IoOpSet set, IoOp op) {
  return (set & (1U << static_cast<unsigned>(op))) != 0;
}

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

class FaultIo::FaultFile final : public File {
 public:
  FaultFile(FaultIo& io, std::unique_ptr<File> below, FileKey key)
      : io_(io), below_(std::move(below)), key_(key) {}

  Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t offset) override {
    TRY(io_.enter({IoOp::kRead, path(), offset, size}));
    return below_->pread_some(target, size, offset);
  }

  Status pwritev(std::span<const ByteView> parts, std::uint64_t offset) override {
    Bytes all;
    for (ByteView part : parts) all += part;
    std::uint64_t torn = 0;
    Status entered = io_.enter_write({IoOp::kWrite, path(), offset, all.size()}, &torn);
    const std::uint64_t size = entered ? all.size() : torn;
    if (size > 0) {
      io_.remember_content(key_, *below_, offset, size);
      TRY(below_->pwrite(ByteView(all).substr(0, size), offset));
    }
    return entered;
  }

  Status sync_data() override {
    TRY(io_.enter({IoOp::kSync, path()}));
    MutexLock lock(io_.mu_);
    if (!io_.tracking_) return below_->sync_data();
    io_.forget_content(key_);
    return ok();
  }

  Status truncate(std::uint64_t size) override {
    TRY(io_.enter({IoOp::kTruncate, path(), size}));
    TRY_ASSIGN(std::uint64_t old_size, below_->size());
    const std::uint64_t cut = old_size > size ? old_size - size : 0;
    io_.remember_content(key_, *below_, size, cut);
    return below_->truncate(size);
  }

  Status allocate(std::uint64_t offset, std::uint64_t size) override {
    TRY(io_.enter({IoOp::kAllocate, path(), offset, size}));
    io_.remember_content(key_, *below_, 0, 0);
    return below_->allocate(offset, size);
  }

  Result<std::uint64_t> size() override {
    TRY(io_.enter({IoOp::kSize, path()}));
    return below_->size();
  }

  Status close() override {
    Status entered = io_.enter({IoOp::kClose, path()});
    Status closed = below_->close();
    return entered ? closed : entered;
  }

  const std::string& path() const override { return below_->path(); }

 private:
  FaultIo& io_;
  std::unique_ptr<File> below_;
  FileKey key_;
};

void FaultIo::count(IoOpSet ops) {
  MutexLock lock(mu_);
  counted_ = ops;
}

void FaultIo::arm(const Fault& fault) {
  MutexLock lock(mu_);
  fault_ = fault;
  calls_ = 0;
  fired_ = false;
}

void FaultIo::disarm() {
  MutexLock lock(mu_);
  fault_.reset();
}

std::uint64_t FaultIo::calls() {
  MutexLock lock(mu_);
  return calls_;
}

bool FaultIo::fired() {
  MutexLock lock(mu_);
  return fired_;
}

void FaultIo::record() {
  MutexLock lock(mu_);
  recording_ = true;
}

std::vector<IoCall> FaultIo::take_calls() {
  MutexLock lock(mu_);
  return std::exchange(recorded_, {});
}

void FaultIo::track_unsynced() {
  MutexLock lock(mu_);
  tracking_ = true;
}

Status FaultIo::enter(IoCall call) {
  std::uint64_t ignored = 0;
  return enter_write(std::move(call), &ignored);
}

Status FaultIo::enter_write(IoCall call, std::uint64_t* torn_bytes) {
  MutexLock lock(mu_);
  bool strikes = false;
  int sys_errno = 0;
  if (contains(counted_, call.op)) {
    ++calls_;
    if (fault_) {
      strikes = calls_ == fault_->at || (fault_->sticky && calls_ > fault_->at);
      sys_errno = fault_->sys_errno;
    }
  }
  *torn_bytes = 0;
  if (strikes && !fired_) *torn_bytes = call.size * fault_->torn_percent / 100;
  fired_ = fired_ || strikes;
  std::string path = call.path;
  if (recording_) {
    call.failed = strikes;
    recorded_.push_back(std::move(call));
  }
  if (strikes) return fail(errc_for(sys_errno), sys_errno, "injected fault", path);
  return ok();
}

FaultIo::FileKey FaultIo::key_of(const std::string& path) {
  auto [it, added] = keys_.try_emplace(path, next_key_);
  if (added) ++next_key_;
  return it->second;
}

void FaultIo::forget_content(FileKey key) {
  std::erase_if(contents_, [key](const ContentUndo& undo) { return undo.key == key; });
}

void FaultIo::remember_content(FileKey key, File& file, std::uint64_t offset, std::uint64_t size) {
  MutexLock lock(mu_);
  if (!tracking_) return;
  ContentUndo undo{key, offset, Bytes(size, '\0'), 0};
  if (auto file_size = file.size()) undo.file_size = *file_size;
  auto got = file.pread_some(undo.bytes.data(), size, offset);
  undo.bytes.resize(got ? *got : 0);
  contents_.push_back(std::move(undo));
}

std::optional<Bytes> FaultIo::content_at(const std::string& path) {
  auto there = below_.exists(path);
  if (!there || !*there) return std::nullopt;
  auto bytes = below_.read_file(path, ~std::uint64_t{0});
  if (!bytes) return std::nullopt;
  return *std::move(bytes);
}

Status FaultIo::undo_content(const ContentUndo& undo, const std::string& path) {
  TRY_ASSIGN(auto file, below_.open(path, OpenMode::kReadWrite));
  if (!undo.bytes.empty()) TRY(file->pwrite(undo.bytes, undo.offset));
  TRY(file->truncate(undo.file_size));
  return file->close();
}

Status FaultIo::undo_name(const NameUndo& undo) {
  if (undo.op == IoOp::kCreate) {
    TRY_ASSIGN(bool there, below_.exists(undo.path));
    return there ? below_.unlink(undo.path) : ok();
  }
  if (undo.op == IoOp::kRename) TRY(below_.rename(undo.path, undo.source));
  if (!undo.bytes) return ok();
  TRY_ASSIGN(auto file, below_.open(undo.path, OpenMode::kCreateNew));
  TRY(file->pwrite(*undo.bytes, 0));
  return file->close();
}

Status FaultIo::lose_unsynced() {
  MutexLock lock(mu_);
  std::map<FileKey, std::string> paths;
  for (const auto& [path, key] : keys_) paths[key] = path;
  for (auto it = contents_.rbegin(); it != contents_.rend(); ++it) {
    TRY(undo_content(*it, paths.at(it->key)));
  }
  for (auto it = names_.rbegin(); it != names_.rend(); ++it) TRY(undo_name(*it));
  contents_.clear();
  names_.clear();
  keys_.clear();
  return ok();
}

Result<std::unique_ptr<File>> FaultIo::open(const std::string& path, OpenMode mode) {
  bool creates = mode == OpenMode::kCreateNew;
  if (mode == OpenMode::kCreateOrOpen) {
    TRY_ASSIGN(bool there, below_.exists(path));
    creates = !there;
  }
  TRY(enter({creates ? IoOp::kCreate : IoOp::kOpen, path}));
  TRY_ASSIGN(auto file, below_.open(path, mode));
  MutexLock lock(mu_);
  if (tracking_ && creates) names_.push_back({IoOp::kCreate, path, {}, {}});
  return std::unique_ptr<File>(new FaultFile(*this, std::move(file), key_of(path)));
}

Status FaultIo::make_directory(const std::string& path) {
  TRY(enter({IoOp::kMakeDirectory, path}));
  return below_.make_directory(path);
}

Result<std::vector<DirEntry>> FaultIo::list(const std::string& path) {
  TRY(enter({IoOp::kList, path}));
  return below_.list(path);
}

Status FaultIo::rename(const std::string& source, const std::string& target) {
  TRY(enter({IoOp::kRename, source}));
  MutexLock lock(mu_);
  std::optional<Bytes> before = tracking_ ? content_at(target) : std::nullopt;
  TRY(below_.rename(source, target));
  if (keys_.contains(target)) forget_content(keys_.at(target));
  const FileKey key = key_of(source);
  keys_.erase(source);
  keys_[target] = key;
  if (tracking_) names_.push_back({IoOp::kRename, target, source, std::move(before)});
  return ok();
}

Status FaultIo::unlink(const std::string& path) {
  TRY(enter({IoOp::kUnlink, path}));
  MutexLock lock(mu_);
  std::optional<Bytes> before = tracking_ ? content_at(path) : std::nullopt;
  TRY(below_.unlink(path));
  if (keys_.contains(path)) forget_content(keys_.at(path));
  keys_.erase(path);
  if (tracking_) names_.push_back({IoOp::kUnlink, path, {}, std::move(before)});
  return ok();
}

Status FaultIo::sync_directory(const std::string& path) {
  TRY(enter({IoOp::kSyncDirectory, path}));
  MutexLock lock(mu_);
  if (!tracking_) return below_.sync_directory(path);
  std::erase_if(names_, [&](const NameUndo& undo) {
    return parent_of(undo.path) == without_trailing_slash(path);
  });
  return ok();
}

Result<bool> FaultIo::exists(const std::string& path) {
  TRY(enter({IoOp::kExists, path}));
  return below_.exists(path);
}

Result<DiskSpace> FaultIo::disk_space(const std::string& path) {
  TRY(enter({IoOp::kDiskSpace, path}));
  return below_.disk_space(path);
}

}  // namespace amberfs::testing
