// SPDX-License-Identifier: Apache-2.0
// Making and opening a store on disk.
#include "blockstore/block_store.h"

#include "blockstore/base/log.h"
#include "blockstore/pack_reader.h"
#include "blockstore/pack_store.h"

#include <map>

namespace amberfs {

Status BlockStore::create(Io& io, const std::string& directory, const BlockStoreOptions& options) {
  const std::string index_path = directory + "/" + std::string(kIndexFile);
  TRY_ASSIGN(bool there, io.exists(index_path));
  if (there) return fail(Errc::kStoreExists, 0, "create block store", directory);
  TRY(io.make_directory(packs_directory_of(directory)));
  TRY(io.make_directory(directory + "/" + std::string(kIndexDirectory)));
  TRY_ASSIGN(auto index,
             create_lmdb_index(index_path, options.index_map_size_bytes, options.cipher));
  TRY(index->close());
  TRY(io.sync_directory(directory + "/" + std::string(kIndexDirectory)));
  return io.sync_directory(directory);
}

Result<std::unique_ptr<BlockStore>> BlockStore::open(Io& io, const std::string& directory,
                                                     const BlockStoreOptions& options) {
  TRY_ASSIGN(bool there, io.exists(packs_directory_of(directory)));
  if (!there) return fail(Errc::kNotAStore, 0, "open block store", directory);
  TRY_ASSIGN(auto index, open_lmdb_index(directory + "/" + std::string(kIndexFile),
                                         options.index_map_size_bytes, options.cipher));
  return PackStore::open(io, directory, options, std::move(index));
}

Result<std::unique_ptr<PackStore>> PackStore::open(Io& io, const std::string& directory,
                                                   const BlockStoreOptions& options,
                                                   std::unique_ptr<Index> index) {
  std::unique_ptr<PackStore> store(new PackStore(io, directory, options, std::move(index)));
  TRY(store->recover());
  return store;
}

PackStore::PackStore(Io& io, const std::string& directory, const BlockStoreOptions& options,
                     std::unique_ptr<Index> index)
    : io_(io),
      directory_(directory),
      packs_directory_(packs_directory_of(directory)),
      options_(options),
      frames_(options.cipher),
      index_(std::move(index)),
      cache_(options.cache_size_bytes),
      files_(io, packs_directory_),
      read_ahead_([this](const BlockId& id) {
        if (cache_.contains(id)) return;
        if (auto loaded = load(id); !loaded) return;  // the get() that needs it will say why
      }) {}

// The store as at the last publish. An index that is older than its packs, or damaged, must not
// cost a byte of them: nothing is cut off before it is appended to, and by then who opened the
// store has looked whether the index knows what it has to (has_bytes_unknown_to_index()).
Status PackStore::recover() {
  TRY_ASSIGN(HeadRecord published, index_->head());
  TRY_ASSIGN(std::vector<PackRow> rows, index_->packs());
  TRY_ASSIGN(std::vector<PackId> found, list_packs(io_, packs_directory_));
  MutexLock write_lock(write_mu_);
  last_sequence_ = published.sequence;
  published_ = std::move(published);
  std::unordered_set<std::string> known;
  for (const PackRow& row : rows) {
    next_number_ = std::max(next_number_, row.number + 1);
    known.insert(pack_file_name(row.id));
    if (row.gone) continue;
    if (!row.sealed) TRY(continue_unsealed(row));
    WriteLock lock(mu_);
    packs_[row.number] = row;
  }
  for (const PackId& id : found) {
    if (!known.contains(pack_file_name(id))) TRY(clear_unknown(id));
  }
  TRY(check_against_entries(rows));
  TRY(load_scrub_state(rows));
  TRY(find_parity(rows));
  std::erase_if(rows, [](const PackRow& row) { return !row.gone; });
  if (Status removed = remove_gone(rows); !removed) {
    log_warning("a pack that is not needed could not be removed: {}", removed.error().to_string());
  }
  return ok();
}

// No block may lie in a pack that is to be removed, nor behind the end of one that is to be cut
// off.
Status PackStore::check_against_entries(const std::vector<PackRow>& rows) {
  std::map<PackNumber, std::uint64_t> ends;  // of those packs
  for (const PackRow& row : rows) {
    if (row.gone) ends[row.number] = 0;
  }
  for (const OpenPack& pack : continued_) {
    if (pack.writer->has_tail()) ends[pack.number] = pack.writer->length();
  }
  if (ends.empty()) return ok();
  constexpr std::size_t kEntriesAtOnce = 4096;
  std::optional<BlockId> after;
  while (true) {
    TRY_ASSIGN(const auto entries, index_->entries_after(after, kEntriesAtOnce));
    if (entries.empty()) return ok();
    for (const IndexEntry& entry : entries) {
      const auto end = ends.find(entry.location.pack);
      if (end == ends.end()) continue;
      if (entry.location.offset + kFrameHeaderSize + entry.location.stored_size <= end->second) {
        continue;
      }
      return fail(Errc::kIndexDamaged, 0,
                  "open block store: the index would have a pack removed or cut off, and names a "
                  "block there",
                  directory_);
    }
    after = entries.back().id;
  }
}

Status PackStore::continue_unsealed(const PackRow& row) {
  auto writer = PackWriter::resume(io_, packs_directory_, row.id, row.length, frames_);
  if (writer) {
    has_unknown_bytes_ |= (*writer)->has_tail();
    continued_.push_back({row.number, *std::move(writer)});
    return ok();
  }
  Error error = std::move(writer).error();
  if (error.code != Errc::kCorrupt && error.sys_errno != ENOENT) return fail(std::move(error));
  // What is left of it can still be read; the rest of the store must not suffer.
  log_error("a pack is damaged and will not be continued: {}", error.to_string());
  return ok();
}

// Every pack is made known to the index before the first frame is written to it. So an unknown one
// without frames is left over from a crash, and one with frames belongs to a newer index than this.
Status PackStore::clear_unknown(const PackId& id) {
  const std::string path = packs_directory_ + "/" + pack_file_name(id);
  TRY_ASSIGN(auto file, io_.open(path, OpenMode::kRead));
  TRY_ASSIGN(std::uint64_t size, file->size());
  if (size <= kPackHeaderSize) return io_.unlink(path);
  has_unknown_bytes_ = true;
  log_warning(
      "a pack is not in the index: {}. Its blocks can be taken in with amberfs repair "
      "--index.",
      path);
  return ok();
}

bool PackStore::has_bytes_unknown_to_index() {
  MutexLock lock(write_mu_);
  return has_unknown_bytes_;
}

PackStore::~PackStore() {
  if (Status closed = close(); !closed) {
    log_error("closing the block store failed: {}", closed.error().to_string());
  }
}

Status PackStore::close() {
  read_ahead_.stop();
  closing_ = true;
  MutexLock collect_lock(collect_run_mu_);
  MutexLock heal_lock(heal_mu_);
  if (marks_changed_) {
    // What is damaged will be met again: no reason not to close.
    if (Status saved = save_scrub_state(); !saved) {
      log_warning("what is known to be damaged could not be noted: {}", saved.error().to_string());
    }
  }
  MutexLock publish_lock(publish_mu_);
  MutexLock write_lock(write_mu_);
  if (closed_) return ok();
  closed_ = true;
  Status status;
  auto close_pack = [&](const OpenPack& pack) {
    if (!pack.writer) return;
    Status closed = pack.writer->close();
    if (status && !closed) status = std::move(closed);
  };
  close_pack(open_);
  close_pack(fresh_);
  for (const OpenPack& pack : full_) close_pack(pack);
  for (const OpenPack& pack : continued_) close_pack(pack);
  open_ = {};
  fresh_ = {};
  full_.clear();
  continued_.clear();
  forget_unpublished(true);
  files_.clear();
  Status closed = index_->close();
  return status ? closed : status;
}

}  // namespace amberfs
