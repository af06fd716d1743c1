// SPDX-License-Identifier: Apache-2.0
#include "blockstore/base/secret.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace amberfs {

Result<SecretBytes> SecretBytes::zeros(std::size_t size) {
  if (size > kSizeMax) return fail(Errc::kBadRequest, 0, "keep a secret: it is too large");
  SecretBytes secret;
  if (size == 0) return secret;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t mapped = (size + page - 1) / page * page;
  void* memory =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(Errc::kOutOfMemory, errno, "keep a secret in memory");
  secret.data_ = static_cast<char*>(memory);
  secret.size_ = size;
  secret.mapped_ = mapped;
  secret.locked_ = ::mlock(memory, mapped) == 0;
  // Advice that an old kernel may not know: the process as a whole makes no core file either.
  (void)::madvise(memory, mapped, MADV_DONTDUMP);
  (void)::madvise(memory, mapped, MADV_WIPEONFORK);
  return secret;
}

Result<SecretBytes> SecretBytes::random(std::size_t size) {
  TRY_ASSIGN(SecretBytes secret, zeros(size));
  for (std::size_t done = 0; done < size;) {
    const ssize_t n = ::getrandom(secret.data_ + done, size - done, 0);
    if (n < 0 && errno != EINTR) return fail(Errc::kIo, errno, "draw a random key");
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  return secret;
}

Result<SecretBytes> SecretBytes::copy_of(ByteView bytes) {
  TRY_ASSIGN(SecretBytes secret, zeros(bytes.size()));
  if (!bytes.empty()) std::memcpy(secret.data_, bytes.data(), bytes.size());
  return secret;
}

SecretBytes::~SecretBytes() {
  if (data_ == nullptr) return;
  wipe(data_, mapped_);
  ::munmap(data_, mapped_);
}

void SecretBytes::shrink(std::size_t size) {
  if (size >= size_) return;
  wipe(data_ + size, size_ - size);
  size_ = size;
}

void forbid_core_files() {
  // Neither can fail for who lowers what it has.
  (void)::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
}

void wipe(char* data, std::size_t size) {
  if (size != 0) OPENSSL_cleanse(data, size);
}

bool equal_secretly(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace amberfs
