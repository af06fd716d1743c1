// SPDX-License-Identifier: Apache-2.0
// The keys of encrypted stores as commands get them: the one place where a command learns a secret.
// A secret comes out of a file, a descriptor or a terminal; never out of an argument or a variable,
// which others can see: these only name files.
//   --key-file FILE, --passphrase-file FILE      of every command that takes a store; or
//   AMBERFS_KEY_FILE, AMBERFS_PASSPHRASE_FILE    the same for all commands, used for encrypted
//                                                stores only; or
//   a question at the terminal, when the store has a passphrase.
// A mounted store is asked through its socket and needs none.
// Threads: one.
// Errors:  kKeyMissing, kWrongKey, kKeysDamaged; kBadRequest for a file that cannot be used, or a
//          key that was given for a store that is not encrypted.
#pragma once

#include "blockstore/key_slots.h"
#include "fs/engine.h"

#include <CLI/CLI.hpp>

#include <optional>

namespace amberfs::tools {

// Where a secret is. At most one is set.
struct KeyFiles {
  std::string key_file;
  std::string passphrase_file;
  [[nodiscard]] bool empty() const { return key_file.empty() && passphrase_file.empty(); }
};

// Adds --key-file and --passphrase-file to a command, which sets what all calls below go by.
void add_key_options(CLI::App& command);
// What these options say in this process.
[[nodiscard]] const KeyFiles& given_key_files();
// The variables, when no option was given.
[[nodiscard]] KeyFiles given_or_usual_key_files();

// The secret in it; nullopt when nothing is named. From now on this process leaves no core file.
[[nodiscard]] Result<std::optional<StoreSecret>> read_secret(const KeyFiles& files);
// Asks at the terminal, without showing it; twice for a new one. kKeyMissing without a terminal.
[[nodiscard]] Result<StoreSecret> ask_passphrase(const std::string& question, bool twice);

// Of an encrypted store; both empty of a plain one.
struct StoreKey {
  SecretBytes data_key;
  std::shared_ptr<const StoreCipher> cipher;
  std::uint32_t slot = 0;
};
[[nodiscard]] Result<StoreKey> unlock_store(Io& io, const std::string& store);
// The engine of a store that is not mounted.
[[nodiscard]] Result<std::unique_ptr<Engine>> open_store(Io& io, const std::string& store,
                                                         const OpenOptions& options = {});

}  // namespace amberfs::tools
