// SPDX-License-Identifier: Apache-2.0
// One test, both forms of a store: with AMBERFS_TEST_ENCRYPT=1 the stores and journals that are
// made through these functions are encrypted, with a fixed key. ctest runs such tests twice
// (amberfs_test_encrypted in tests/CMakeLists.txt).
#pragma once

#include "fs/engine.h"
#include "tests/support/test_cipher.h"

namespace amberfs::testing {

[[nodiscard]] inline std::string test_config_text(const std::string& store_id) {
  return default_config_text(store_id, encrypting());
}

[[nodiscard]] inline Status create_store(Io& io, const std::string& store,
                                         const std::string& config, std::uint32_t spares = 0) {
  std::optional<NewKeys> keys;
  if (encrypting()) {
    keys.emplace(NewKeys{KeySlots("test"), test_cipher()});
    TRY(keys->slots.add(fixed_key(), {SecretKind::kKeyFile, fixed_key('F')}, "test"));
  }
  return Engine::create(io, store, config, spares, std::move(keys));
}

[[nodiscard]] inline Result<std::unique_ptr<Engine>> open_engine(Io& io, const std::string& store) {
  return Engine::open(io, store, test_cipher());
}

}  // namespace amberfs::testing
