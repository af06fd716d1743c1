// SPDX-License-Identifier: Apache-2.0
// Publishing: pack bytes first, then index and head in one transaction; and what follows when a
// write fails on the way.
#include "blockstore/base/log.h"
#include "blockstore/pack_store.h"

#include <utility>

namespace amberfs {

Status PackStore::publish(ByteView head) {
  if (head.size() > kHeadSizeMax) return fail(Errc::kBadRequest, 0, "publish: head too large");
  MutexLock publish_lock(publish_mu_);
  return publish_now(head, false);
}

Status PackStore::publish_now(ByteView head, bool forced) {
  Publish publish;
  TRY_ASSIGN(bool needed, begin_publish(head, forced, publish));
  if (!needed) return ok();
  Status durable = seal_full_packs(publish);
  if (durable) durable = append_head(head, publish);
  if (durable) durable = sync_open_pack(publish);
  if (!durable) {
    fail_publish(publish, durable.error(), CutOff::kYes);
    return durable;
  }
  if (Status committed = index_->commit(publish.change); !committed) {
    // It may have reached the disk all the same, so nothing it may name is cut off.
    fail_publish(publish, committed.error(), CutOff::kNo);
    return committed;
  }
  finish_publish(publish);
  return ok();
}

// False: there is nothing to publish.
Result<bool> PackStore::begin_publish(ByteView head, bool forced, Publish& publish) {
  MutexLock write_lock(write_mu_);
  if (closed_) return fail(Errc::kBroken, 0, "publish after close", directory_);
  if (failed_) return fail(*std::exchange(failed_, std::nullopt));
  ReadLock lock(mu_);
  const bool unchanged = head_known_ && head == published_.head;
  if (!forced && unchanged && pending_.empty() && full_.empty()) return false;
  publish.puts_before = puts_;
  publishing_ = true;
  return true;
}

// Before the head frame is appended: a head frame that can be read then proves that the other
// packs of its commit are whole, which is what a rebuild of the index relies on.
Status PackStore::seal_full_packs(Publish& publish) {
  while (true) {
    std::vector<OpenPack> full;
    {
      MutexLock write_lock(write_mu_);
      full = std::exchange(full_, {});
    }
    if (full.empty()) return ok();
    const std::size_t first = publish.packs.size();
    for (OpenPack& pack : full) publish.packs.push_back({std::move(pack), true});
    for (std::size_t i = first; i < publish.packs.size(); ++i) {
      const OpenPack& pack = publish.packs[i].pack;
      TRY(pack.writer->seal());
      publish.change.packs.push_back({pack.number, pack.writer->id(), pack.writer->length(), true});
    }
  }
}

// Takes everything put so far into the publish, its head frame last.
Status PackStore::append_head(ByteView head, Publish& publish) {
  MutexLock write_lock(write_mu_);
  if (failed_) return fail(*std::exchange(failed_, std::nullopt));
  // A pack that just became full takes the head all the same: it is of this commit.
  if (!open_.writer) TRY(ensure_open_pack());
  // Never the same twice, so that the heads of a failed publish and of the next one differ.
  publish.change.head = HeadRecord{++last_sequence_, Bytes(head)};
  const Bytes plain = encode_head(*publish.change.head);
  const FrameHeader header{.type = FrameType::kHead,
                           .plain_size = static_cast<std::uint32_t>(plain.size()),
                           .id = frames_.id_of(plain)};
  TRY(open_.writer->append(frames_.store(open_.writer->id(), header, plain)));
  const bool full = open_.writer->length() >= options_.pack_size_bytes;
  publish.packs.push_back({open_, full});
  publish.change.packs.push_back({open_.number, open_.writer->id(), open_.writer->length(), full});
  if (full) open_ = {};
  WriteLock lock(mu_);
  publish.puts_before = puts_;
  committing_ = std::exchange(pending_, {});
  publish.change.entries.reserve(committing_.size());
  for (const auto& [id, location] : committing_) publish.change.entries.push_back({id, location});
  return ok();
}

Status PackStore::sync_open_pack(Publish& publish) {
  const PublishedPack& published = publish.packs.back();
  PackWriter& writer = *published.pack.writer;
  if (!published.sealed) return writer.sync();
  TRY(writer.seal());
  publish.change.packs.back().length = writer.length();
  return ok();
}

void PackStore::finish_publish(const Publish& publish) {
  MutexLock write_lock(write_mu_);
  publishing_ = false;
  published_ = *publish.change.head;
  head_known_ = true;
  head_pack_ = publish.packs.back().pack.number;
  for (const PublishedPack& published : publish.packs) {
    if (!published.sealed) continue;
    // Its bytes were synced: there is nothing left to lose.
    if (Status closed = published.pack.writer->close(); !closed) {
      log_warning("closing a sealed pack failed: {}", closed.error().to_string());
    }
  }
  WriteLock lock(mu_);
  for (const auto& [id, location] : committing_) {
    if (damaged_.erase(id) != 0) marks_changed_ = true;
  }
  committing_.clear();
  for (const PackRow& row : publish.change.packs) packs_[row.number] = row;
}

void PackStore::abandon() {
  MutexLock lock(write_mu_);
  failed_.reset();
}

void PackStore::fail_put(const Error& error) {
  log_error("a pack could not be written, the commit must start again: {}", error.to_string());
  failed_ = error;
  forget_unpublished(false);
  // A publish that is under way may need what it appended to these packs.
  const CutOff cut_off = publishing_ ? CutOff::kNo : CutOff::kYes;
  for (const OpenPack& pack : std::exchange(full_, {})) leave_pack(pack, cut_off);
  leave_pack(std::exchange(open_, {}), cut_off);
}

void PackStore::fail_publish(const Publish& publish, const Error& error, CutOff cut_off) {
  log_error("a commit could not be published: {}", error.to_string());
  MutexLock write_lock(write_mu_);
  publishing_ = false;
  if (cut_off == CutOff::kNo) head_known_ = false;
  forget_unpublished(true);
  // Blocks put meanwhile belong to the next commit, and are forgotten too: it must hear of it.
  if (puts_ != publish.puts_before) failed_ = error;
  for (const PublishedPack& published : publish.packs) {
    if (open_.writer == published.pack.writer) open_ = {};
    leave_pack(published.pack, cut_off);
  }
  for (const OpenPack& pack : std::exchange(full_, {})) leave_pack(pack, cut_off);
  leave_pack(std::exchange(open_, {}), cut_off);
}

void PackStore::forget_unpublished(bool also_committing) {
  WriteLock lock(mu_);
  for (const auto& [id, location] : std::exchange(pending_, {})) cache_.erase(id);
  if (!also_committing) return;
  for (const auto& [id, location] : std::exchange(committing_, {})) cache_.erase(id);
}

// Nothing is ever written to the pack again in this process. The next one to open the store
// continues it, behind what was published.
void PackStore::leave_pack(const OpenPack& pack, CutOff cut_off) {
  if (!pack.writer || cut_off == CutOff::kNo) return;
  std::uint64_t length = 0;
  {
    ReadLock lock(mu_);
    length = packs_.at(pack.number).length;
  }
  if (Status cut = pack.writer->cut_off(length); !cut) {
    log_warning("a pack could not be cut off: {}", cut.error().to_string());
    return;
  }
  if (length == kPackHeaderSize) discard_empty(pack);
}

// So that retries on a full disk do not leave an empty pack each.
void PackStore::discard_empty(const OpenPack& pack) {
  IndexCommit change;
  change.packs_gone.push_back(pack.number);
  Status gone = index_->commit(change);
  if (gone) {
    files_.forget(pack.writer->id());
    gone = io_.unlink(pack.writer->path());
    WriteLock lock(mu_);
    packs_.erase(pack.number);
  }
  if (!gone) log_warning("an empty pack could not be removed: {}", gone.error().to_string());
}

}  // namespace amberfs
