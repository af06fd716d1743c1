// SPDX-License-Identifier: Apache-2.0
// LMDB read transactions never outlive a call, so that no reader keeps old pages from being reused
// and the map can grow: growing needs a moment without any transaction.
// LMDB trusts its file, and would die of a damaged one. So what is read is read by IndexPages,
// below a read transaction that keeps the pages; and before LMDB changes anything, IndexCheck has
// seen every page that it is going to look at.
#include "blockstore/base/coding.h"
#include "blockstore/base/mutex.h"
#include "blockstore/base/own_file.h"
#include "blockstore/index_check.h"
#include "blockstore/index_format.h"

#include <lmdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

namespace amberfs {
namespace {

constexpr ByteView kVersionKey = "version";
constexpr ByteView kHeadKey = "head";
constexpr ByteView kTotalsKey = "totals";
constexpr unsigned kReadersMax = 1024;  // at the same time; LMDB's 126 are fewer than FUSE threads
constexpr mdb_mode_t kFileMode = 0600;

MDB_val to_val(ByteView bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

ByteView to_view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

struct CloseEnv {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};
struct AbortTxn {
  void operator()(MDB_txn* txn) const { mdb_txn_abort(txn); }
};
using Env = std::unique_ptr<MDB_env, CloseEnv>;
using Txn = std::unique_ptr<MDB_txn, AbortTxn>;

// What a read transaction sees: it keeps the pages.
struct Reading {
  Txn txn;
  IndexRoots roots;
};

struct Table {
  const char* name;
  MDB_dbi handle = 0;
};
struct Tables {
  Table blocks{"blocks"};
  Table packs{"packs"};
  Table meta{"meta"};
};

class LmdbIndex final : public Index {
 public:
  LmdbIndex(std::string path, Env env, std::unique_ptr<IndexPages> pages,
            std::shared_ptr<const StoreCipher> cipher)
      : path_(std::move(path)),
        env_(std::move(env)),
        pages_(std::move(pages)),
        values_(std::move(cipher)) {}

  // `create` makes the tables and the version record.
  Status start(bool create);

  Result<std::optional<BlockLocation>> lookup(const BlockId& id) override;
  Result<std::vector<PackRow>> packs() override;
  Result<HeadRecord> head() override;
  Result<IndexTotals> totals() override;
  Result<std::vector<IndexEntry>> entries_after(const std::optional<BlockId>& after,
                                                std::size_t count) override;
  Status commit(const IndexCommit& change) override;
  Status close() override;

 private:
  std::unexpected<Error> failure(int rc, std::string tried) const;
  std::unexpected<Error> damaged(std::string tried) const {
    return fail(Errc::kIndexDamaged, 0, std::move(tried), path_);
  }
  Result<Txn> begin(unsigned flags) REQUIRES_SHARED(growing_);
  Result<Reading> begin_reading() REQUIRES_SHARED(growing_);
  // As it stands in the file; nullopt: there is none.
  Result<std::optional<Bytes>> read(const Reading& reading, const Table& table, ByteView key);
  Status open_tables(MDB_txn* txn, bool create);
  Status check_version(const Reading& reading);
  Status check_tables(const Reading& reading);
  Status check_for(const IndexCommit& change) REQUIRES_SHARED(growing_);
  Result<Bytes> meta(ByteView key);
  // The value as it was before it was sealed, decoded; nullopt when it does not open, or decode.
  template <class Decode>
  auto decoded(const Table& table, ByteView key, ByteView value, const Decode& decode)
      -> decltype(decode(ByteView{})) {
    Bytes buffer;
    const auto plain = values_.open(table.name, key, value, buffer);
    return plain ? decode(*plain) : std::nullopt;
  }
  template <class Decode>
  auto decoded(const Table& table, const MDB_val& key, const MDB_val& value, const Decode& decode) {
    return decoded(table, to_view(key), to_view(value), decode);
  }

  int try_commit(const IndexCommit& change) REQUIRES_SHARED(growing_);
  int apply(MDB_txn* txn, const IndexCommit& change);
  int apply_entries(MDB_txn* txn, const std::vector<IndexEntry>& entries, IndexTotals& totals);
  int apply_collect(MDB_txn* txn, const IndexCommit& change, IndexTotals& totals);
  int apply_packs(MDB_txn* txn, const IndexCommit& change);
  int read_totals(MDB_txn* txn, IndexTotals& totals);
  // What an older program would not understand makes the index one that it refuses.
  int raise_version(MDB_txn* txn, const IndexCommit& change);
  // Seals the value; put_raw() does not.
  int put(MDB_txn* txn, const Table& table, ByteView key, Bytes value) {
    return put_raw(txn, table, key, values_.seal(table.name, key, std::move(value)));
  }
  int put_raw(MDB_txn* txn, const Table& table, ByteView key, ByteView value);
  int put_version(MDB_txn* txn, std::uint32_t version);
  int grow();

  const std::string path_;
  Env env_;
  const std::unique_ptr<IndexPages> pages_;
  const IndexValues values_;
  Tables tables_;
  SharedMutex growing_;  // exclusive: no transaction is open
};

std::unexpected<Error> LmdbIndex::failure(int rc, std::string tried) const {
  switch (rc) {
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_BAD_DBI:
    case MDB_BAD_VALSIZE:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_TXN:
    case MDB_MAP_RESIZED:
    case MDB_PAGE_FULL:
    case MDB_CURSOR_FULL:
    case MDB_NOTFOUND:
      return damaged(tried + ": " + mdb_strerror(rc));
    case MDB_VERSION_MISMATCH:
      return fail(Errc::kNewerFormat, 0, tried + ": " + mdb_strerror(rc), path_);
    default:
      break;
  }
  if (rc > 0) return fail(errc_for(rc), rc, std::move(tried), path_);
  return fail(Errc::kIo, 0, tried + ": " + mdb_strerror(rc), path_);
}

Result<Txn> LmdbIndex::begin(unsigned flags) {
  MDB_txn* txn = nullptr;
  if (!env_) return fail(Errc::kBroken, 0, "use the index after it was closed", path_);
  TRY(pages_->require_meta_pages());
  if (int rc = mdb_txn_begin(env_.get(), nullptr, flags, &txn); rc != 0) {
    return failure(rc, "begin index transaction");
  }
  return Txn(txn);
}

// The page that says so is written again by the second commit from then on: who is overtaken twice
// looks again.
Result<Reading> LmdbIndex::begin_reading() {
  constexpr int kTries = 4;
  Result<IndexRoots> roots = IndexRoots{};
  for (int tries = 0; tries < kTries; ++tries) {
    TRY_ASSIGN(Txn txn, begin(MDB_RDONLY));
    roots = pages_->roots(mdb_txn_id(txn.get()));
    if (roots) return Reading{std::move(txn), *roots};
  }
  return std::unexpected(std::move(roots).error());
}

Status LmdbIndex::start(bool create) {
  int dead_readers = 0;
  if (int rc = mdb_reader_check(env_.get(), &dead_readers); rc != 0) {
    return failure(rc, "check index readers");
  }
  ReadLock lock(growing_);
  if (!create) {
    TRY_ASSIGN(const Reading reading, begin_reading());
    TRY(check_tables(reading));
    TRY(check_version(reading));
  }
  TRY_ASSIGN(Txn txn, begin(create ? 0 : MDB_RDONLY));
  TRY(open_tables(txn.get(), create));
  if (create) {
    const auto version = values_.encrypted() ? kIndexVersionEncrypted : kIndexVersionPlain;
    if (int rc = put_version(txn.get(), version); rc != 0) {
      return failure(rc, "write index version");
    }
  }
  // Also a read transaction must commit for its table handles to stay open.
  if (int rc = mdb_txn_commit(txn.release()); rc != 0) return failure(rc, "open index tables");
  return ok();
}

// What LMDB looks at when tables are opened.
Status LmdbIndex::check_tables(const Reading& reading) {
  TRY(IndexCheck(*pages_, reading.roots).environment());
  for (const Table* table : {&tables_.blocks, &tables_.packs, &tables_.meta}) {
    TRY(pages_->table(reading.roots, table->name));
  }
  return ok();
}

Status LmdbIndex::check_for(const IndexCommit& change) {
  pages_->forget();
  TRY_ASSIGN(const Reading reading, begin_reading());
  IndexCheck check(*pages_, reading.roots);
  TRY(check.environment());
  for (const Table* table : {&tables_.packs, &tables_.meta}) {
    TRY_ASSIGN(const IndexTree tree, pages_->table(reading.roots, table->name));
    TRY(check.whole(tree));
  }
  TRY_ASSIGN(const IndexTree blocks, pages_->table(reading.roots, tables_.blocks.name));
  // Pages that get empty are merged with their neighbours, and those with theirs.
  if (!change.dropped.empty()) return check.whole(blocks);
  std::vector<ByteView> keys;
  keys.reserve(change.entries.size() + change.moves.size());
  for (const IndexEntry& entry : change.entries) keys.push_back(entry.id.view());
  for (const IndexMove& move : change.moves) keys.push_back(move.id.view());
  std::ranges::sort(keys);
  return check.ways_to(blocks, keys);
}

Status LmdbIndex::open_tables(MDB_txn* txn, bool create) {
  const unsigned flags = create ? MDB_CREATE : 0;
  for (Table* table : {&tables_.blocks, &tables_.packs, &tables_.meta}) {
    if (int rc = mdb_dbi_open(txn, table->name, flags, &table->handle); rc != 0) {
      return failure(rc, std::string("open index table ") + table->name);
    }
  }
  return ok();
}

Result<std::optional<Bytes>> LmdbIndex::read(const Reading& reading, const Table& table,
                                             ByteView key) {
  TRY_ASSIGN(const IndexTree tree, pages_->table(reading.roots, table.name));
  return pages_->find(reading.roots, tree, key);
}

// The version is never sealed: it says whether the rest is.
Status LmdbIndex::check_version(const Reading& reading) {
  TRY_ASSIGN(const std::optional<Bytes> raw, read(reading, tables_.meta, kVersionKey));
  if (!raw || raw->size() != sizeof kIndexVersion) return damaged("read index version");
  const auto version = load_le<std::uint32_t>(raw->data());
  if (version > kIndexVersion) {
    return fail(Errc::kNewerFormat, 0, "open index of version " + std::to_string(version), path_);
  }
  if (version < kIndexVersionPlain) return damaged("read index version");
  const bool encrypted = version == kIndexVersionEncrypted;
  if (encrypted == values_.encrypted()) return ok();
  if (encrypted) return fail(Errc::kKeyMissing, 0, "open index: it is encrypted", path_);
  return fail(Errc::kBadRequest, 0, "open index: a key was given, and it is not encrypted", path_);
}

// Empty when there is no such record.
Result<Bytes> LmdbIndex::meta(ByteView key) {
  ReadLock lock(growing_);
  TRY_ASSIGN(const Reading reading, begin_reading());
  TRY_ASSIGN(const std::optional<Bytes> raw, read(reading, tables_.meta, key));
  if (!raw) return Bytes{};
  auto value =
      decoded(tables_.meta, key, *raw, [](ByteView plain) { return std::optional(Bytes(plain)); });
  if (!value) return damaged("read index: " + Bytes(key) + " is not what was encrypted");
  return *std::move(value);
}

Result<std::optional<BlockLocation>> LmdbIndex::lookup(const BlockId& id) {
  ReadLock lock(growing_);
  TRY_ASSIGN(const Reading reading, begin_reading());
  TRY_ASSIGN(const std::optional<Bytes> raw, read(reading, tables_.blocks, id.view()));
  if (!raw) return std::optional<BlockLocation>{};
  auto location = decoded(tables_.blocks, id.view(), *raw, decode_location);
  if (!location) return damaged("look up block " + id.to_hex());
  return location;
}

Result<std::vector<PackRow>> LmdbIndex::packs() {
  ReadLock lock(growing_);
  TRY_ASSIGN(const Reading reading, begin_reading());
  TRY_ASSIGN(const IndexTree tree, pages_->table(reading.roots, tables_.packs.name));
  std::vector<PackRow> rows;
  bool sound = true;
  TRY(pages_->visit(reading.roots, tree, {}, [&](ByteView key, ByteView value) {
    const auto row =
        decoded(tables_.packs, key, value, [&](ByteView raw) { return decode_pack_row(key, raw); });
    if (row) rows.push_back(*row);
    sound = row.has_value();
    return sound;
  }));
  if (!sound) return damaged("list packs");
  return rows;
}

Result<HeadRecord> LmdbIndex::head() {
  TRY_ASSIGN(const Bytes raw, meta(kHeadKey));
  if (raw.empty()) return HeadRecord{};
  auto record = decode_head(raw);
  if (!record) return damaged("read head");
  return record;
}

Result<IndexTotals> LmdbIndex::totals() {
  TRY_ASSIGN(const Bytes raw, meta(kTotalsKey));
  if (raw.empty()) return IndexTotals{};
  auto totals = decode_totals(raw);
  if (!totals) return damaged("read totals");
  return *totals;
}

Result<std::vector<IndexEntry>> LmdbIndex::entries_after(const std::optional<BlockId>& after,
                                                         std::size_t count) {
  std::vector<IndexEntry> entries;
  if (count == 0) return entries;
  ReadLock lock(growing_);
  TRY_ASSIGN(const Reading reading, begin_reading());
  TRY_ASSIGN(const IndexTree tree, pages_->table(reading.roots, tables_.blocks.name));
  bool sound = true;
  const ByteView from = after ? after->view() : ByteView{};
  TRY(pages_->visit(reading.roots, tree, from, [&](ByteView key, ByteView value) {
    if (after && key == from) return true;
    const auto location = decoded(tables_.blocks, key, value, decode_location);
    sound = key.size() == BlockId::kSize && location;
    if (sound) entries.push_back({BlockId::from(key), *location});
    return sound && entries.size() < count;
  }));
  if (!sound) return damaged("list blocks");
  return entries;
}

int LmdbIndex::put_raw(MDB_txn* txn, const Table& table, ByteView key, ByteView value) {
  MDB_val k = to_val(key);
  MDB_val v = to_val(value);
  return mdb_put(txn, table.handle, &k, &v, 0);
}

int LmdbIndex::put_version(MDB_txn* txn, std::uint32_t version) {
  Encoder raw;
  raw.u32(version);
  return put_raw(txn, tables_.meta, kVersionKey, raw.view());
}

void count_in(IndexTotals& totals, const BlockLocation& location) {
  ++totals.block_count;
  auto& bytes =
      location.kind == BlockKind::kNode ? totals.node_plain_bytes : totals.data_plain_bytes;
  bytes += location.plain_size;
}

void count_out(IndexTotals& totals, const BlockLocation& location) {
  --totals.block_count;
  auto& bytes =
      location.kind == BlockKind::kNode ? totals.node_plain_bytes : totals.data_plain_bytes;
  bytes -= location.plain_size;
}

int LmdbIndex::read_totals(MDB_txn* txn, IndexTotals& totals) {
  MDB_val key = to_val(kTotalsKey);
  MDB_val value{};
  const int found = mdb_get(txn, tables_.meta.handle, &key, &value);
  if (found != 0 && found != MDB_NOTFOUND) return found;
  if (found == 0) {
    totals = decoded(tables_.meta, key, value, decode_totals).value_or(IndexTotals{});
  }
  return 0;
}

int LmdbIndex::apply_entries(MDB_txn* txn, const std::vector<IndexEntry>& entries,
                             IndexTotals& totals) {
  // In order of id: neighbours share pages, so that fewer of them are touched twice.
  std::vector<const IndexEntry*> sorted;
  sorted.reserve(entries.size());
  for (const IndexEntry& entry : entries) sorted.push_back(&entry);
  std::ranges::sort(sorted, {}, [](const IndexEntry* entry) { return entry->id; });
  for (const IndexEntry* entry : sorted) {
    const Bytes sealed =
        values_.seal(tables_.blocks.name, entry->id.view(), encode_location(entry->location));
    MDB_val key = to_val(entry->id.view());
    MDB_val value = to_val(sealed);
    int rc = mdb_put(txn, tables_.blocks.handle, &key, &value, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST) {
      const auto moved = decoded(tables_.blocks, key, value, decode_location);
      if (moved) count_out(totals, *moved);
      rc = put_raw(txn, tables_.blocks, entry->id.view(), sealed);
    }
    if (rc != 0) return rc;
    count_in(totals, entry->location);
  }
  return 0;
}

// A block may have been stored anew since it was looked at: then it stays where it is now.
int LmdbIndex::apply_collect(MDB_txn* txn, const IndexCommit& change, IndexTotals& totals) {
  for (const IndexMove& move : change.moves) {
    MDB_val key = to_val(move.id.view());
    MDB_val value{};
    const int rc = mdb_get(txn, tables_.blocks.handle, &key, &value);
    if (rc == MDB_NOTFOUND) continue;
    if (rc != 0) return rc;
    if (decoded(tables_.blocks, key, value, decode_location) != move.from) continue;
    const int moved = put(txn, tables_.blocks, move.id.view(), encode_location(move.to));
    if (moved != 0) return moved;
  }
  std::set<PackNumber> gone;
  for (const PackRow& row : change.packs) {
    if (row.gone) gone.insert(row.number);
  }
  for (const BlockId& id : change.dropped) {
    MDB_val key = to_val(id.view());
    MDB_val value{};
    int rc = mdb_get(txn, tables_.blocks.handle, &key, &value);
    if (rc == MDB_NOTFOUND) continue;
    if (rc != 0) return rc;
    const auto location = decoded(tables_.blocks, key, value, decode_location);
    if (!location || !gone.contains(location->pack)) continue;
    rc = mdb_del(txn, tables_.blocks.handle, &key, nullptr);
    if (rc != 0) return rc;
    count_out(totals, *location);
  }
  return 0;
}

int LmdbIndex::raise_version(MDB_txn* txn, const IndexCommit& change) {
  if (values_.encrypted()) return 0;  // as new as can be
  const bool groups = std::ranges::any_of(
      change.entries, [](const IndexEntry& entry) { return entry.location.in_group(); });
  const bool marked = std::ranges::any_of(
      change.packs, [](const PackRow& row) { return row.gone || row.leftovers; });
  if (!groups && !marked && change.moves.empty()) return 0;
  return put_version(txn, kIndexVersionGroups);
}

int LmdbIndex::apply(MDB_txn* txn, const IndexCommit& change) {
  if (int rc = raise_version(txn, change); rc != 0) return rc;
  if (!change.entries.empty() || !change.moves.empty() || !change.dropped.empty()) {
    IndexTotals totals;
    if (int rc = read_totals(txn, totals); rc != 0) return rc;
    if (int rc = apply_entries(txn, change.entries, totals); rc != 0) return rc;
    if (int rc = apply_collect(txn, change, totals); rc != 0) return rc;
    if (int rc = put(txn, tables_.meta, kTotalsKey, encode_totals(totals)); rc != 0) return rc;
  }
  if (int rc = apply_packs(txn, change); rc != 0) return rc;
  if (!change.head) return 0;
  return put(txn, tables_.meta, kHeadKey, encode_head(*change.head));
}

int LmdbIndex::apply_packs(MDB_txn* txn, const IndexCommit& change) {
  for (const PackRow& row : change.packs) {
    int rc = put(txn, tables_.packs, encode_pack_number(row.number), encode_pack_row(row));
    if (rc != 0) return rc;
  }
  for (PackNumber number : change.packs_gone) {
    const Bytes encoded = encode_pack_number(number);
    MDB_val key = to_val(encoded);
    int rc = mdb_del(txn, tables_.packs.handle, &key, nullptr);
    if (rc != 0 && rc != MDB_NOTFOUND) return rc;
  }
  return 0;
}

int LmdbIndex::try_commit(const IndexCommit& change) {
  MDB_txn* raw = nullptr;
  if (int rc = mdb_txn_begin(env_.get(), nullptr, 0, &raw); rc != 0) return rc;
  Txn txn(raw);
  if (int rc = apply(txn.get(), change); rc != 0) return rc;
  return mdb_txn_commit(txn.release());  // frees the transaction, whatever it returns
}

int LmdbIndex::grow() {
  WriteLock lock(growing_);
  MDB_envinfo info{};
  if (int rc = mdb_env_info(env_.get(), &info); rc != 0) return rc;
  return mdb_env_set_mapsize(env_.get(), info.me_mapsize * 2);
}

Status LmdbIndex::commit(const IndexCommit& change) {
  if (!env_) return fail(Errc::kBroken, 0, "use the index after it was closed", path_);
  while (true) {
    int rc = 0;
    {
      ReadLock lock(growing_);
      TRY(check_for(change));
      rc = try_commit(change);
    }
    if (rc == MDB_MAP_FULL) {
      if (rc = grow(); rc == 0) continue;
    }
    return rc == 0 ? ok() : failure(rc, "commit to index");
  }
}

Status LmdbIndex::close() {
  WriteLock lock(growing_);
  env_.reset();
  return ok();
}

Result<std::unique_ptr<LmdbIndex>> open_env(const std::string& path, std::uint64_t map_size,
                                            std::shared_ptr<const StoreCipher> cipher,
                                            bool create) {
  auto failed = [&](int rc, std::string_view tried) {
    const bool by_system = rc > 0;
    std::string text(tried);
    if (!by_system) text += std::string(": ") + mdb_strerror(rc);
    return fail(by_system ? errc_for(rc) : Errc::kIndexDamaged, by_system ? rc : 0, text, path);
  };
  // LMDB follows links, and writes into its lock file whatever that holds.
  TRY(require_own("open index", path.substr(0, path.find_last_of('/')), OwnKind::kDirectory));
  TRY(require_own("open index", path));
  TRY(require_own("open index", index_lock_path(path)));
  const auto io = make_posix_io();
  std::unique_ptr<IndexPages> pages;
  if (!create) {
    TRY_ASSIGN(pages, IndexPages::open(*io, path));
  }
  MDB_env* raw = nullptr;
  if (int rc = mdb_env_create(&raw); rc != 0) return failed(rc, "open index");
  Env env(raw);
  constexpr MDB_dbi kTables = 3;
  if (int rc = mdb_env_set_maxdbs(raw, kTables); rc != 0) return failed(rc, "open index");
  if (int rc = mdb_env_set_maxreaders(raw, kReadersMax); rc != 0) return failed(rc, "open index");
  if (int rc = mdb_env_set_mapsize(raw, map_size); rc != 0) return failed(rc, "open index");
  // NOTLS: a transaction belongs to its call, not to its thread. NORDAHEAD: lookups are random.
  constexpr unsigned kFlags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
  if (int rc = mdb_env_open(raw, path.c_str(), kFlags, kFileMode); rc != 0) {
    return failed(rc, "open index");
  }
  if (create) {
    TRY_ASSIGN(pages, IndexPages::open(*io, path));
  }
  return std::make_unique<LmdbIndex>(path, std::move(env), std::move(pages), std::move(cipher));
}

Result<bool> file_exists(const std::string& path) {
  struct ::stat st {};
  if (::stat(path.c_str(), &st) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return fail(errc_for(errno), errno, "stat index", path);
}

}  // namespace

Result<std::unique_ptr<Index>> create_lmdb_index(const std::string& path,
                                                 std::uint64_t map_size_bytes,
                                                 std::shared_ptr<const StoreCipher> cipher) {
  TRY_ASSIGN(bool there, file_exists(path));
  if (there) return fail(Errc::kStoreExists, 0, "create index", path);
  TRY_ASSIGN(auto index, open_env(path, map_size_bytes, std::move(cipher), true));
  TRY(index->start(true));
  return index;
}

Result<std::unique_ptr<Index>> open_lmdb_index(const std::string& path,
                                               std::uint64_t map_size_bytes,
                                               std::shared_ptr<const StoreCipher> cipher) {
  TRY_ASSIGN(bool there, file_exists(path));
  if (!there) return fail(Errc::kIndexDamaged, 0, "open index: there is none", path);
  TRY_ASSIGN(auto index, open_env(path, map_size_bytes, std::move(cipher), false));
  TRY(index->start(false));
  return index;
}

}  // namespace amberfs
