// SPDX-License-Identifier: Apache-2.0
#include "fs/engine.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/log.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

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
      return fail(Errc::kStoreExists, ENOTEMPTY, "make a store", path);
    }
  }
  return ok();
}

}  // namespace

Engine::Engine(Io& io, std::string store, Config config, FileLock lock)
    : io_(io), store_(std::move(store)), config_(std::move(config)), lock_(std::move(lock)) {}

Engine::~Engine() {
  if (auto closed = close(); !closed) {
    log_error("close the store: {}", closed.error().to_string());
  }
}

Status Engine::create(Io& io, const std::string& store, const std::string& config_text) {
  const std::string config_path = store + "/config.toml";
  TRY_ASSIGN(Config config, parse_config(config_text, config_path));
  TRY(io.make_directory(store));
  TRY(require_empty_directory(io, store));
  TRY_ASSIGN(FileLock lock, FileLock::acquire(store + "/lock"));
  TRY(io.make_directory(store + "/journal"));
  TRY(io.make_directory(store + "/snapshots"));
  TRY(BlockStore::create(io, store, config.blocks));
  TRY_ASSIGN(auto blocks, BlockStore::open(io, store, config.blocks));
  Head head;
  TRY_ASSIGN(head.root, make_empty_tree(*blocks));
  head.totals.inode_count = 1;
  head.commit_time_ns = now_ns();
  TRY(blocks->publish(encode_store_head(head)));
  TRY(blocks->close());
  // Last: a directory without config.toml is no store, so a half-made one is never taken for one.
  return io.replace_file(config_path, config_text);
}

Result<std::unique_ptr<Engine>> Engine::open(Io& io, const std::string& store) {
  TRY_ASSIGN(Config config, read_config(io, store));
  TRY_ASSIGN(FileLock lock, FileLock::acquire(store + "/lock"));
  std::unique_ptr<Engine> engine(new Engine(io, store, std::move(config), std::move(lock)));
  if (auto recovered = engine->recover(); !recovered) {
    engine->closed_ = true;  // nothing was opened far enough to need a commit
    return fail(std::move(recovered).error());
  }
  return engine;
}

Status Engine::recover() {
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
  TRY_ASSIGN(catalog_, Catalog::open(io_, store_ + "/snapshots"));
  live_ = std::make_unique<LiveMap>(*blocks_, head.root, head.totals, head.next_ino);
  TRY_ASSIGN(journal_, Journal::open(io_, store_ + "/journal", config_.journal, head.journal,
                                     [this](const Batch& batch, const Appended&) {
                                       live_->replay(batch);
                                       applied_requests_.replayed(batch);
                                       return ok();
                                     }));
  applied_requests_.ready();
  live_->attach_journal(*journal_);
  filesystem_ = std::make_unique<FileSystem>(*live_, *blocks_, *journal_);
  return ok();
}

void Engine::start_background() {
  background_ = std::thread([this] { background_loop(); });
  journal_sync_ = std::thread([this] { journal_sync_loop(); });
}

Status Engine::begin_mount(RequestMarks& marks) {
  live_->set_marks(&marks);
  applied_requests_.forget();
  Batch marker(OpKind::kMount);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  marker.set_time_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  TRY(journal_->append(marker));
  return ok();
}

void Engine::take_over_mount(RequestMarks& marks) {
  live_->set_marks(&marks);
}

void Engine::stop_background() {
  {
    MutexLock lock(background_mu_);
    stopping_ = true;
    background_wake_.notify_all();
  }
  if (background_.joinable()) background_.join();
  if (journal_sync_.joinable()) journal_sync_.join();
}

// Every step is tried even when one before it failed: a failed commit still leaves the journal.
Status Engine::close_parts(Status before) {
  Status journal_closed = journal_->close();
  Status blocks_closed = blocks_->close();
  TRY(std::move(before));
  TRY(std::move(journal_closed));
  return blocks_closed;
}

Status Engine::close() {
  if (std::exchange(closed_, true)) return ok();
  stop_background();
  return close_parts(live_->dirty() ? commit() : ok());
}

Status Engine::close_for_successor() {
  if (std::exchange(closed_, true)) return ok();
  stop_background();
  return close_parts(ok());
}

Head Engine::head() {
  MutexLock lock(head_mu_);
  return head_;
}

SnapshotView Engine::view_of(const Manifest& manifest) {
  return {manifest, std::make_shared<const View>(std::vector<std::shared_ptr<const Overlay>>{},
                                                 Tree(*blocks_, manifest.root))};
}

Status Engine::set_adopted_directory(const std::string& directory) {
  MutexLock lock(commit_mu_);
  Head next = head();
  next.adopted_directory = directory;
  return publish_head(next);
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

// One thread commits and takes the scheduled snapshots. It looks every kPollInterval whether there
// is something to do, so that writers need not wake it.
void Engine::background_loop() {
  using Clock = std::chrono::steady_clock;
  constexpr auto kPollInterval = std::chrono::milliseconds(250);
  constexpr auto kRetryAfterFailure = std::chrono::seconds(5);
  auto last_commit = Clock::now();
  auto last_snapshot = Clock::now();
  std::uint64_t committed_bytes = journal_->appended_bytes();
  auto not_before = Clock::now();
  while (true) {
    {
      MutexLock lock(background_mu_);
      if (!stopping_) background_wake_.wait_for(background_mu_, kPollInterval);
      if (stopping_) return;
    }
    const auto now = Clock::now();
    if (now < not_before) continue;
    const std::uint64_t appended = journal_->appended_bytes();
    const bool snapshot_due = config_.snapshot_every_s > 0 &&
                              now - last_snapshot >= std::chrono::seconds(config_.snapshot_every_s);
    const bool commit_due = appended - committed_bytes >= config_.commit_journal_bytes ||
                            (config_.commit_every_s > 0 && live_->dirty() &&
                             now - last_commit >= std::chrono::seconds(config_.commit_every_s));
    if (!snapshot_due && !commit_due) continue;
    Status done = ok();
    if (snapshot_due) {
      last_snapshot = now;
      SnapshotRequest request{
          .name = {}, .reason = {}, .kind = "scheduled", .skip_if_unchanged = true};
      if (auto taken = snapshot(request); !taken) done = fail(std::move(taken).error());
    } else {
      done = commit();
    }
    note_result(snapshot_due ? "take the scheduled snapshot" : "commit", done);
    if (!done) not_before = Clock::now() + kRetryAfterFailure;
    last_commit = Clock::now();
    committed_bytes = appended;
  }
}

// Bounds what a loss of power can take from programs that never fsync.
void Engine::journal_sync_loop() {
  while (true) {
    {
      MutexLock lock(background_mu_);
      if (!stopping_) {
        background_wake_.wait_for(background_mu_,
                                  std::chrono::milliseconds(config_.journal_sync_ms));
      }
      if (stopping_) return;
    }
    if (live_->last_seq() > journal_->durable_seq()) {
      if (auto synced = live_->sync(); !synced) note_result("sync the journal", synced);
    }
  }
}

}  // namespace amberfs
