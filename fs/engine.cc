// SPDX-License-Identifier: Apache-2.0
#include "fs/engine.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"
#include "blockstore/index.h"
#include "fs/segment.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace amberfs {
namespace {

// A new file system: an empty root directory that belongs to whoever makes the store.
Result<BlockId> make_empty_tree(Blocks& blocks) {
  InodeRecord root;
  root.mode = S_IFDIR | 0755;
  root.uid = ::geteuid();
  root.gid = ::getegid();
  root.nlink = 2;
  const std::int64_t now = now_ns();
  root.btime = {now / 1'000'000'000, static_cast<std::uint32_t>(now % 1'000'000'000)};
  root.atime = root.mtime = root.ctime = root.btime;
  const Change change{inode_key(kRootIno), encode(root)};
  TRY_ASSIGN(Tree tree, Tree(blocks, BlockId{}).apply(std::span(&change, 1)));
  return tree.root();
}

Status require_empty_directory(Io& io, const std::string& path) {
  TRY_ASSIGN(bool is_store, io.exists(path + "/config.toml"));
  if (is_store) return fail(Errc::kStoreExists, 0, "make a store", path);
  TRY_ASSIGN(auto entries, io.list(path));
  for (const auto& entry : entries) {
    if (entry.name != "lost+found") {
      return fail(Errc::kStoreExists, ENOTEMPTY,
                  entry.name == "journal" || entry.name == "packs"
                      ? "make a store: there is an init that was cut short, which may be removed, "
                        "or a store that has lost its config.toml, which must not"
                      : "make a store",
                  path);
    }
  }
  return ok();
}

// The number of the segment with which the journal will begin: behind those of the spares.
Result<std::uint64_t> write_first_spares(Io& io, const std::string& store, Config config,
                                         std::uint32_t wanted) {
  constexpr std::uint64_t kFirst = 1;
  if (wanted == 0) return kFirst;
  TRY_ASSIGN(const DiskSpace disk, io.disk_space(store));
  fit_to_disk(config, disk.total_bytes);
  const std::uint32_t count = std::min(wanted, config.journal.spare_segments_max / 2);
  TRY_ASSIGN(const std::uint32_t made, write_spares(io, store + "/journal", kFirst, count,
                                                    config.journal.segment_size_bytes));
  return kFirst + made;
}

Status check_cipher(const Config& config, bool has_cipher, const std::string& store) {
  if (config.encrypted == has_cipher) return ok();
  if (config.encrypted) return fail(Errc::kKeyMissing, 0, "open an encrypted store", store);
  return fail(Errc::kBadRequest, 0,
              "open with a key: this store is not encrypted, so it is not the one of that key",
              store);
}

}  // namespace

Engine::Engine(Io& io, std::string store, Config config, FileLock lock,
               std::shared_ptr<const StoreCipher> cipher)
    : io_(io),
      store_(std::move(store)),
      config_(std::move(config)),
      lock_(std::move(lock)),
      cipher_(std::move(cipher)) {}

Engine::~Engine() {
  if (auto closed = close(); !closed) {
    log_error("close the store: {}", closed.error().to_string());
  }
}

Status Engine::create(Io& io, const std::string& store, const std::string& config_text,
                      std::uint32_t spares, std::optional<NewKeys> keys) {
  const std::string config_path = store + "/config.toml";
  TRY_ASSIGN(Config config, parse_config(config_text, config_path));
  TRY(check_cipher(config, keys && keys->cipher, store));
  if (keys) config.blocks.cipher = keys->cipher;
  TRY(io.make_directory(store));
  TRY(require_empty_directory(io, store));
  TRY_ASSIGN(FileLock lock, FileLock::acquire(store + "/lock"));
  TRY(io.make_directory(store + "/journal"));
  TRY(io.make_directory(store + "/snapshots"));
  TRY(io.make_directory(store + "/notes"));
  // Before the first byte that needs them.
  if (keys) TRY(write_key_slots(io, store, keys->slots));
  TRY(BlockStore::create(io, store, config.blocks));
  TRY_ASSIGN(auto blocks, BlockStore::open(io, store, config.blocks));
  Head head;
  TRY_ASSIGN(head.journal.segment, write_first_spares(io, store, config, spares));
  TRY_ASSIGN(head.root, make_empty_tree(*blocks));
  head.totals.inode_count = 1;
  head.commit_time_ns = now_ns();
  TRY(blocks->publish(encode_store_head(head)));
  TRY(blocks->close());
  TRY(Chain::create(io, store, config.blocks.cipher));
  // Last: a directory without config.toml is no store, so a half-made one is never taken for one.
  TRY(io.replace_file(config_path, config_text));
  // Its own name must last as well.
  return io.sync_directory(store + "/..");
}

