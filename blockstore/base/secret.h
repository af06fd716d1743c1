// SPDX-License-Identifier: Apache-2.0
// SecretBytes: keys and passphrases in memory that is locked (never swapped), left out of core
// files, zero in a forked child, and wiped when it is given back. Copying is by hand, so that no
// copy is made unseen.
// Threads: as a plain value; reading from any thread.
// Errors:  kOutOfMemory. A limit that does not allow locking (RLIMIT_MEMLOCK) is no error:
//          is_locked() says so, and the caller tells the administrator.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

#include <utility>

namespace amberfs {

class SecretBytes {
 public:
  // `size` zero bytes, at most kSizeMax.
  static constexpr std::size_t kSizeMax = 64 * kKiB;
  [[nodiscard]] static Result<SecretBytes> zeros(std::size_t size);
  [[nodiscard]] static Result<SecretBytes> random(std::size_t size);
  // Whoever owns `bytes` wipes them.
  [[nodiscard]] static Result<SecretBytes> copy_of(ByteView bytes);

  SecretBytes() = default;  // empty
  SecretBytes(SecretBytes&& other) noexcept { swap(other); }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    SecretBytes(std::move(other)).swap(*this);
    return *this;
  }
  ~SecretBytes();

  [[nodiscard]] ByteView view() const { return {data_, size_}; }
  [[nodiscard]] char* data() { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool is_locked() const { return locked_; }
  void shrink(std::size_t size);  // wipes what is behind it

 private:
  void swap(SecretBytes& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    std::swap(locked_, other.locked_);
  }
  char* data_ = nullptr;  // a mapping of its own
  std::size_t size_ = 0;
  std::size_t mapped_ = 0;
  bool locked_ = false;
};

// From now on this process leaves no core file, and only root may look into its memory. Called
// before the first secret is read; a program that is started by exec has to do it again.
void forbid_core_files();

// Overwrites in a way that no compiler leaves out.
void wipe(char* data, std::size_t size);
inline void wipe(Bytes& bytes) {
  wipe(bytes.data(), bytes.size());
  bytes.clear();
}

// Equal, in a time that does not depend on where they differ.
[[nodiscard]] bool equal_secretly(ByteView a, ByteView b);

}  // namespace amberfs
