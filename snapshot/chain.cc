// SPDX-License-Identifier: Apache-2.0
#include "snapshot/chain.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"

#include <fmt/format.h>

namespace amberfs {
namespace {

constexpr std::uint64_t kPublicKeySizeMax = 4 * kKiB;

std::string in_store(const std::string& store, std::string_view name) {
  return store + "/" + std::string(name);
}

SigningState without_secrets(const std::optional<SigningSlots::Both>& slots) {
  SigningState view{.file_is_there = slots.has_value(), .slots = {}};
  if (!slots) return view;
  for (const auto& slot : *slots) {
    if (slot) view.slots.push_back({slot->number, slot->previous, slot->key.public_key()});
  }
  return view;
}

}  // namespace

std::string why_no_key(const SigningState& slots, const ChainEnd& end) {
  if (!slots.file_is_there) {
    return "signing.key is gone: it was removed, perhaps together with the newest snapshots";
  }
  const std::uint64_t next = end.length + 1;
  std::uint64_t newest = 0;
  for (const SigningState::Slot& slot : slots.slots) {
    if (slot.number == next && slot.previous == end.hash && slot.key == end.next_key) return {};
    newest = std::max(newest, slot.number);
  }
  if (newest == 0) return "signing.key holds no key: it was damaged or overwritten";
  if (newest > next) {
    return fmt::format(
        "signing.key is for link {}, but the chain has only {}: its newest links "
        "were removed",
        newest, end.length);
  }
  if (newest < next) {
    return fmt::format(
        "signing.key is for link {}, but the chain has {} already: it was put back "
        "from an older copy",
        newest, end.length);
  }
  return "signing.key is not the key that the newest link names: one of the two was replaced";
}

Chain::Chain(Io& io, std::string store, Cipher cipher)
    : io_(io),
      store_(std::move(store)),
      cipher_(std::move(cipher)),
      slots_(io, in_store(store_, kSigningKeyFileName), cipher_) {}

Status Chain::create(Io& io, const std::string& store, Cipher cipher) {
  TRY_ASSIGN(SigningKey key, SigningKey::generate());
  const PublicKey first = key.public_key();
  SigningSlots slots(io, in_store(store, kSigningKeyFileName), std::move(cipher));
  TRY(slots.create({.number = 1, .previous = genesis_hash(first), .key = std::move(key)}));
  TRY(io.replace_file(in_store(store, kPublicKeyFileName), to_text(first) + "\n"));
  // Last: what has no chain yet takes no snapshots for it.
  return ChainFile::create(io, in_store(store, kChainFileName), first);
}

Result<std::unique_ptr<Chain>> Chain::open(Io& io, const std::string& store, Cipher cipher) {
  std::unique_ptr<Chain> chain(new Chain(io, store, std::move(cipher)));
  MutexLock lock(chain->mu_);
  TRY(chain->load());
  return chain;
}

Status Chain::begin() {
  MutexLock lock(mu_);
  const std::string path = in_store(store_, kChainFileName);
  TRY_ASSIGN(const bool has_file, io_.exists(path));
  if (has_file) {
    TRY(io_.rename(path, fmt::format("{}.before-{}", path, now_ns())));
    TRY(io_.sync_directory(store_));
  }
  file_.reset();
  key_.reset();
  pending_.reset();
  TRY(create(io_, store_, cipher_));
  cut_.clear();
  warning_.clear();
  key_file_problem_.clear();
  TRY(load());
  find_key();
  return ok();
}

Status Chain::load() {
  const std::string path = in_store(store_, kChainFileName);
  const std::string key_path = in_store(store_, kPublicKeyFileName);
  TRY_ASSIGN(const bool has_file, io_.exists(path));
  TRY_ASSIGN(const bool has_key, io_.exists(key_path));
  sealed_ = has_file || has_key;
  if (has_key) {
    auto text = io_.read_file(key_path, kPublicKeySizeMax);
    if (text) first_key_ = parse_public_key(*text);
  }
  if (!sealed_) return ok();
  if (!has_file) {
    cut_ = "STORE/chain is gone";
    return ok();
  }
  auto file = ChainFile::open(io_, path);
  if (file) {
    if (first_key_ != file->first_key()) {
      key_file_problem_ = "it does not hold the verification key of the chain: use no key from it";
    }
    first_key_ = file->first_key();
    file_.emplace(*std::move(file));
  } else if (file.error().code == Errc::kNewerFormat) {
    return fail(std::move(file).error());
  } else {
    cut_ = file.error().to_string();
  }
  return ok();
}

bool Chain::is_sealed() {
  MutexLock lock(mu_);
  return sealed_;
}

ChainEnd Chain::end() {
  MutexLock lock(mu_);
  return file_ ? file_->end() : ChainEnd{};
}

std::optional<PublicKey> Chain::first_key() {
  MutexLock lock(mu_);
  return first_key_;
}

std::string Chain::problem() {
  MutexLock lock(mu_);
  if (!cut_.empty()) return "the chain of snapshots cannot go on, new ones stay unsigned: " + cut_;
  if (warning_.empty() && !key_file_problem_.empty()) return "signing.pub: " + key_file_problem_;
  return warning_;
}

std::string Chain::key_file_problem() {
  MutexLock lock(mu_);
  return key_file_problem_;
}

// A link counts once its document is durable. Its record is the second copy: when it cannot be
// written now, it is with the next one.
void Chain::add_record(const Link& link) {
  const Status appended = file_->append(link);
  warning_ = appended
                 ? std::string()
                 : "the newest link is not in STORE/chain yet: " + appended.error().to_string();
  if (!appended) log_error("{}", warning_);
}

void Chain::catch_up(std::span<const Link> links) {
  MutexLock lock(mu_);
  if (!file_) {
    if (!sealed_ && !links.empty()) {
      sealed_ = true;
      cut_ = "STORE/chain and signing.pub are gone";
    }
    return;
  }
  for (const Link& link : links) {
    const std::string wrong = why_not_next(file_->end(), link);
    if (!wrong.empty()) {
      cut_ = fmt::format("the document with sequence {} has a link that does not fit: {}",
                         link.sequence, wrong);
      return;
    }
    add_record(link);
  }
  find_key();
}

void Chain::find_key() {
  const ChainEnd& end = file_->end();
  auto slots = slots_.read();
  if (!slots) {
    cut_ = slots.error().to_string();
    return;
  }
  cut_ = why_no_key(without_secrets(*slots), end);
  if (!cut_.empty()) return;
  for (auto& slot : **slots) {
    if (slot && slot->number == end.length + 1) key_ = std::move(slot->key);
  }
  const auto& before = (**slots)[end.length % 2];
  if (!before || before->number != end.length) return;
  if (Status destroyed = slots_.destroy(end.length); !destroyed) {
    log_error("overwrite a signing key that was used: {}", destroyed.error().to_string());
  }
}

bool Chain::can_sign() {
  MutexLock lock(mu_);
  return key_.has_value() && cut_.empty();
}

Result<Link> Chain::prepare(const LinkSubject& subject) {
  MutexLock lock(mu_);
  if (!key_ || !file_ || pending_) return fail(Errc::kBroken, 0, "sign a snapshot", store_);
  TRY_ASSIGN(SigningKey next, SigningKey::generate());
  const ChainEnd& end = file_->end();
  Link link{.kind = subject.kind,
            .number = end.length + 1,
            .sequence = subject.sequence,
            .time_ns = subject.time_ns,
            .id = subject.id,
            .previous = end.hash,
            .next_key = next.public_key()};
  sign_link(link, *key_);
  const std::string wrong = why_not_next(end, link);
  if (!wrong.empty()) return fail(Errc::kBadRequest, 0, "sign a snapshot: " + wrong, store_);
  TRY_ASSIGN(SecretBytes secret, SecretBytes::copy_of(next.secret()));
  TRY(slots_.store({.number = link.number + 1,
                    .previous = link_hash(link),
                    .key = SigningKey::from(std::move(secret))}));
  pending_ = Pending{link, std::move(next)};
  return link;
}

bool Chain::is_pending() {
  MutexLock lock(mu_);
  return pending_.has_value();
}

void Chain::confirm() {
  MutexLock lock(mu_);
  if (!pending_) return;
  add_record(pending_->link);
  key_ = std::move(pending_->next);
  const std::uint64_t used = pending_->link.number;
  pending_.reset();
  if (Status destroyed = slots_.destroy(used); !destroyed) {
    // The link after the next one overwrites it.
    warning_ = "the signing key before this one could not be overwritten: " +
               destroyed.error().to_string();
    log_error("{}", warning_);
  }
}

void Chain::give_up() {
  MutexLock lock(mu_);
  pending_.reset();
}

Result<ChainFile::Records> Chain::read_records() {
  MutexLock lock(mu_);
  if (!file_) return ChainFile::Records{};
  return file_->read_all();
}

Result<SigningState> Chain::read_signing_state() {
  MutexLock lock(mu_);
  TRY_ASSIGN(const auto slots, slots_.read());
  return without_secrets(slots);
}

Status Chain::replace_records(const PublicKey& first_key, std::span<const Link> links) {
  MutexLock lock(mu_);
  if (!file_) {
    TRY(ChainFile::create(io_, in_store(store_, kChainFileName), first_key));
    TRY(load());
    if (!file_) return fail(Errc::kCorrupt, 0, "mend the chain: " + cut_, store_);
  }
  TRY(file_->replace(links));
  if (!key_file_problem_.empty()) {
    TRY(io_.replace_file(in_store(store_, kPublicKeyFileName), to_text(first_key) + "\n"));
    key_file_problem_.clear();
  }
  warning_.clear();
  find_key();
  return ok();
}

}  // namespace amberfs