Result<std::unique_ptr<Engine>> Engine::open(Io& io, const std::string& store,
                                             std::shared_ptr<const StoreCipher> cipher,
                                             const OpenOptions& options) {
  TRY_ASSIGN(Config config, read_config(io, store));
  TRY(check_cipher(config, cipher != nullptr, store));
  config.blocks.cipher = cipher;
  if (cipher) config.chunker.gear = keyed_gear(cipher->chunker_key());
  TRY_ASSIGN(FileLock lock, FileLock::acquire(store + "/lock"));
  TRY_ASSIGN(const DiskSpace disk, io.disk_space(store));
  fit_to_disk(config, disk.total_bytes);
  std::unique_ptr<Engine> engine(
      new Engine(io, store, std::move(config), std::move(lock), std::move(cipher)));
  if (auto recovered = engine->recover(options); !recovered) {
    engine->closed_ = true;  // nothing was opened far enough to need a commit
    return fail(std::move(recovered).error());
  }
  // Nor is what was only looked at committed.
  engine->closed_ = engine->only_looked_at_;
  return engine;
}

Status Engine::recover(const OpenOptions& options) {
  only_looked_at_ = options.on_journal_damage == JournalOptions::OnDamage::kOnlyLook;
  space_ =
      std::make_unique<Space>(io_, store_,
                              SpaceOptions{.reserve_bytes = config_.reserve_bytes,
                                           .segment_bytes = config_.journal.segment_size_bytes},
                              [this] { return pending_bytes(); });
  TRY(space_->open());
  TRY_ASSIGN(blocks_, BlockStore::open(io_, store_, config_.blocks));
  TRY_ASSIGN(Bytes head_bytes, blocks_->head());
  if (head_bytes.empty()) {
    return fail(Errc::kIndexDamaged, 0, "open the store: the index has no head", store_);
  }
  TRY_ASSIGN(Head head, decode_store_head(head_bytes));
  {
    MutexLock lock(head_mu_);
    head_ = head;
  }
  TRY_ASSIGN(catalog_, Catalog::open(io_, store_ + "/snapshots", cipher_));
  TRY(check_age_of_index());
  TRY(open_chain());
  live_ = std::make_unique<LiveMap>(*blocks_, head.root, head.totals, head.next_ino);
  JournalOptions journal_options = config_.journal;
  journal_options.packing.cipher = cipher_;
  journal_options.make_room = [this] { return space_->spend(); };
  journal_options.on_damage = options.on_journal_damage;
  journal_options.set_aside = options.set_aside;
  TRY_ASSIGN(journal_, Journal::open(io_, store_ + "/journal", journal_options, head.journal,
                                     [this](const Batch& batch, const Appended&) {
                                       live_->replay(batch);
                                       applied_requests_.replayed(batch);
                                       return ok();
                                     }));
  applied_requests_.ready();
  live_->attach_journal(*journal_);
  filesystem_ = std::make_unique<FileSystem>(*live_, *blocks_, *journal_);
  filesystem_->set_space(*space_);
  tampering_ = std::make_unique<Tampering>(*live_, filesystem_->data(), config_.audit);
  filesystem_->set_tampering(*tampering_);
  filesystem_->set_packing(journal_options.packing);
  audit_ = Audit::open({io_, *live_, *filesystem_, *tampering_}, store_,
                       cipher_ ? &cipher_->heads() : nullptr);
  filesystem_->set_hold_back([this] { hold_back(); });
  if (!only_looked_at_) note_journal_loss();
  return ok();
}

