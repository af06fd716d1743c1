// SPDX-License-Identifier: Apache-2.0
// The key of tests that run over both forms of a store: with AMBERFS_TEST_ENCRYPT=1 there is one,
// always the same. Of whole stores: both_forms.h.
#pragma once

#include "blockstore/store_cipher.h"

#include <cstdlib>

namespace amberfs::testing {

[[nodiscard]] inline bool encrypting() {
  const char* wanted = std::getenv("AMBERFS_TEST_ENCRYPT");
  return wanted != nullptr && *wanted == '1';
}

[[nodiscard]] inline SecretBytes fixed_key(char byte = 'T') {
  return SecretBytes::copy_of(Bytes(kKeySize, byte)).value();
}

[[nodiscard]] inline std::shared_ptr<const StoreCipher> fixed_cipher(char byte = 'T') {
  return StoreCipher::make(fixed_key(byte)).value();
}

// Null when tests are not encrypting.
[[nodiscard]] inline std::shared_ptr<const StoreCipher> test_cipher() {
  return encrypting() ? fixed_cipher() : nullptr;
}

}  // namespace amberfs::testing
