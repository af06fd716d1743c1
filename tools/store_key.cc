// SPDX-License-Identifier: Apache-2.0
#include "tools/store_key.h"

#include "tools/descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace amberfs::tools {
namespace {

constexpr std::size_t kPassphraseSizeMax = 1024;

// Of this process, which runs one command.
KeyFiles given;

std::string text_of_variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

// As ssh does: a key that others can read is no secret. A pipe or terminal has no such owner.
Status check_private(int fd, const std::string& path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail(Errc::kBadRequest, errno, "read a key", path);
  if (S_ISDIR(st.st_mode)) return fail(Errc::kBadRequest, EISDIR, "read a key", path);
  if (!S_ISREG(st.st_mode)) return ok();
  if ((st.st_mode & 077) != 0) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("read a key that others can read (mode {:04o}): chmod 600 it, and if "
                            "others may have seen it, replace it: amberfs key rotate",
                            st.st_mode & 07777),
                path);
  }
  if (st.st_uid != ::geteuid() && st.st_uid != 0) {
    return fail(Errc::kBadRequest, 0, "read a key that belongs to somebody else: chown it", path);
  }
  return ok();
}

// All that fits: `target` is shrunk to it.
Status read_whole(int fd, SecretBytes& target, const std::string& path) {
  std::size_t done = 0;
  while (done < target.size()) {
    const ssize_t n = ::read(fd, target.data() + done, target.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::kBadRequest, errno, "read a key", path);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  target.shrink(done);
  return ok();
}

Result<SecretBytes> read_private_file(const std::string& path, std::size_t size_max) {
  forbid_core_files();
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return fail(Errc::kBadRequest, errno, "read a key", path);
  TRY(check_private(file.get(), path));
  TRY_ASSIGN(SecretBytes bytes, SecretBytes::zeros(size_max));
  TRY(read_whole(file.get(), bytes, path));
  return bytes;
}

Result<StoreSecret> read_key_file(const std::string& path) {
  TRY_ASSIGN(SecretBytes bytes, read_private_file(path, StoreSecret::kKeyFileSizeMax));
  if (bytes.size() < StoreSecret::kKeyFileSizeMin) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("read a key file of {} bytes: {} random ones at least (head -c 32 "
                            "/dev/urandom); is it a passphrase? then --passphrase-file",
                            bytes.size(), StoreSecret::kKeyFileSizeMin),
                path);
  }
  if (bytes.size() == StoreSecret::kKeyFileSizeMax) {  // and nobody knows how much there is behind
    return fail(Errc::kBadRequest, 0, "read a key file: it must be smaller than 64 KiB", path);
  }
  return StoreSecret{SecretKind::kKeyFile, std::move(bytes)};
}

Result<StoreSecret> first_line(SecretBytes bytes, const std::string& path) {
  const std::size_t end = bytes.view().find('\n');
  bytes.shrink(std::min(end, bytes.size()));
  if (bytes.empty() || bytes.size() >= kPassphraseSizeMax) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("read a passphrase: a first line of 1 to {} bytes is expected",
                            kPassphraseSizeMax - 1),
                path);
  }
  return StoreSecret{SecretKind::kPassphrase, std::move(bytes)};
}

