// SPDX-License-Identifier: Apache-2.0
// PassIo: an Io that passes everything on to another one: tests override what they want to see or
// to change.
// Threads: as the Io beneath, which it borrows.
#pragma once

#include "blockstore/base/io.h"

namespace amberfs::testing {

class PassFile : public File {
 public:
  explicit PassFile(std::unique_ptr<File> below) : below_(std::move(below)) {}
  Result<std::size_t> pread_some(char* target, std::size_t size, std::uint64_t at) override {
    return below_->pread_some(target, size, at);
  }
  Status pwritev(std::span<const ByteView> parts, std::uint64_t at) override {
    return below_->pwritev(parts, at);
  }
  Status sync_data() override { return below_->sync_data(); }
  Status truncate(std::uint64_t size) override { return below_->truncate(size); }
  Status allocate(std::uint64_t at, std::uint64_t size) override {
    return below_->allocate(at, size);
  }
  Result<std::uint64_t> size() override { return below_->size(); }
  Status close() override { return below_->close(); }
  const std::string& path() const override { return below_->path(); }

 private:
  std::unique_ptr<File> below_;
};

class PassIo : public Io {
 public:
  explicit PassIo(Io& below) : below_(below) {}
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    return below_.open(path, mode);
  }
  Status make_directory(const std::string& path) override { return below_.make_directory(path); }
  Result<std::vector<DirEntry>> list(const std::string& path) override { return below_.list(path); }
  Status rename(const std::string& source, const std::string& target) override {
    return below_.rename(source, target);
  }
  Status unlink(const std::string& path) override { return below_.unlink(path); }
  Status sync_directory(const std::string& path) override { return below_.sync_directory(path); }
  Result<bool> exists(const std::string& path) override { return below_.exists(path); }
  Result<DiskSpace> disk_space(const std::string& path) override { return below_.disk_space(path); }

 private:
  Io& below_;
};

}  // namespace amberfs::testing