// An index that somebody put back from an older copy: the next commit would write over the
// snapshots that it does not know. A crash leaves no such thing: a snapshot is published before its
// manifest is written.
Status Engine::check_age_of_index() {
  if (!blocks_->has_bytes_unknown_to_index()) return ok();
  TRY_ASSIGN(const Catalog::Inspection inspection, catalog_->inspect());
  for (const Manifest& manifest : inspection.good) {
    TRY_ASSIGN(const bool known, blocks_->contains(manifest.root));
    if (known) continue;
    return fail(Errc::kIndexDamaged, 0,
                "open the store: the index is older than the snapshot of " +
                    format_time(manifest.time_ns) + ", which is in the packs",
                store_ + "/" + std::string(kIndexFile));
  }
  return ok();
}

// In the audit log, if it was this open that found it.
void Engine::note_journal_loss() {
  const auto loss = journal_->loss();
  if (!loss || loss->why.empty()) return;
  audit_->note("journal_loss", {{"first", loss->first_seq},
                                {"last", loss->last_seq},
                                {"durable_ns", loss->durable_ns},
                                {"why", loss->why},
                                {"kept_in", loss->kept_in}});
}

Status Engine::begin_mount(RequestMarks& marks) {
  live_->set_marks(&marks);
  applied_requests_.forget();
  Batch marker(OpKind::kMount);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  marker.set_time_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  TRY(journal_->append(marker));
  mounted_ = true;
  audit_->note("mount", {{"config", config_.text_hash}});
  return ok();
}

void Engine::take_over_mount(RequestMarks& marks) {
  live_->set_marks(&marks);
  mounted_ = true;
  audit_->note("server_restarted", nlohmann::json::object());
}

Status Engine::close() {
  if (std::exchange(closed_, true)) return ok();
  stop_collecting();
  {
    MutexLock lock(background_mu_);
    stopping_ = true;
    background_wake_.notify_all();
    commit_ended_.notify_all();
  }
  if (background_.joinable()) background_.join();
  if (journal_sync_.joinable()) journal_sync_.join();
  if (collector_.joinable()) collector_.join();
  if (scrubber_.joinable()) scrubber_.join();
  if (mounted_) {
    audit_->note("umount", nlohmann::json::object());
  } else {
    audit_->tick(false);
  }
  // Every step is tried even when one before it failed: a failed commit still leaves the journal.
  Status committed = live_->dirty() ? commit() : ok();
  if (!committed && committed.error().code == Errc::kNoSpace) {
    // Nothing is lost: the next one who opens the store finds it in the journal.
    log_warning("the last changes stay in the journal: {}", committed.error().to_string());
    committed = ok();
  }
  Status journal_closed = journal_->close();
  Status blocks_closed = blocks_->close();
  TRY(std::move(committed));
  TRY(std::move(journal_closed));
  return blocks_closed;
}

Head Engine::head() {
  MutexLock lock(head_mu_);
  return head_;
}

SnapshotView Engine::view_of(const Manifest& manifest) {
  struct PinnedView {
    std::shared_ptr<const void> pin;
    View view;
  };
  const std::vector<std::shared_ptr<const Overlay>> no_overlays;
  auto pinned = std::make_shared<const PinnedView>(
      RootPins::pin(root_pins_, manifest.root), View(no_overlays, Tree(*blocks_, manifest.root)));
  const View* view = &pinned->view;
  return {manifest, {std::move(pinned), view}};
}

Status Engine::set_adopted_directory(const std::string& directory) {
  MutexLock lock(commit_mu_);
  Head next = head();
  next.adopted_directory = directory;
  return publish_head_only(next);
}

Engine::Health Engine::health() {
  MutexLock lock(background_mu_);
  return health_;
}

void Engine::note_result(const char* what, const Status& status) {
  std::string text =
      status ? std::string() : fmt::format("{}: {}", what, status.error().to_string());
  MutexLock lock(background_mu_);
  if (text == health_.last_error) return;
  if (!text.empty()) {
    log_error("{}", text);
  } else {
    log_info("{}: going on, after: {}", what, health_.last_error);
  }
  health_.last_error = std::move(text);
}

}  // namespace amberfs