// A terminal that does not show what is typed, as long as it lives.
class QuietTerminal {
 public:
  explicit QuietTerminal(int fd) : fd_(fd) {
    quiet_ = ::tcgetattr(fd_, &before_) == 0;
    termios silent = before_;
    // Not to be left behind silent, either.
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    quiet_ = quiet_ && ::tcsetattr(fd_, TCSAFLUSH, &silent) == 0;
  }
  ~QuietTerminal() {
    if (quiet_) (void)::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;
  [[nodiscard]] bool is_quiet() const { return quiet_; }

 private:
  int fd_;
  bool quiet_ = false;
  termios before_{};
};

Result<StoreSecret> ask_once(int terminal, const std::string& question) {
  const std::string text = question + ": ";
  (void)!::write(terminal, text.data(), text.size());
  TRY_ASSIGN(SecretBytes line, SecretBytes::zeros(kPassphraseSizeMax));
  {
    const QuietTerminal quiet(terminal);
    if (!quiet.is_quiet()) {
      return fail(Errc::kKeyMissing, errno, "ask for the passphrase at the terminal");
    }
    ssize_t n = 0;
    do {
      n = ::read(terminal, line.data(), line.size());  // a line, as the terminal gives them
    } while (n < 0 && errno == EINTR);
    line.shrink(n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  (void)!::write(terminal, "\n", 1);
  return first_line(std::move(line), "the terminal");
}

bool has_passphrase(const KeySlots& slots) {
  return std::ranges::any_of(
      slots.slots(), [](const KeySlot& slot) { return slot.kind == SecretKind::kPassphrase; });
}

Result<StoreSecret> secret_for(const KeySlots& slots, const std::string& store) {
  TRY_ASSIGN(std::optional<StoreSecret> secret, read_secret(given_or_usual_key_files()));
  if (secret) return *std::move(secret);
  const bool can_ask = has_passphrase(slots) && ::isatty(STDIN_FILENO) != 0;
  if (!can_ask) return fail(Errc::kKeyMissing, 0, "open an encrypted store", store);
  return ask_passphrase("Passphrase of " + store, false);
}

// What could make an encrypted store pass for a plain one, or another store for this one.
Status check_same_store(const Config& config, bool has_keys, const std::string& store) {
  if (!config.encrypted && has_keys) {
    return fail(Errc::kBadConfig, 0,
                "read setting store.encryption: it is missing, and there are keys", store);
  }
  if (!config.encrypted && !given.empty()) {
    return fail(Errc::kBadRequest, 0,
                "open with a key: this store is not encrypted, so it is not the one of that key",
                store);
  }
  return ok();
}

}  // namespace

void add_key_options(CLI::App& command) {
  const char* group = "Encrypted stores";
  auto* key = command.add_option("--key-file", given.key_file, "a file that is the key");
  auto* passphrase = command.add_option("--passphrase-file", given.passphrase_file,
                                        "a file whose first line is the passphrase");
  key->group(group)->type_name("FILE");
  passphrase->group(group)->type_name("FILE")->excludes(key);
}

const KeyFiles& given_key_files() {
  return given;
}

KeyFiles given_or_usual_key_files() {
  if (!given.empty()) return given;
  KeyFiles usual{.key_file = text_of_variable("AMBERFS_KEY_FILE"), .passphrase_file = {}};
  if (usual.empty()) usual.passphrase_file = text_of_variable("AMBERFS_PASSPHRASE_FILE");
  return usual;
}

Result<std::optional<StoreSecret>> read_secret(const KeyFiles& files) {
  if (!files.key_file.empty()) {
    TRY_ASSIGN(StoreSecret secret, read_key_file(files.key_file));
    return std::optional(std::move(secret));
  }
  if (!files.passphrase_file.empty()) {
    TRY_ASSIGN(SecretBytes bytes, read_private_file(files.passphrase_file, kPassphraseSizeMax));
    TRY_ASSIGN(StoreSecret secret, first_line(std::move(bytes), files.passphrase_file));
    return std::optional(std::move(secret));
  }
  return std::optional<StoreSecret>();
}

Result<StoreSecret> ask_passphrase(const std::string& question, bool twice) {
  forbid_core_files();
  const Descriptor terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (terminal.get() < 0) {
    return fail(Errc::kKeyMissing, errno, "ask for the passphrase at the terminal");
  }
  TRY_ASSIGN(StoreSecret secret, ask_once(terminal.get(), question));
  if (twice) {
    TRY_ASSIGN(const StoreSecret again, ask_once(terminal.get(), "The same again"));
    if (!equal_secretly(secret.bytes.view(), again.bytes.view())) {
      return fail(Errc::kBadRequest, 0, "ask for the passphrase: the two are not the same");
    }
  }
  return secret;
}

Result<StoreKey> unlock_store(Io& io, const std::string& store) {
  TRY_ASSIGN(const Config config, read_config(io, store));
  TRY_ASSIGN(const bool has_keys, has_key_slots(io, store));
  TRY(check_same_store(config, has_keys, store));
  StoreKey key;
  if (!config.encrypted) return key;
  TRY_ASSIGN(const KeySlots slots, read_key_slots(io, store));
  if (slots.store_id() != config.store_id) {
    return fail(Errc::kKeysDamaged, 0, "read the keys: they are of another store", store);
  }
  TRY_ASSIGN(const StoreSecret secret, secret_for(slots, store));
  Result<KeySlots::Unlocked> unlocked = slots.unlock(secret);
  if (!unlocked) {
    unlocked.error().object = store;
    return fail(std::move(unlocked).error());
  }
  key.data_key = std::move(unlocked->data_key);
  key.slot = unlocked->slot;
  TRY_ASSIGN(key.cipher, StoreCipher::make(key.data_key));
  return key;
}

Result<std::unique_ptr<Engine>> open_store(Io& io, const std::string& store,
                                           const OpenOptions& options) {
  TRY_ASSIGN(StoreKey key, unlock_store(io, store));
  return Engine::open(io, store, std::move(key.cipher), options);
}

}  // namespace amberfs::tools
